"""Several decide about the same devices at once: nobody waits for ever, every real change counts once, and the
list says what the decisions say."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from .overlapping import Counted, declared, shares, turn_at_once, wake_at_once, withdrawn
from .world import FIRST_KEY

SIZES = [
    (8, 10),
    (4, 3_000),
    (2, 20_000),
    pytest.param(8, 3_000, marks=pytest.mark.soak),
    pytest.param(4, 50_000, marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("people", "size"), SIZES)
async def test_overlapping_declarations_never_deadlock(world, pool, people, size):
    """Three quarters of all devices are in each, in an order of its own."""
    for _ in range(2):
        await world.partner()
    keys = [FIRST_KEY + number for number in range(size * 4 // 3)]
    samples = shares(keys, people, size, Random(people * size))
    counted = Counted(pool)
    incidents = await asyncio.gather(*(declared(counted, sample) for sample in samples))
    union = len(set().union(*samples))
    assert counted.in_vain == 0
    assert await pool.fetchval("SELECT sum(identifiers) FROM command WHERE op = 'block'") == union
    assert await pool.fetchval("SELECT count(*) FROM listing WHERE blocked_by > 0 AND version = 1") == union
    await asyncio.gather(*(withdrawn(counted, incident) for incident in incidents))
    assert counted.in_vain == 0
    assert await pool.fetchval("SELECT sum(identifiers) FROM command WHERE op = 'release'") == union
    assert await pool.fetchval("SELECT count(*) FROM listing WHERE blocked_by <> 0 OR version <> 2") == 0
    await world.check()


async def test_the_second_sees_who_was_first(world, pool):
    await world.partner()
    keys = [FIRST_KEY + number for number in range(5)]
    counted = Counted(pool)
    first = await declared(counted, keys)
    second = await declared(counted, keys)
    preview = await pool.fetchval("SELECT preview FROM incident WHERE incident_id = $1", second)
    assert [(one["incident_id"], one["identifiers"]) for one in preview["claimed_elsewhere"]] == [(first, 5)]
    assert await pool.fetchval("SELECT count(*) FROM command") == 1


async def test_a_block_that_races_a_release_is_told_in_the_order_of_commits(world, pool):
    """Declared and withdrawn again and again by four at once; commit order is version order is chunk order."""
    await world.partner()
    keys, chance, counted = [FIRST_KEY + number for number in range(60)], Random(22), Counted(pool)

    async def person(samples: list[list[int]]) -> None:
        for sample in samples:
            await withdrawn(counted, await declared(counted, sample))

    await asyncio.gather(*(person(shares(keys, 4, 40, chance)) for _ in range(4)))
    last = await declared(counted, keys[:30])
    told = await pool.fetch(
        "SELECT op, key, version FROM chunk JOIN command USING (command_id),"
        " unnest(keys, versions) AS i (key, version) ORDER BY chunk_id"
    )
    versions: dict[int, int] = {}
    for row in told:
        assert row["version"] == versions.get(row["key"], 0) + 1
        assert row["op"] == ("block" if row["version"] % 2 else "release")
        versions[row["key"]] = row["version"]
    assert max(versions.values()) > 3
    world.wanted = {key: int(key in keys[:30]) for key in keys}
    assert last
    await world.drain()


async def test_a_turn_touches_rows_in_their_order(pool):
    keys = [FIRST_KEY + number for number in range(3_000)]
    assert await turn_at_once(pool, keys, 4, Random(1)) == 0


async def test_lanes_are_woken_in_their_order(world, pool):
    assert await wake_at_once(pool, await world.partner(), 100, Random(1)) == 0
