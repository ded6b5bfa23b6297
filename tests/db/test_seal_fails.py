"""The sealer beside its twin that never fails: wherever a step of it breaks off, the log becomes the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.audit.note import Kind, Signer
from app.audit.record import Entry, record
from app.audit.seal import seal
from app.audit.verify import verify

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
LOG = Signer("gateway.example/audit", Kind.NOTE, bytes(range(32)))
ENTRIES, PART = 600, 300
# More statements than a step of it has.
PLACES = range(24)


class Broken(Exception):
    """The machine went away."""


class Breaking:
    """A connection that breaks at one of its statements: before it is done, or as soon as it is."""

    def __init__(self, conn: Any, place: int, *, after: bool) -> None:
        self._conn, self._left, self._after = conn, place, after
        self.broke = False

    def __getattr__(self, name: str) -> Any:
        statement = getattr(self._conn, name)

        async def counted(*said: Any) -> Any:
            breaks, self._left = self._left == 0, self._left - 1
            self.broke |= breaks
            if breaks and not self._after:
                raise Broken
            found = await statement(*said)
            if breaks:
                raise Broken
            return found

        return counted


async def written(conn: Any) -> None:
    entries = [Entry("incident.approved", "incident:7", "key:k (Ada)", NOW, {"n": n}) for n in range(ENTRIES)]
    async with conn.transaction():
        await record(conn, entries)


async def sealed(conn: Any) -> None:
    while True:
        async with conn.transaction():
            if not await seal(conn, NOW, PART, [LOG]):
                return


async def kept(conn: Any) -> list[Any]:
    """All that the sealer writes."""
    return [
        await conn.fetch("SELECT seq, entry_id, hash FROM audit_leaf ORDER BY seq"),
        await conn.fetch("SELECT size, root, note FROM audit_checkpoint ORDER BY size"),
        await conn.fetch("SELECT level, number, hash FROM audit_node ORDER BY level, number"),
        await conn.fetch("SELECT size, frontier FROM audit_head"),
        await conn.fetch("SELECT entry_id FROM audit_pending"),
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_wherever_a_step_breaks_off_the_log_becomes_the_same(
    conn: Any, owner: Any, after: bool
) -> None:
    await sealed(conn)  # Who signs is told of in the log itself, once.
    twin = conn.transaction()
    await twin.start()
    await written(conn)
    await sealed(conn)
    right = await kept(conn)
    await twin.rollback()
    # Numbers are not given back by a rollback.
    await owner.execute("SELECT setval(pg_get_serial_sequence('audit_entry', 'entry_id'), 1)")
    await written(conn)
    broken = 0
    for place in PLACES:
        breaking = Breaking(conn, place, after=after)
        try:
            async with conn.transaction():
                await seal(breaking, NOW, PART, [LOG])  # type: ignore[arg-type]
        except Broken:
            broken += 1
    await sealed(conn)
    assert broken >= 10
    assert await kept(conn) == right
    async with conn.transaction(isolation="repeatable_read"):
        report = await verify(conn, known=[LOG.verifier])
    assert (report.fault, report.sealed) == (None, ENTRIES + 1)
