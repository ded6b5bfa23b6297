"""Everything at once, for as long as it takes: real workers, a real PostgreSQL, practice partners in processes of
their own behind proxies, people who decide, and a hand that harms all of them as a seed tells it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.core import postgres, postgres_files
from app.core.db import Pool, open_pool, transaction
from app.core.migrate import migrate
from app.delivery import partners
from app.delivery.send import Terms
from app.sandbox import server
from app.sandbox.server import Running

from .overlapping import Counted, declared, withdrawn
from .people import add_partner
from .proxy import Proxy, Toxic
from .verdict import Verdict, judge
from .workers import Worker, at_work
from .world import FIRST_KEY

TERMS = Terms(lease=3.0, deadline=1.0, margin=0.4)
KINDS = ("eir_push", "ceir", "webhook")
DEVICES = 400
WORKERS = 3
# Long enough for every lane to be held most of the time.
LATENCY_MS = 40
FAULTS: tuple[dict[str, Any], ...] = (
    {"fail_rate": 0.5, "fail_status": 500},
    {"fail_rate": 0.5, "fail_status": 503, "applied": True},
    {"drop_rate": 0.5, "applied": True},
    {"drop_rate": 0.5},
    {"garble_rate": 0.5},
    {"hang_rate": 0.3},
    {"hang_rate": 0.3, "applied": True},
    {"item_retry_rate": 0.5},
    {"calls_per_second": 20},
    {"down_for_s": 1.0},
)
TOXICS = (
    Toxic("latency", 0.15), Toxic("bandwidth", 2000), Toxic("slow_close", 0.3), Toxic("timeout"), Toxic("reset", 10),
    Toxic("slicer", 40), Toxic("down"),
)  # fmt: skip
HARMS = ("kill", "sleep", "partner", "proxy", "postgres", "backends", "frozen")


class Vortex:
    """One run. `acted` counts the harm that was done, `unknown` decisions of which nobody heard whether they stand."""

    def __init__(self, seed: int, pool: Pool, data_dir: Path, workers: list[Worker]) -> None:
        self.chance, self.pool, self.data_dir, self.workers = Random(seed), pool, data_dir, workers
        self.partners: dict[str, Running] = {}
        self.proxies: dict[str, Proxy] = {}
        self.acted: Counter[str] = Counter()
        self.unknown = 0
        self.held: dict[int, Sequence[int]] = {}
        self.over = asyncio.Event()

    async def add(self, running: Running) -> None:
        address = urlsplit(running.url)
        proxy = Proxy(address.hostname or "", address.port or 0)
        await proxy.open()
        self.partners[running.kind], self.proxies[running.kind] = running, proxy
        settings = server.settings(running.kind, f"http://127.0.0.1:{proxy.port}")
        await add_partner(self.pool, running.kind, running.kind, settings)
        await self._order(running.kind, {})

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────

    async def decide(self, name: str, chance: Random) -> None:
        """Declares and withdraws, one after the other, until it is over; remembers what stands. Were most of it blocked
        several times over, hardly a decision would change anything for anybody."""
        number, mine = 0, list[tuple[int, list[int]]]()
        while not self.over.is_set():
            if len(mine) > 1 or (mine and chance.random() < 0.5):
                incident, keys = mine.pop(chance.randrange(len(mine)))
                await self._withdraw(incident, keys)
            else:
                number += 1
                keys = chance.sample(range(FIRST_KEY, FIRST_KEY + DEVICES), chance.randint(20, 120))
                incident_or_none = await self.declare(f"{name} {number}", keys)
                if incident_or_none is not None:
                    mine.append((incident_or_none, keys))
            await asyncio.sleep(chance.uniform(0.1, 0.3))

    async def declare(self, title: str, keys: Sequence[int]) -> int | None:
        try:
            incident: int | None = await declared(Counted(self.pool), keys, title)
        except Exception:
            self.unknown += 1
            incident, state = await self._look("title = $1", title)
            if state != "approved":
                return None
        assert incident is not None
        self.held[incident] = keys
        return incident

    async def _withdraw(self, incident: int, keys: list[int]) -> None:
        try:
            await withdrawn(Counted(self.pool), incident)
        except Exception:
            self.unknown += 1
            _, state = await self._look("incident_id = $1", incident)
            if state != "withdrawn":
                return
        del self.held[incident]

    async def _look(self, where: str, which: object) -> tuple[int | None, str]:
        """Who was not told looks, until the database answers."""
        while True:
            with suppress(Exception):
                row = await self.pool.fetchrow(
                    f"SELECT incident_id, state FROM incident WHERE {where}", which
                )
                return (row["incident_id"], row["state"]) if row else (None, "")
            await asyncio.sleep(0.1)

    # ── harm ────────────────────────────────────────────────────────────────────────────────────────────

    async def harm(self, seconds: float) -> None:
        """Each kind once, in any order, then as chance has it, at most twice as much of what stops everybody."""
        while not await self.pool.fetchval("SELECT count(*) FROM progress WHERE calls > 5"):
            await asyncio.sleep(0.1)
        plan = self.chance.sample(HARMS, len(HARMS)) + self.chance.choices(
            HARMS, (4, 2, 6, 5, 0.3, 1, 1), k=400
        )
        ends = asyncio.get_running_loop().time() + seconds
        for place, name in enumerate(plan):
            if place >= len(HARMS) and asyncio.get_running_loop().time() > ends:
                break
            self.acted[name] += 1
            await getattr(self, f"_{name}")()
            await self._resume()
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))
        await self._harm_until_seen()
        self.over.set()
        for worker in self.workers:
            worker.signal(signal.SIGCONT)

    async def _harm_until_seen(self) -> None:
        """A sleeper that had nothing to do, and a partner that nobody called, have shown nothing."""
        async with asyncio.timeout(90):
            while True:
                await self._resume()
                if not self.events()["delivery.stale"]:
                    await self._sleep_in_calls()
                elif not await self._count("SELECT sum(failed_calls) FROM progress"):
                    await self._partner()
                elif not any(proxy.harmed for proxy in self.proxies.values()):
                    await self._proxy()
                else:
                    return

    async def _sleep_in_calls(self) -> None:
        """One after the other, until one slept with calls in its hands and another took over a lane of its."""
        for worker in self.workers:
            worker.signal(signal.SIGSTOP)
            held = await self._leases()
            await asyncio.sleep(TERMS.lease - TERMS.margin)
            # Whoever is awake prolongs its leases before that.
            held &= await self._leases()
            for _ in range(50 if held else 0):
                if not held <= await self._leases("lease_until > '-infinity'"):
                    break
                await asyncio.sleep(0.2)
            worker.signal(signal.SIGCONT)
            await asyncio.sleep(TERMS.deadline)
            if held:
                return

    async def _leases(
        self, where: str = "lease_until > clock_timestamp() AND pending > 0"
    ) -> set[tuple[object, ...]]:
        columns = "partner_id, lane, lease_token, lease_until"
        rows = await self.pool.fetch(f"SELECT {columns} FROM partner_lane WHERE {where}")
        return {tuple(row) for row in rows}

    async def _kill(self) -> None:
        worker = self.chance.choice(self.workers)
        worker.kill()
        worker.start()

    async def keep(self) -> None:
        """A worker that finds no database when it starts ends; whoever watches it starts it again."""
        while True:
            await asyncio.sleep(0.3)
            for worker in self.workers:
                if not worker.alive:
                    worker.kill()
                    worker.start()

    async def _sleep(self) -> None:
        """One sleeps for longer than its lease, while the others work."""
        worker = self.chance.choice(self.workers)
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(TERMS.lease * self.chance.uniform(1.1, 1.4))
        worker.signal(signal.SIGCONT)

    async def _partner(self) -> None:
        kind = self.chance.choice(KINDS)
        await self._order(kind, self.chance.choice(FAULTS))
        await asyncio.sleep(self.chance.uniform(0.5, 1.2))
        await self._order(kind, {})

    async def _order(self, kind: str, faults: dict[str, Any]) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            order = {"latency_ms": LATENCY_MS, **faults}
            (await client.put(f"{self.partners[kind].url}/sandbox/faults", json=order)).raise_for_status()

    async def _proxy(self) -> None:
        proxy = self.proxies[self.chance.choice(KINDS)]
        proxy.toxic = self.chance.choice(TOXICS)
        await asyncio.sleep(self.chance.uniform(0.5, 1.2))
        proxy.toxic = None

    async def _postgres(self) -> None:
        """At once, as in a power cut; the supervisor of the cluster starts it again."""
        noted = postgres_files.find(self.data_dir).folder / "postmaster.pid"
        os.kill(int(noted.read_text().splitlines()[0]), signal.SIGQUIT)
        await asyncio.sleep(1.0)

    async def _frozen(self) -> None:
        """The database answers nobody, and takes nothing back."""
        noted = postgres_files.find(self.data_dir).folder / "postmaster.pid"
        head = noted.read_text().splitlines()[0]
        below = Path(f"/proc/{head}/task/{head}/children").read_text().split()
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in (head, *below):
                with suppress(ProcessLookupError):
                    os.kill(int(process), number)
            await asyncio.sleep(1.0 if number == signal.SIGSTOP else 0.0)

    async def _backends(self) -> None:
        with suppress(Exception):
            await self.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'imei-gateway-worker' AND random() < 0.5"
            )

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────

    async def _resume(self) -> None:
        """An operator resumes every partner, or they would rest most of the time, and nothing would be harmed."""
        for number in range(1, len(KINDS) + 1):
            with suppress(Exception):
                await transaction(self.pool, partial(partners.resume, partner_id=number))

    async def drain(self, within: float) -> None:
        """Everybody is well again."""
        async with asyncio.timeout(within):
            while await self._count("SELECT count(*) FROM delivery WHERE state = 0"):
                await self._resume()
                await asyncio.sleep(1.0)

    async def _count(self, question: str) -> int:
        while True:
            with suppress(Exception):
                return int(await self.pool.fetchval(question) or 0)
            await asyncio.sleep(0.2)

    async def verdict(self) -> Verdict:
        blocked = {f"{key:014d}" for keys in self.held.values() for key in keys}
        urls = {kind: running.url for kind, running in self.partners.items()}
        return await judge(self.pool, urls, blocked, TERMS.lease)

    def events(self) -> Counter[str]:
        """What the workers logged, the dead ones too."""
        return sum((worker.events() for worker in self.workers), Counter())


@asynccontextmanager
async def vortex(seed: int, folder: Path) -> AsyncIterator[Vortex]:
    """Everything, running and well."""
    data_dir = folder / "cluster"
    started = await asyncio.to_thread(server.run_all, kinds=KINDS, seed=seed)
    try:
        async with postgres.running(data_dir) as dsn, at_work(dsn, folder, WORKERS, terms=TERMS) as workers:
            pool = await open_pool(dsn, size=6, command_timeout=20, as_owner=True)
            async with pool.acquire() as conn:
                await migrate(conn)
            made = Vortex(seed, pool, data_dir, workers)
            for running in started:
                await made.add(running)
            for worker in workers:
                worker.start()
            keeper = asyncio.create_task(made.keep())
            try:
                yield made
            finally:
                keeper.cancel()
                for proxy in made.proxies.values():
                    await proxy.close()
                pool.terminate()
    finally:
        for running in started:
            running.stop()
