"""Real workers that are killed or put to sleep at a certain moment of a call, beside a partner with books of its
own: what they held is taken over, and nothing older comes after something newer."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.adapters import registry
from app.core import imei
from app.core.db import Pool, transaction
from app.delivery import partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.delivery.send import Terms
from app.sandbox import server
from app.sandbox.server import Running

from .workers import SHORT, Worker, at_work
from .world import FIRST_KEY, block, in_lane, release, utc_now

KEYS = [FIRST_KEY + number for number in range(64)]
LANE = in_lane(64)
NAMES = sorted(f"{key:014d}" for key in KEYS)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of installed packages, with the one that brings the adapter."""
    info = tmp_path / "packages" / "fragile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nfragile = tests.faults.fragile:Fragile\n")
    monkeypatch.syspath_prepend(str(info.parent))
    registry.adapters.cache_clear()
    yield str(info.parent)
    monkeypatch.undo()
    registry.adapters.cache_clear()
    sys.modules.pop("tests.faults.fragile", None)


@pytest.fixture
async def eir() -> AsyncIterator[Running]:
    (running,) = await asyncio.to_thread(server.run_all, kinds=("eir_push",))
    yield running
    running.stop()


class Scene:
    """A partner, its row, and the decisions about the keys."""

    def __init__(self, pool: Pool, dsn: str, eir: Running, packages: str, folder: Any) -> None:
        self.pool, self.dsn, self.eir, self.packages, self.folder = pool, dsn, eir, packages, folder

    async def partner(self, **settings: Any) -> None:
        settings = {"url": self.eir.url, "once": str(self.folder / "struck"), **settings}
        async with self.pool.acquire() as conn, conn.transaction():
            await partners.add(
                conn, name="eir", adapter="fragile", settings=settings, scope=PartnerScope(), limits=Limits(),
                now=utc_now(),
            )  # fmt: skip
            self.incident = await conn.fetchval(
                "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
                " VALUES ('t', 'theft', '', '', '{}', 'draft', 'x', now()) RETURNING incident_id"
            )

    async def block(self, keys: list[int]) -> None:
        await transaction(self.pool, lambda conn: block(conn, self.incident, keys))

    async def release(self, keys: list[int]) -> None:
        await transaction(self.pool, lambda conn: release(conn, self.incident, keys))

    async def open(self) -> int:
        count: int = await self.pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0")
        return count

    async def settled(self, within: float) -> float:
        """Seconds until nothing is open."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while await self.open():
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def slow(self, ms: int) -> None:
        """The partner takes so long for each call."""
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.put(f"{self.eir.url}/sandbox/faults", json={"latency_ms": ms})

    async def ask(self, path: str = "") -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.eir.url}/sandbox{path}")).json()

    async def blocked(self) -> list[str]:
        found: list[str] = (await self.ask("/identifiers?state=blocked"))["identifiers"]
        return found

    def workers(self, count: int, terms: Terms = SHORT) -> Any:
        return at_work(self.dsn, self.folder, count, terms=terms, path=self.packages)


@pytest.fixture
async def scene(pool, database, eir, packages, tmp_path) -> Scene:
    return Scene(pool, database, eir, packages, tmp_path)


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
    assert await scene.pool.fetchval("SELECT sum(done + already) FROM progress") == len(KEYS)


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


async def _overtaken(scene: Scene, first: Worker, second: Worker) -> None:
    """The first sleeps over its lease; the second blocks everything, and releases it again; the first wakes. All in
    one lane, so that the first has no other in the middle of a transaction."""
    await scene.block(LANE)
    first.start()
    await first.until("T")
    second.start()
    await scene.settled(within=30)
    await scene.release(LANE)
    await scene.settled(within=30)
    assert await scene.blocked() == []
    first.signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        while not first.events()["delivery.stale"]:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)


async def test_a_worker_sleeps_after_its_call(scene):
    await scene.partner(moment="after", signal=int(signal.SIGSTOP), call=5)
    async with scene.workers(2) as (first, second):
        await _overtaken(scene, first, second)
        assert first.alive
    assert await scene.blocked() == []
    assert await scene.pool.fetchval("SELECT sum(done + already) FROM progress") == 2 * len(LANE)


@pytest.mark.xfail(strict=True, reason="what a sleeper still sends is noticed as stale, and not made good")
async def test_a_worker_sleeps_between_its_lease_check_and_its_call(scene):
    await scene.partner(moment="before", signal=int(signal.SIGSTOP), call=30)
    async with scene.workers(2) as (first, second):
        await _overtaken(scene, first, second)
    assert await scene.blocked() == []


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
        said = (await scene.ask(f"/identifiers/{name}"))["history"]
        assert [words.split()[0] for words in said] == ["blocked", "released"] * 2 + ["blocked"]


_HOLD = "BEGIN PERFORM pg_advisory_lock(7); PERFORM pg_advisory_unlock(7); RETURN NULL; END"


@pytest.mark.xfail(strict=True, reason="what it has locked stays locked until it wakes")
async def test_a_worker_that_sleeps_while_it_settles_holds_nobody_up_for_long(scene):
    """It has counted its progress and not committed; the rows that it has locked are those that all lanes need."""
    await scene.partner()
    await scene.block(KEYS)
    async with scene.pool.acquire() as conn, scene.workers(2) as (first, second):
        await conn.execute(f"CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $${_HOLD}$$")
        await conn.execute(
            "CREATE TRIGGER hold AFTER UPDATE ON progress FOR EACH STATEMENT EXECUTE FUNCTION hold()"
        )
        await conn.execute("SELECT pg_advisory_lock(7)")
        first.start()
        async with asyncio.timeout(20):
            while not await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND classid = 0"):
                await asyncio.sleep(0.05)
        first.signal(signal.SIGSTOP)
        await first.until("T")
        await conn.execute("SELECT pg_advisory_unlock(7)")
        second.start()
        await scene.settled(within=SHORT.lease + 8)


@pytest.mark.xfail(strict=True, reason="a batch that crashes its worker is not bisected yet")
async def test_an_identifier_that_crashes_the_worker_is_parked_and_the_others_go_on(scene):
    poison = imei.full(KEYS[0])
    await scene.partner(moment="before", imei=poison)
    await scene.block(KEYS)
    async with scene.workers(1) as (worker,):
        for _ in range(6):
            worker.start()
            try:
                await worker.until("Z", within=2 * SHORT.lease)
            except TimeoutError:
                break
            worker.kill()
        assert worker.alive, "the worker is crashed again and again"
        async with asyncio.timeout(10):
            while await scene.blocked() != NAMES[1:]:
                await asyncio.sleep(0.1)
        assert worker.alive
