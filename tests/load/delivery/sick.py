"""What a partner that hangs, or fails every call, does to those that are well: small orders at a steady pace, first
with everybody well and then with one of them sick, round by round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from statistics import quantiles
from typing import NamedTuple

from app.core.db import Pool
from app.delivery import partners
from app.sandbox.faults import Faults
from app.sandbox.server import Running

from ..figures import Figure
from . import ground
from .ground import Plan

WELL, LANES = 4, 16
LATENCY_MS = 20
# A round orders ten devices for every partner so often, for so long.
EVERY, ROUND = 0.05, 20.0
SICKNESSES = {"hangs": Faults(hang_rate=1), "fails": Faults(fail_rate=1, latency_ms=LATENCY_MS)}
FINE = Faults(latency_ms=LATENCY_MS)


class Seen(NamedTuple):
    """The 99th percentiles of a round, of those partners that are well, in milliseconds: of a call, and from the
    decision to its settlement."""

    call: float
    settled: float


async def sick(plan: Plan) -> AsyncIterator[Figure]:
    practised = [ground.practice("webhook") for _ in range(WELL + 1)]
    try:
        async with ground.database(plan) as (pool, dsn):
            for number, one in enumerate(practised):
                await ground.misbehave(one, FINE)
                await ground.partner(pool, f"webhook {number}", one.kind, one.settings)
            async with ground.workers(plan, pool, dsn, plan.workers):
                for sickness, faults in SICKNESSES.items():
                    async for figure in _compared(plan, pool, practised[-1], sickness, faults):
                        yield figure
    finally:
        for one in practised:
            one.stop()


async def _compared(
    plan: Plan, pool: Pool, ill: Running, sickness: str, faults: Faults
) -> AsyncIterator[Figure]:
    before, during = [], []
    for _ in range(plan.repeat):
        before.append(await _round(pool))
        await ground.misbehave(ill, faults)
        during.append(await _round(pool))
        await ground.misbehave(ill, FINE)
        await _recovered(pool)
    for name, place in (("call", 0), ("decision to settled", 1)):
        yield Figure(
            f"one {sickness}: others' p99, {name}, ms",
            [seen[place] for seen in during],
            at_most=1.1, floor=[seen[place] for seen in before], of_floor=True,
        )  # fmt: skip


async def _round(pool: Pool) -> Seen:
    ordered: list[int] = []
    began = time.monotonic()
    while time.monotonic() - began < ROUND:
        due = began + len(ordered) * EVERY
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        ordered.append((await ground.block(pool, _of_one_lane(len(ordered)))).command)
    await _settled(pool, ordered)
    rows = await pool.fetch(_SETTLED, ordered, WELL)
    calls = await pool.fetch(_CALLED, ordered, [f"partner:{number}" for number in range(1, WELL + 1)])
    return Seen(_p99([row["ms"] for row in calls]), _p99([row["ms"] for row in rows]))


def _of_one_lane(number: int) -> list[int]:
    """Ten devices, which make one delivery for each partner."""
    return [key for key in ground.keys(LANES * ground.TACS) if key % LANES == number % LANES][:10]


async def _settled(pool: Pool, ordered: Sequence[int]) -> None:
    async with asyncio.timeout(120):
        while await pool.fetchval(_OPEN, ordered, WELL):
            await asyncio.sleep(0.2)


async def _recovered(pool: Pool) -> None:
    """The sick one is well again, and has caught up: what still hangs is waited for."""
    async with asyncio.timeout(120):
        while await pool.fetchval("SELECT EXISTS (SELECT FROM partner_lane WHERE pending > 0)"):
            with suppress(TimeoutError):
                async with pool.acquire() as conn, conn.transaction():
                    await partners.resume(conn, WELL + 1)
            await asyncio.sleep(1)


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[-1]


_OPEN = """
SELECT EXISTS (
    SELECT FROM progress WHERE command_id = ANY ($1::bigint []) AND partner_id <= $2 AND done + already < wanted
)
"""
_SETTLED = """
SELECT 1000 * extract(EPOCH FROM p.last_at - c.ordered_at)::double precision AS ms
FROM progress AS p
JOIN command AS c USING (command_id)
WHERE p.command_id = ANY ($1::bigint []) AND p.partner_id <= $2
"""
_CALLED = """
SELECT (made ->> 'ms')::double precision AS ms
FROM audit_entry, jsonb_array_elements(body::jsonb -> 'detail' -> 'calls') AS made
WHERE
    kind = 'delivery.attempted' AND subject = ANY ($2::text [])
    AND (body::jsonb -> 'detail' ->> 'command')::bigint = ANY ($1::bigint [])
"""
