"""The times for which an identifier was blocked, as those who ask are told them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.blocklist.ask import look_up
from app.blocklist.history import blocks
from app.blocklist.standing import ReasonClass, Standing, Status
from app.core.db import Connection
from app.core.sql import queries
from app.incidents import decide
from app.incidents.lift import lift
from app.incidents.scope import Scope

IMEI = "350000000000006"
KEY = 35000000000000
NIGHT = datetime(2026, 12, 22, 2, tzinfo=UTC)


def hour(number: int) -> datetime:
    return NIGHT + timedelta(hours=number)


class Case:
    """Incidents about one identifier, each step at an hour of its own."""

    def __init__(self, conn: Connection, manager, approver) -> None:
        self.conn, self.manager, self.approver = conn, manager, approver

    async def submit(self, at: int, kind: str = "theft") -> int:
        said = decide.Draft(title="t", kind=kind, scope=Scope(imeis=(IMEI,)))
        async with self.conn.transaction():
            number = (await decide.draft(self.conn, self.manager, said, hour(at))).id
            await decide.submit(self.conn, self.manager, number, hour(at))
        return number

    async def approve(self, number: int, at: int) -> None:
        async with self.conn.transaction():
            await decide.approve(self.conn, self.approver, number, hour(at))

    async def lift(self, number: int, at: int) -> None:
        async with self.conn.transaction():
            await lift(self.conn, self.approver, number, Scope(imeis=(IMEI,)), hour(at))

    async def told(self) -> list[tuple[int, int | None, str]]:
        """From which hour until which, and why."""
        standing = (await look_up(self.conn, [KEY])).of(KEY)
        found = await blocks(self.conn, KEY, standing)
        return [(_hours(one.since), one.until and _hours(one.until), one.reason) for one in found]


def _hours(at: datetime) -> int:
    return (at - NIGHT) // timedelta(hours=1)


@pytest.fixture
def case(conn, manager, approver) -> Case:
    return Case(conn, manager, approver)


async def test_blocks_that_overlap_are_one(case):
    """With the reason of the first, and once all are over; what it is now, it is for the reason that is told now."""
    first = await case.submit(0, "loss")
    second = await case.submit(1, "fraud")
    assert await case.told() == []
    await case.approve(first, 2)
    assert await case.told() == [(2, None, "lost")]
    await case.approve(second, 3)
    await case.lift(first, 4)
    assert await case.told() == [(2, None, "fraud")]
    await case.lift(second, 5)
    assert await case.told() == [(2, 5, "lost")]
    third = await case.submit(6)
    await case.approve(third, 7)
    assert await case.told() == [(2, 5, "lost"), (7, None, "stolen")]
    await case.lift(third, 8)
    assert await case.told() == [(2, 5, "lost"), (7, 8, "stolen")]


async def test_a_clock_that_runs_back_makes_no_block(case):
    """Another process, whose clock is late, lifts what was approved a moment before."""
    number = await case.submit(0)
    await case.approve(number, 5)
    await case.lift(number, 4)
    assert await case.told() == []


async def test_what_ends_while_somebody_is_answered_is_told_the_next_time(case):
    """The standing was read before, and a block is in the history as it is there."""
    number = await case.submit(0)
    await case.approve(number, 1)
    standing = (await look_up(case.conn, [KEY])).of(KEY)
    await case.lift(number, 2)
    [block] = await blocks(case.conn, KEY, standing)
    assert (block.since, block.until, block.reason) == (hour(1), None, ReasonClass.STOLEN)


async def test_what_begins_while_somebody_is_answered_is_told_the_next_time(case):
    """He is told that it is not blocked, so no block is without an end."""
    number = await case.submit(0)
    standing = (await look_up(case.conn, [KEY])).of(KEY)
    await case.approve(number, 1)
    assert await blocks(case.conn, KEY, standing) == []


async def test_others_blocks_are_not_told(case):
    number = await case.submit(0)
    await case.approve(number, 1)
    await case.lift(number, 2)
    assert await blocks(case.conn, KEY + 1, Standing(Status.UNKNOWN)) == []


async def test_it_is_read_by_an_index(case):
    """However many claims there are."""
    await case.conn.execute(
        "INSERT INTO claim (incident_id, key, state) SELECT 1 + n % 50, n, 2 FROM generate_series(1, 50000) AS n"
    )
    await case.conn.execute("ANALYZE claim")
    plan = await case.conn.fetch(f"EXPLAIN {queries('blocklist').past_blocks}", [KEY])
    text = "\n".join(row[0] for row in plan)
    assert "claim_key" in text
    assert "Seq Scan on claim" not in text
