"""Real workers that the system puts to sleep for longer than their lease: with a call in their hands, on its way, or
answered; and in the middle of a transaction. Others go on, and what the sleeper still tells is made good."""

from __future__ import annotations

import asyncio
import signal
from urllib.parse import urlsplit

import pytest

from .proxy import Toxic, proxied
from .scene import KEYS, LANE, NAMES, Scene
from .workers import LONGEST_TRANSACTION, SHORT, Worker

_MADE_GOOD = """
SELECT count(*) FROM audit_entry WHERE kind = 'partner.replayed' AND body::jsonb ->> 'actor' = 'worker'
"""
_HOLD = "BEGIN PERFORM pg_advisory_lock(7); PERFORM pg_advisory_unlock(7); RETURN NULL; END"
_HELD = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"


async def _wakes(scene: Scene, worker: Worker) -> None:
    """It notices that it is late, and has what it told told again, as it stands."""
    worker.signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        while not await scene.pool.fetchval(_MADE_GOOD):
            await asyncio.sleep(0.05)
    await scene.settled(within=20)
    assert worker.events()["delivery.stale"] > 0
    assert worker.alive


async def _overtaken(scene: Scene, second: Worker) -> None:
    """Another one blocks everything, and releases it again."""
    second.start()
    await scene.settled(within=30)
    await scene.release(LANE)
    await scene.settled(within=30)
    assert await scene.blocked() == []


@pytest.mark.parametrize(("moment", "call"), [("before", 8), ("after", 5)])
async def test_a_worker_sleeps_over_its_lease(scene, moment, call):
    """With the next call in its hands, or the answer to the last."""
    await scene.partner(moment=moment, signal=int(signal.SIGSTOP), call=call)
    await scene.block(LANE)
    async with scene.workers(2) as (first, second):
        first.start()
        await first.until("T")
        await _overtaken(scene, second)
        await _wakes(scene, first)
    assert await scene.blocked() == []
    assert await scene.done() == 2 * len(LANE)


async def test_a_worker_sleeps_while_its_call_is_on_its_way(scene):
    """And the way is long: the block comes to the partner after its release, which it is told again."""
    address = urlsplit(scene.eir.url)
    async with proxied(address.hostname, address.port) as proxy, scene.workers(2) as (first, second):
        url = f"http://127.0.0.1:{proxy.port}"
        await scene.partner(url=url, moment="during", signal=int(signal.SIGSTOP), call=3)
        await scene.block(LANE)
        proxy.toxic = Toxic("latency", 0.2)
        first.start()
        await first.until("T")
        gate = proxy.gate = asyncio.Event()
        await asyncio.sleep(0.4)
        proxy.gate, proxy.toxic = asyncio.Event(), None
        proxy.gate.set()
        await _overtaken(scene, second)
        gate.set()
        async with asyncio.timeout(5):
            while not (late := await scene.blocked()):
                await asyncio.sleep(0.02)
        await _wakes(scene, first)
    assert await scene.blocked() == []
    assert [await scene.history(name) for name in late] == [["blocked", "released"] * 2]
    assert await scene.done() == 2 * len(LANE)


async def test_a_worker_sleeps_in_the_middle_of_a_transaction(scene):
    """It has counted its progress and not committed; the rows that it has locked are those that all lanes need. The
    database ends its transaction; when it wakes, it has lost its leases, and counts nothing."""
    await scene.partner()
    await scene.block(KEYS)
    async with scene.pool.acquire() as conn, scene.workers(2) as (first, second):
        await conn.execute("RESET ROLE")
        await conn.execute(f"CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $${_HOLD}$$")
        await conn.execute(
            "CREATE TRIGGER hold AFTER UPDATE ON progress FOR EACH STATEMENT EXECUTE FUNCTION hold()"
        )
        await conn.execute("SELECT pg_advisory_lock(7)")
        first.start()
        async with asyncio.timeout(20):
            while not await conn.fetchval(_HELD):
                await asyncio.sleep(0.05)
        first.signal(signal.SIGSTOP)
        await first.until("T")
        await conn.execute("SELECT pg_advisory_unlock(7)")
        second.start()
        await scene.settled(within=SHORT.lease + LONGEST_TRANSACTION + 8)
        assert await scene.blocked() == NAMES
        await scene.release(KEYS)
        await scene.settled(within=30)
        await _wakes(scene, first)
    assert await scene.blocked() == []
    assert await scene.done() == 2 * len(KEYS)
