"""Quotas: how many identifiers a key may ask for in a minute. Owns the table quota_bucket.

What is left of a key's quota stands in the database, for all processes. Each takes a slice of it at a time and counts
that down by itself, so that most questions cost nothing; all of them together give a key its quota, and at most a slice
each more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import NamedTuple

from app.core.db import Connection, Pool
from app.core.errors import Exhausted, TooLarge
from app.core.sql import queries

WINDOW = 60
"""Seconds in which an empty quota is full again."""
SLICES = 200

_SQL = queries("quotas")


class Left(NamedTuple):
    """Of a quota of `most`: how much is left, as far as this process knows, and in how many seconds it is full."""

    most: int
    units: int
    full_in: int


class _Account:
    """What a process knows of one key's quota."""

    __slots__ = ("at", "closed_until", "lock", "shared", "slice")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        # What was taken out of the bucket and is not spent, what was left there, and when.
        self.slice = 0
        self.shared = 0.0
        self.at = 0.0
        # Until then nobody looks whether the bucket has so much.
        self.closed_until: tuple[float, int] = (0.0, 0)


class Quotas:
    """All keys' quotas, as one process keeps them. `clock` is monotonic, in seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    async def spend(self, key_id: str, quota: int, units: int) -> Left:
        """Takes units off a key's quota, which is not 0. Raises Exhausted, which says how long to wait, and TooLarge
        where even a full quota is less than this."""
        account = self._accounts.get(key_id)
        if account is None:
            account = self._accounts[key_id] = _Account()
        if account.slice < units:
            async with account.lock:
                await self._make_room(account, key_id, quota, units)
        account.slice -= units
        return self._left(account, quota)

    def is_used_up(self, key_id: str) -> bool:
        """Whether this process knows that there is not one identifier left for a key at this moment."""
        return self.wait(key_id) > 0

    def wait(self, key_id: str) -> float:
        """For how many seconds it knows that; 0: there may be some."""
        account = self._accounts.get(key_id)
        if account is None or account.slice >= 1:
            return 0
        return max(0.0, account.closed_until[0] - self._clock())

    async def _make_room(self, account: _Account, key_id: str, quota: int, units: int) -> None:
        lacking = units - account.slice
        if lacking <= 0:
            return
        if units > quota:
            raise TooLarge(
                f"{units:,} identifiers at once are more than this key's quota of {quota:,} a minute.",
                "over-quota",
            )
        until, refused = account.closed_until
        if lacking >= refused and self._clock() < until:
            raise exhausted(quota, until - self._clock())
        async with self._pool.acquire(timeout=10) as conn:
            granted, account.shared = await _lease(conn, key_id, quota, lacking)
        account.at = self._clock()
        account.slice += granted
        if not granted:
            wait = (lacking - account.shared) * WINDOW / quota
            account.closed_until = (account.at + wait, lacking)
            raise exhausted(quota, wait)

    def _left(self, account: _Account, quota: int) -> Left:
        since = (self._clock() - account.at) * quota / WINDOW
        units = min(quota, account.slice + math.floor(account.shared + since))
        return Left(quota, units, math.ceil((quota - units) * WINDOW / quota))


async def _lease(conn: Connection, key_id: str, quota: int, lacking: int) -> tuple[int, float]:
    wanted = min(quota, lacking + quota // SLICES)
    row = await conn.fetchrow(_SQL.lease, key_id, quota, WINDOW, wanted, lacking)
    assert row is not None
    return row["granted"], row["units"]


def exhausted(quota: int, wait: float) -> Exhausted:
    """The refusal of a key with this quota, which has some again in so many seconds."""
    seconds = max(1, math.ceil(wait))
    return Exhausted(
        f"This key's quota of {quota:,} identifiers a minute is used up; there is more in {seconds} s.",
        seconds,
    )


async def forget(conn: Connection) -> int:
    """Removes buckets of keys that have not asked for a day."""
    await conn.execute(_SQL.forget)
    return 0
