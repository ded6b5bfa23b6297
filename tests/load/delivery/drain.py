"""How fast workers settle what is queued when nobody has to be waited for, and with a transaction held open beside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.core.db import Pool

from ..figures import Figure
from . import floor, ground, null
from .ground import Plan

PARTNERS = 30


async def drain(plan: Plan) -> AsyncIterator[Figure]:
    clean, pinned, by_hand = [], [], []
    for _ in range(plan.repeat):
        async with _town(plan) as (pool, dsn):
            await ground.block(pool, ground.keys(plan.devices))
            by_hand.append(plan.devices * PARTNERS / await floor.drained(plan, dsn))
        async with _town(plan) as (pool, dsn), ground.workers(plan, pool, dsn, plan.workers):
            clean.append(await _rate(plan, pool))
            async with _pinned(dsn):
                pinned.append(await _rate(plan, pool))
    yield Figure("drain, device-ops/s (floor: by hand)", clean, at_least=300_000, floor=by_hand)
    yield Figure(
        "drain beside an open transaction (floor: drain)", pinned, at_least=0.5, floor=clean, of_floor=True
    )


@asynccontextmanager
async def _town(plan: Plan) -> AsyncIterator[tuple[Pool, str]]:
    async with ground.database(plan) as (pool, dsn):
        for number in range(PARTNERS):
            await ground.partner(pool, f"null {number}", null.KIND, {})
        yield pool, dsn


async def _rate(plan: Plan, pool: Pool) -> float:
    spent = await ground.block(pool, ground.keys(plan.devices))
    await ground.settled(pool, spent.command)
    return plan.devices * PARTNERS / await ground.told_within(pool, spent.command)


@asynccontextmanager
async def _pinned(dsn: str) -> AsyncIterator[None]:
    """A session that holds back every vacuum: its transaction has a snapshot, and a number."""
    conn = await asyncpg.connect(dsn)
    try:
        async with conn.transaction(isolation="repeatable_read"):
            await conn.execute("SELECT txid_current()")
            yield
    finally:
        await conn.close()
