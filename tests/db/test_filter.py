"""The filter in the database: made when the list has changed, by one worker at a time, of one moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.blocklist import bloom, feed, listing
from app.blocklist.bloom import Filter
from app.blocklist.filter import Filters, made, renewed
from app.core.db import Pool, transaction
from app.core.errors import Missing

KEY = 35_555555_000000
NOW = datetime(2026, 12, 22, 2, tzinfo=UTC)


@pytest.fixture
async def turn(pool):
    """Turns listings as one decision of an incident, and publishes it."""
    incident = await pool.fetchval(
        "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
        " VALUES ('t', 'theft', '', '', '{}', 'draft', 'x', now()) RETURNING incident_id"
    )

    async def turned(how, *keys):
        async def work(conn):
            await feed.publish(conn, (await how(conn, incident, sorted(keys), NOW)).told, NOW)

        await transaction(pool, work)

    return turned


@pytest.fixture
def block(turn):
    async def blocked(*keys):
        await turn(listing.suspect, *keys)
        await turn(listing.block, *keys)

    return blocked


async def renew(pool: Pool, age: float = 0.0) -> bool:
    return await transaction(pool, lambda conn: renewed(conn, age))


async def latest(pool: Pool) -> Filter:
    return bloom.read((await Filters(pool).latest()).content)


async def head(pool: Pool) -> int:
    async with pool.acquire() as conn:
        return (await feed.head(conn)).position


async def test_before_the_first_is_made_there_is_none(pool):
    with pytest.raises(Missing, match="a worker makes one"):
        await Filters(pool).latest()
    assert await renew(pool, age=3600)
    assert ((await latest(pool)).keys, (await latest(pool)).position) == (0, 0)


async def test_it_has_what_is_blocked_and_nothing_else(pool, turn, block):
    await block(KEY, KEY + 1)
    await turn(listing.suspect, KEY + 2)
    unit = await pool.fetchval(
        "INSERT INTO serial_number (serial, gtin) VALUES ('A', '') RETURNING serial_id"
    )
    await block(-unit)
    assert await renew(pool)
    found = await latest(pool)
    assert [found.may_hold(KEY + number) for number in range(3)] == [True, True, False]
    assert (found.keys, found.position) == (2, await head(pool))


async def test_what_is_released_leaves_it_with_the_next(pool, turn, block):
    await block(KEY, KEY + 1)
    await renew(pool)
    await turn(listing.release, KEY)
    assert (await latest(pool)).may_hold(KEY)
    assert await renew(pool)
    found = await latest(pool)
    assert (found.may_hold(KEY), found.may_hold(KEY + 1), found.keys) == (False, True, 1)


async def test_it_is_made_anew_only_when_the_list_has_changed(pool, turn, block):
    await block(KEY)
    assert [await renew(pool), await renew(pool)] == [True, False]
    await turn(listing.suspect, KEY + 1)
    assert await renew(pool)


async def test_it_is_not_made_anew_before_it_is_old(pool, block):
    await block(KEY)
    await renew(pool)
    await block(KEY + 1)
    assert not await renew(pool, age=60)
    await pool.execute("UPDATE blocklist_filter SET made_at = made_at - interval '61 seconds'")
    assert await renew(pool, age=60)


async def test_of_several_workers_one_makes_it(pool, block):
    await block(KEY)
    async with pool.acquire() as conn, conn.transaction():
        assert await renewed(conn, 0)
        assert not await asyncio.wait_for(renew(pool), 5)
        await block(KEY + 1)
    found = await latest(pool)
    assert (found.keys, found.position) == (1, await head(pool) - 2)


async def test_it_is_of_one_moment_whatever_is_decided_meanwhile(pool, turn, block):
    """What it has is what the changes up to its position come to."""

    seen: set[int] = set()

    async def decide() -> None:
        for first in range(KEY, KEY + 900_000, 10):
            await block(*range(first, first + 3))
            await turn(listing.release, first)
            if len(seen) >= 60:
                return

    deciding = asyncio.create_task(decide())
    while not deciding.done():
        await renew(pool)
        found = await latest(pool)
        async with pool.acquire() as conn:
            told = (await feed.changes(conn, 0, max(1, found.position))).changes
        standing = {int(change.imei): change.status for change in told if change.position <= found.position}
        held = [key for key, status in standing.items() if status == "blocked"]
        assert found.keys == len(held)
        assert all(map(found.may_hold, held))
        seen.add(found.position)
    await deciding
    assert len(seen) >= 60


async def test_each_process_hands_out_the_newest(pool, block):
    await block(KEY)
    await renew(pool)
    mine, theirs = Filters(pool), Filters(pool)
    old = await mine.latest()
    assert await mine.latest() is old
    assert (await theirs.latest()).content == old.content
    await block(KEY + 1)
    await renew(pool)
    assert bloom.read((await mine.latest()).content).keys == 2
    assert await theirs.latest() == await mine.latest()


async def test_one_of_this_moment_is_for_whoever_asks_for_it(pool, block):
    await block(*range(KEY, KEY + 10))
    heard = []
    async with pool.acquire() as conn:
        file = await made(conn, lambda done, count: heard.append((done, count)))
    assert (bloom.read(file.content).keys, file.position) == (10, await head(pool))
    assert heard == [(0, 10)]
    with pytest.raises(Missing):
        await Filters(pool).latest()


async def test_it_is_dated_by_the_database(pool):
    await renew(pool)
    now = await pool.fetchval("SELECT now()")
    assert now - timedelta(seconds=30) < (await latest(pool)).made_at <= now
