"""Decisions that overlap, made at once: how often their transactions had to begin anew tells of deadlocks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from app.access.roles import Principal, Role
from app.blocklist import listing
from app.core import imei
from app.core.db import Pool, transaction
from app.core.sql import queries
from app.incidents import decide
from app.incidents.decide import Draft
from app.incidents.guards import Submission
from app.incidents.scope import Scope

from .people import utc_now

MANAGER = Principal("k_1", "manager", Role.INCIDENT_MANAGER)
APPROVER = Principal("k_2", "approver", Role.APPROVER)


class Counted:
    """Transactions, and how often one was run in vain."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.done = self.runs = 0

    @property
    def in_vain(self) -> int:
        return self.runs - self.done

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def counted(conn: Any) -> Any:
            self.runs += 1
            return await work(conn)

        found = await transaction(self._pool, counted, attempts=20)
        self.done += 1
        return found


MEANT = Submission(acknowledged=("size",))


async def declared(counted: Counted, keys: Sequence[int], title: str = "overlap") -> int:
    """An incident about these, submitted and approved by two people."""
    said = Draft(title, Scope(imeis=tuple(imei.full(key) for key in keys)))
    drafted = await counted.run(lambda conn: decide.draft(conn, MANAGER, said, utc_now()))
    number: int = drafted.id
    await counted.run(lambda conn: decide.submit(conn, MANAGER, number, utc_now(), MEANT))
    await counted.run(lambda conn: decide.approve(conn, APPROVER, number, utc_now()))
    return number


async def withdrawn(counted: Counted, incident: int) -> None:
    await counted.run(lambda conn: decide.withdraw(conn, MANAGER, incident, "tests", utc_now()))


def shares(keys: Sequence[int], parts: int, size: int, chance: Random) -> list[list[int]]:
    """So many shuffled samples of so many keys, which overlap."""
    return [chance.sample(keys, size) for _ in range(parts)]


async def turn_at_once(pool: Pool, keys: Sequence[int], parts: int, chance: Random) -> int:
    """The same keys turned by several at once, each in an order of its own; gives the runs in vain."""
    counted = Counted(pool)

    async def turn(incident: int, mine: list[int]) -> None:
        await counted.run(lambda conn: listing.suspect(conn, incident, mine, utc_now()))

    samples = shares(keys, parts, len(keys), chance)
    await asyncio.gather(*(turn(incident, mine) for incident, mine in enumerate(samples)))
    return counted.in_vain


async def wake_at_once(pool: Pool, partner: int, rounds: int, chance: Random) -> int:
    """All lanes of a partner woken by two at once, again and again."""
    counted, text = Counted(pool), queries("lanes").wake

    async def wake(lanes: list[int]) -> None:
        await counted.run(lambda conn: conn.execute(text, [partner] * 16, lanes, [1] * 16))

    for _ in range(rounds):
        await asyncio.gather(*(wake(chance.sample(range(16), 16)) for _ in range(2)))
        if counted.in_vain:
            break
    return counted.in_vain
