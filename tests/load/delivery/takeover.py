"""How soon work goes on: a worker killed, a worker told to end, a database restarted at once. Real processes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from os import kill
from pathlib import Path

import asyncpg

from app.core.db import Pool
from app.sandbox.faults import Faults
from app.sandbox.server import Running

from ..figures import Figure
from . import ground
from .ground import Plan, Worker

# Calls of 50 ms, one in each lane of the partner: most of the work is left when it happens.
DEVICES, LATENCY_MS, LANES = 4_000, 50, 16


async def takeover(plan: Plan) -> AsyncIterator[Figure]:
    killed, _ = await _repeated(plan, signal.SIGKILL)
    yield Figure("kill -9: every lane in other hands, s", killed, at_most=30)
    ended, again = await _repeated(plan, signal.SIGTERM)
    yield Figure("SIGTERM: every lane in other hands, s", ended, at_most=1)
    yield Figure("SIGTERM: devices told twice", again, at_most=0)
    back = [await _restarted(plan) for _ in range(plan.repeat)]
    settling, answering = zip(*back, strict=True)
    yield Figure("database stopped at once: settling again, s", settling, at_most=5, floor=answering)


async def _repeated(plan: Plan, order: signal.Signals) -> tuple[list[float], list[float]]:
    found = [await _handed_over(plan, order) for _ in range(plan.repeat)]
    return [seconds for seconds, _ in found], [told_twice for _, told_twice in found]


async def _handed_over(plan: Plan, order: signal.Signals) -> tuple[float, float]:
    """Seconds until the second worker holds every lane that the first one held, and how many devices were told
    twice. The first one holds all lanes, so the second one has had nothing."""
    async with _at_work(plan) as (pool, dsn, first, practised, command):
        second = Worker(plan, dsn)
        try:
            await second.started()
            await asyncio.sleep(1)
            held = {row["lane"]: row["lease_token"] for row in await pool.fetch(_HELD)}
            assert len(held) == LANES, held
            kill(first.process.pid, order)
            began = time.monotonic()
            async with asyncio.timeout(60):
                while await pool.fetchval(_STILL, list(held), list(held.values())):
                    await asyncio.sleep(0.02)
            seconds = time.monotonic() - began
            return seconds, await _told_twice(pool, practised, command)
        finally:
            second.stop()


async def _restarted(plan: Plan) -> tuple[float, float]:
    """Seconds from an immediate stop to the first settlement after it; and until the database, which is started
    again by whoever keeps it up, answered."""
    async with _at_work(plan) as (pool, dsn, _, practised, command):
        kill(_postmaster(plan.folder), signal.SIGQUIT)
        began = time.monotonic()
        before = await _done(dsn)
        answering = time.monotonic() - began
        async with asyncio.timeout(60):
            while await _done(dsn) <= before:
                await asyncio.sleep(0.02)
        seconds = time.monotonic() - began
        await _told_twice(pool, practised, command)
        return seconds, answering


@asynccontextmanager
async def _at_work(plan: Plan) -> AsyncIterator[tuple[Pool, str, Worker, Running, int]]:
    """One worker in the middle of its work for one partner, which takes a device a call."""
    practised = ground.practice("eir_push")
    try:
        await ground.misbehave(practised, Faults(latency_ms=LATENCY_MS))
        async with ground.database(plan) as (pool, dsn):
            await ground.partner(pool, "eir", practised.kind, practised.settings, inflight=LANES)
            async with ground.workers(plan, pool, dsn, 1) as (worker,):
                spent = await ground.block(pool, ground.keys(DEVICES))
                while len(await pool.fetch(_HELD)) < LANES or not await _done(dsn):
                    await asyncio.sleep(0.05)
                yield pool, dsn, worker, practised, spent.command
    finally:
        practised.stop()


async def _told_twice(pool: Pool, practised: Running, command: int) -> float:
    """Waits for the end: then the partner must hold everything, whatever happened."""
    await ground.settled(pool, command)
    counts = await ground.ledger(practised)
    wanted = await pool.fetchval("SELECT count(*) FROM listing WHERE blocked_by > 0")
    assert counts["blocked"] == wanted, (counts, wanted)
    return float(counts["duplicates"])


async def _done(dsn: str) -> int:
    """What is settled of all, asked on a connection of its own once there is a database to ask."""
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            conn = await asyncpg.connect(dsn, timeout=1)
            try:
                done: int = await conn.fetchval("SELECT sum(done + already) FROM progress", timeout=1)
                return done
            finally:
                await conn.close(timeout=1)
        await asyncio.sleep(0.02)


def _postmaster(folder: Path) -> int:
    return int((folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()[0])


_HELD = "SELECT lane, lease_token FROM partner_lane WHERE lease_until > now()"
_STILL = """
SELECT EXISTS (
    SELECT FROM partner_lane AS l
    JOIN unnest($1::smallint [], $2::bigint []) AS held (lane, token) USING (lane)
    WHERE l.lease_token <= held.token AND l.pending > 0
)
"""
