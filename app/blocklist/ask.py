"""Carriers ask here. Every answer is read from PostgreSQL, never from a cache, so it is never stale.

Questions that arrive while one statement is under way are gathered and answered by the next one: no
question waits for a timer, and a busy process asks the database a few hundred times a second at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import asyncpg
import msgspec

from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("blocklist")


class Status(StrEnum):
    """What a carrier is told."""

    BLOCKED = "blocked"
    SUSPECT = "suspect"
    CLEAR = "clear"
    UNKNOWN = "unknown"


class Standing(msgspec.Struct, frozen=True):
    """One identifier's status, since when (None where it was never claimed), and its listing's version."""

    status: Status
    since: datetime | None = None
    version: int = 0


UNHEARD_OF = Standing(Status.UNKNOWN)


async def look_up(conn: Connection, keys: Sequence[int]) -> dict[int, Standing]:
    """The standing of each key that is listed or registered; the others are `UNHEARD_OF`."""
    return {row["key"]: _standing(row) for row in await conn.fetch(_SQL.look_up, keys)}


def _standing(row: asyncpg.Record) -> Standing:
    if row["status"] == 2:
        return Standing(Status.BLOCKED, row["since"], row["version"])
    if row["status"] == 1:
        return Standing(Status.SUSPECT, row["since"], row["version"])
    status = Status.CLEAR if row["registered"] else Status.UNKNOWN
    return Standing(status, row["since"], row["version"])


class Counter:
    """Where single questions are gathered; one for each web process."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._waiting: dict[int, list[asyncio.Future[Standing]]] = {}
        self._at_work: asyncio.Task[None] | None = None

    async def ask(self, key: int) -> Standing:
        """The standing of one key, read after this call began."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        standing: Standing = await future
        return standing

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                await self._answer(batch)
        finally:
            self._at_work = None

    async def _answer(self, batch: dict[int, list[asyncio.Future[Standing]]]) -> None:
        try:
            async with self._pool.acquire(timeout=10) as conn:
                found = await look_up(conn, list(batch))
        except Exception as error:  # every asker hears of the fault; the counter itself goes on
            _settle(batch, error)
            return
        for key, futures in batch.items():
            for future in futures:
                if not future.done():
                    future.set_result(found.get(key, UNHEARD_OF))


def _settle(batch: dict[int, list[asyncio.Future[Standing]]], error: Exception) -> None:
    for futures in batch.values():
        for future in futures:
            if not future.done():
                future.set_exception(error)
