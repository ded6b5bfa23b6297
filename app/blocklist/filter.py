"""The filter over the blocked IMEIs, for those who check offline. Workers make it when the block list has changed, and
not more often than once a minute; web processes only hand it out. Owns the table blocklist_filter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from app.blocklist import bloom
from app.core.db import Connection, Pool
from app.core.errors import Missing
from app.core.sql import queries

_SQL = queries("filter")
# Seconds: a filter is not made anew before it is so old.
AGE = 60.0


class File(msgspec.Struct, frozen=True):
    """A filter as it is handed out, and the position of the change feed that it was made at."""

    position: int
    content: bytes


async def renewed(conn: Connection, age: float = AGE) -> bool:
    """Makes the filter anew where it is behind, at least `age` seconds old, and no other worker is at it; whether it
    did. In a transaction, which is open for as long as the making takes."""
    if await conn.fetchrow(_SQL.claim, age) is None:
        return False
    file = await made(conn)
    await conn.execute(_SQL.store, file.position, file.content)
    return True


async def made(conn: Connection, told: Callable[[int, int], None] = bloom.unheard) -> File:
    """A filter of this moment. `told` hears in another thread how many IMEIs are done, of how many."""
    row = await conn.fetchrow(_SQL.blocked)
    assert row is not None
    # Beside the event loop: partners are told meanwhile.
    content = await asyncio.to_thread(bloom.written, row["digits"].encode(), row["position"], row["at"], told)
    return File(row["position"], content)


class Filters:
    """The latest filter, held by each web process so that many who download it share one copy. It is asked for before
    each answer, and read again only where there is a newer one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._held: File | None = None

    async def latest(self) -> File:
        """Raises Missing where none was made yet."""
        async with self._pool.acquire(timeout=10) as conn:
            position = await conn.fetchval(_SQL.position)
            if self._held is None or self._held.position != position:
                row = await conn.fetchrow(_SQL.stored)
                assert row is not None
                self._held = File(row["position"], row["content"])
            held = self._held
        if held.position < 0:
            text = "No filter was made yet; a worker makes one within seconds of its start: ask again then."
            raise Missing(text, "filter-not-made")
        return held
