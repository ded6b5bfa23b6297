"""Real workers that are killed, ended, starved of what the system gives them, or crashed by one identifier, beside a
partner with books of its own: what they held is taken over, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import resource
import signal

import pytest

from app.core import imei
from app.delivery.send import Terms

from .scene import KEYS, NAMES
from .workers import SHORT

_LEASED = "SELECT count(*) FROM partner_lane WHERE lease_until > now()"


@pytest.mark.parametrize(("moment", "repeats"), [("before", 0), ("during", 0), ("after", 1)])
async def test_a_worker_is_killed(scene, moment, repeats):
    """The call is repeated where it was made, and only there."""
    await scene.partner(moment=moment, signal=int(signal.SIGKILL), call=5)
    await scene.slow(20)
    await scene.block(KEYS)
    async with scene.workers(2) as (first, second):
        first.start()
        await first.until("Z")
        second.start()
        took = await scene.settled(within=30)
        first.kill()
    assert await scene.blocked() == NAMES
    assert took < SHORT.lease + 5
    assert (await scene.ask())["duplicates"] >= repeats
    assert await scene.done() == len(KEYS)


@pytest.mark.soak
async def test_a_worker_is_killed_that_had_its_usual_lease(scene):
    """Another one, which has been running all the time, takes over within half a minute."""
    await scene.partner(moment="after", signal=int(signal.SIGKILL), call=5)
    await scene.slow(20)
    async with scene.workers(2, Terms()) as (first, second):
        first.start()
        second.start()
        await scene.block(KEYS)
        async with asyncio.timeout(20):
            while first.alive and second.alive:
                await asyncio.sleep(0.02)
        took = await scene.settled(within=60)
    print(f"\ntaken over and settled after {took:.1f} s")
    assert took < 30
    assert await scene.blocked() == NAMES


async def test_a_worker_that_is_told_to_end_leaves_nothing_behind(scene):
    """Its calls under way end, and whoever comes next waits for no lease."""
    await scene.partner()
    await scene.slow(20)
    await scene.block(KEYS)
    async with scene.workers(2) as (first, second):
        first.start()
        while (await scene.ask())["calls"] < 10:
            await asyncio.sleep(0.02)
        first.signal(signal.SIGTERM)
        await first.until("Z", within=SHORT.deadline + 2)
        assert await scene.pool.fetchval(_LEASED) == 0
        assert await scene.open() > 0
        second.start()
        await scene.settled(within=30)
    assert await scene.blocked() == NAMES
    assert (await scene.ask())["duplicates"] == 0


@pytest.mark.parametrize("limit", [resource.RLIMIT_NOFILE, resource.RLIMIT_AS], ids=["files", "memory"])
async def test_a_worker_that_is_starved_holds_nobody_up(scene, limit):
    """No more files, or no more memory: whether it ends or fails, another one does the work."""
    await scene.partner()
    async with scene.workers(2) as (first, second):
        first.start()
        async with asyncio.timeout(20):
            while not first.events()["worker.started"]:
                await asyncio.sleep(0.05)
        resource.prlimit(first.pid, limit, (8, 8))
        await scene.block(KEYS)
        await asyncio.sleep(1)
        second.start()
        await scene.settled(within=40)
    assert await scene.blocked() == NAMES


async def test_two_workers_that_are_the_same_in_all_but_their_number(scene):
    """Nothing that a worker is called matters: leases are the rows'."""
    await scene.partner()
    await scene.block(KEYS)
    async with scene.workers(2) as (first, second):
        second.log = first.log
        first.start()
        second.start()
        for decide in (scene.release, scene.block, scene.release, scene.block):
            await scene.settled(within=30)
            await decide(KEYS)
        await scene.settled(within=30)
    assert await scene.blocked() == NAMES
    assert (await scene.ask())["duplicates"] == 0
    for name in NAMES[:8]:
        assert await scene.history(name) == ["blocked", "released"] * 2 + ["blocked"]


async def test_an_identifier_that_crashes_its_workers_is_parked_it_alone(scene):
    """Others that were told beside it, by the workers that died of it, are told."""
    await scene.partner(moment="before", imei=imei.full(KEYS[0]))
    await scene.block(KEYS)
    crashes = 0
    async with scene.workers(1, Terms(lease=1.5, deadline=0.5, margin=0.2)) as (worker,):
        async with asyncio.timeout(60):
            while await scene.open():
                if not worker.alive:
                    worker.kill()
                    worker.start()
                    crashes += 1
                await asyncio.sleep(0.05)
        assert worker.alive
    assert crashes > 3
    assert await scene.blocked() == NAMES[1:]
    parked = await scene.pool.fetch("SELECT key, code FROM delivery_item WHERE state = 'parked'")
    assert [(row["key"], row["code"]) for row in parked] == [(KEYS[0], "poison")]


@pytest.mark.parametrize("raised", ["SystemExit", "CancelledError", "RecursionError", "MemoryError"])
async def test_whatever_an_adapter_raises_its_worker_lives(scene, raised):
    await scene.partner(moment="before", raises=raised, imei=imei.full(KEYS[0]))
    await scene.block(KEYS)
    async with scene.workers(1) as (worker,):
        worker.start()
        async with asyncio.timeout(30):
            while len(await scene.blocked()) < len(KEYS) - 1:
                await asyncio.sleep(0.05)
        assert worker.alive
        assert not worker.events()["delivery.lane_failed"]
    told = await scene.pool.fetch("SELECT body FROM audit_entry WHERE kind = 'delivery.attempted'")
    assert any(f'"the adapter broke: {raised}"' in entry["body"] for entry in told)


async def test_an_adapter_that_stops_the_loop_is_named(scene):
    """The others wait for it, and whoever reads the log knows for whom."""
    await scene.partner(moment="before", blocks=1.5, call=3)
    await scene.block(KEYS)
    async with scene.workers(1) as (worker,):
        worker.start()
        await scene.settled(within=30)
        blocked = [line for line in worker.log.read_text().splitlines() if "loop.blocked" in line]
    assert len(blocked) == 1
    assert json.loads(blocked[0])["at"][0].startswith("tests.faults.fragile:")
    assert await scene.blocked() == NAMES
