"""The change feed in the database: no gap and no repeat under concurrent commits; days; what is forgotten."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from app.access.roles import Principal, Role
from app.blocklist import export, feed, listing
from app.blocklist.export import Form, Net
from app.core.db import transaction
from app.core.errors import Conflict, Forbidden, Gone, Unavailable

KEY = 35_555555_000000
NIGHT = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
DAY = NIGHT.date()
ADMIN = Principal("k_admin", "Admin", Role.ADMIN)


@pytest.fixture
async def turn(pool):
    """Turns listings as one decision of a new incident, and publishes it."""
    incident = await pool.fetchval(
        "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
        " VALUES ('t', 'loss', '', '', '{}', 'draft', 'x', now()) RETURNING incident_id"
    )

    async def turned(how, keys, at=NIGHT, slowly=0.0):
        async def work(conn):
            told = (await how(conn, incident, keys, at)).told
            await asyncio.sleep(slowly)
            await feed.publish(conn, told, at)

        await transaction(pool, work)

    return turned


async def read(pool, after, limit=10_000):
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        return await feed.changes(conn, after, limit)


async def test_who_reads_while_others_commit_misses_nothing(pool, turn):
    """Twenty decisions of different length; the reader asks all the time and must see each position once."""
    chance = Random(5)
    batches = [[KEY + 100 * batch + place for place in range(chance.randint(1, 40))] for batch in range(20)]

    async def declared(keys):
        await turn(listing.suspect, keys, slowly=chance.random() / 20)
        await turn(listing.block, keys, slowly=chance.random() / 20)

    seen, after, is_over = [], None, False
    deciding = asyncio.gather(*map(declared, batches))
    while not is_over:
        is_last = deciding.done()
        page = await read(pool, after, limit=chance.randint(1, 100))
        seen += page.changes
        after, is_over = page.reached, is_last and page.reached == page.as_of
    assert [change.position for change in seen] == list(range(1, len(seen) + 1))
    assert len(seen) == 2 * sum(map(len, batches))
    assert {(change.imei, change.status) for change in seen} == {
        (f"{key:014d}", status) for keys in batches for key in keys for status in ("suspect", "blocked")
    }


async def test_a_thousand_and_one_changes_are_two_rows_and_no_gap(pool, turn):
    keys = [KEY + number for number in range(2_001)]
    await turn(listing.suspect, keys)
    assert await pool.fetchval("SELECT count(*) FROM blocklist_change") == 3
    seen = [change for after in range(0, 2_001, 667) for change in (await read(pool, after, 667)).changes]
    assert [change.position for change in seen] == list(range(1, 2_002))
    assert [change.imei for change in seen] == [f"{key:014d}" for key in keys]


async def test_time_never_runs_back(pool, turn):
    await turn(listing.suspect, [KEY])
    await turn(listing.suspect, [KEY + 1], at=NIGHT - timedelta(hours=1))
    assert [change.at for change in (await read(pool, None)).changes] == [NIGHT, NIGHT]


async def test_a_day_in_the_form_of_operators(pool, turn):
    a, b, c, d = (KEY + number for number in range(4))
    await turn(listing.suspect, [a, b, c, d], NIGHT - timedelta(days=1))
    await turn(listing.block, [a, b], NIGHT - timedelta(days=1))
    await turn(listing.block, [c], NIGHT)
    await turn(listing.release, [a, b], NIGHT)
    await turn(listing.suspect, [b], NIGHT)
    await turn(listing.block, [b], NIGHT)
    after = NIGHT + timedelta(minutes=36)
    async with pool.acquire() as conn:
        told = {net: (await export.day(conn, DAY, net, after)).splitlines() for net in Net}
    assert told == {
        Net.BLOCKED: ["imei,block_date,reasons", f"{c:014d},20261121,lost"],
        Net.UNBLOCKED: ["imei,block_date,reasons", f"{a:014d},20261121,lost"],
        Net.CHANGED: ["imei,block_date,reasons", f"{b:014d},20261121,lost"],
    }


async def test_a_day_is_told_when_it_is_over(pool):
    async with pool.acquire() as conn:
        with pytest.raises(Conflict, match="2026-11-22T00:05"):
            await export.day(conn, date(2026, 11, 21), Net.BLOCKED, datetime(2026, 11, 22, 0, 4, tzinfo=UTC))


async def test_slow_readers_leave_connections_for_those_who_ask(pool):
    exports = export.Exports(pool, time.monotonic)
    reading = [
        exports.read(f"k_{place // 2}", Form.NDJSON, export.After()) for place in range(export.AT_ONCE)
    ]
    for one in reading:
        assert await anext(one) == 0
    with pytest.raises(Unavailable, match="under way"):
        await anext(exports.read("k_9", Form.NDJSON, export.After()))
    await reading[0].aclose()
    again = exports.read("k_9", Form.NDJSON, export.After())
    assert await anext(again) == 0
    for one in (*reading, again):
        await one.aclose()


async def test_one_key_leaves_places_for_others(pool):
    exports = export.Exports(pool, time.monotonic)
    reading = [exports.read("k_1", Form.NDJSON, export.After()) for _ in range(export.AT_ONCE_BY_ONE)]
    for one in reading:
        assert await anext(one) == 0
    with pytest.raises(Unavailable, match="2 of them with your key"):
        await anext(exports.read("k_1", Form.NDJSON, export.After()))
    other = exports.read("k_2", Form.NDJSON, export.After())
    assert await anext(other) == 0
    for one in (*reading, other):
        await one.aclose()


async def test_who_takes_his_time_gives_up_his_place(pool):
    times = iter([0.0, export.GRACE - 1, export.GRACE + 1, export.GRACE + 1])
    exports = export.Exports(pool, lambda: next(times))
    reading = exports.read("k_1", Form.CSV, export.After())
    assert await anext(reading) == 0
    assert str(await anext(reading)).startswith("imei,")
    with pytest.raises(export.TooSlow):
        await anext(reading)
    assert not exports._under_way.total()


async def test_what_is_forgotten_is_gone_and_nothing_else(pool, turn):
    await turn(listing.suspect, [KEY])
    await turn(listing.block, [KEY], NIGHT + timedelta(days=1))
    assert await transaction(pool, lambda conn: feed.forget(conn, NIGHT + timedelta(hours=1))) == 1
    with pytest.raises(Gone):
        await read(pool, 0)
    assert [change.status for change in (await read(pool, 1)).changes] == ["blocked"]
    assert [change.position for change in (await read(pool, None)).changes] == [2]
    later = NIGHT + timedelta(days=3)
    async with pool.acquire() as conn:
        with pytest.raises(Gone):
            await export.day(conn, DAY, Net.BLOCKED, later)
        assert f"{KEY}" in await export.day(conn, DAY + timedelta(days=1), Net.BLOCKED, later)
    assert await transaction(pool, lambda conn: feed.forget(conn, NIGHT + timedelta(days=9))) == 1
    assert (await read(pool, 2)).changes == []


async def test_a_cursor_that_is_gone_is_told_why(pool, turn):
    await turn(listing.suspect, [KEY, KEY + 1])
    with pytest.raises(Gone, match="There is no position 3 here: the block list has come to 2"):
        await read(pool, 3)
    later = NIGHT + timedelta(days=9)
    await transaction(pool, lambda conn: feed.forget(conn, later))
    with pytest.raises(Gone, match="those up to 2 are forgotten"):
        await read(pool, 1)


async def test_positions_that_were_voided_are_never_given_again(pool, turn):
    """What was decided after a backup is gone with it; its positions must not come to mean other changes."""
    await turn(listing.suspect, [KEY])
    first = await transaction(pool, lambda conn: feed.void(conn, ADMIN, NIGHT))
    await turn(listing.block, [KEY])
    for old in (0, 1, 2, 1_000_000):
        with pytest.raises(Gone):
            await read(pool, old)
    page = await read(pool, first)
    assert [(change.position, change.status) for change in page.changes] == [(first + 1, "blocked")]
    assert (await read(pool, None)).changes == page.changes
    async with pool.acquire() as conn:
        day = await export.day(conn, DAY, Net.BLOCKED, NIGHT + timedelta(hours=1))
    assert f"{KEY:014d}" in day
    again = await transaction(pool, lambda conn: feed.void(conn, ADMIN, NIGHT))
    assert again > first + 1


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
async def test_nobody_but_an_administrator_voids_them(conn, role):
    with pytest.raises(Forbidden):
        await feed.void(conn, Principal("k", "K", role), NIGHT)
