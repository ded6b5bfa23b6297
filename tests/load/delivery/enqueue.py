"""What it costs to queue a decision for thirty partners, on top of locking and marking what it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.core.db import Pool

from ..figures import Figure
from . import ground, null
from .ground import Plan

PARTNERS = 30
MILLION = 1_000_000


async def enqueue(plan: Plan) -> AsyncIterator[Figure]:
    async for figure in _measured(plan, plan.devices, 1.0):
        yield figure


async def million(plan: Plan) -> AsyncIterator[Figure]:
    async for figure in _measured(plan, MILLION, 8.0):
        yield figure


async def _measured(plan: Plan, devices: int, goal: float) -> AsyncIterator[Figure]:
    spent, grown = [], []
    async with ground.database(plan) as (pool, _):
        for number in range(PARTNERS):
            await ground.partner(pool, f"null {number}", null.KIND, {})
        for _ in range(plan.repeat):
            before = await _stored(pool)
            spent.append(await ground.block(pool, ground.keys(devices)))
            grown.append(await _stored(pool) - before)
    what = f"{devices:,} devices × {PARTNERS} partners"
    on_top = [one.queuing + one.commit for one in spent]
    yield Figure(
        f"queue {what}, s (floor: marking)", on_top, at_most=goal, floor=[one.marking for one in spent]
    )
    yield Figure(f"storage for {what}, MB", grown)


async def _stored(pool: Pool) -> float:
    """Megabytes of the engine's tables, with their indexes."""
    size: float = await pool.fetchval(
        "SELECT sum(pg_total_relation_size(name::regclass))::double precision"
        " FROM unnest(ARRAY['chunk', 'command', 'delivery', 'partner_lane', 'partner_pace', 'progress']) AS name"
    )
    return size / 1e6
