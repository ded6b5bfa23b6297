"""Ten thefts at once, for ten partners: how evenly partners, and thefts, have been served when half is done, as Jain's
index has it (1 is even; a tenth is one alone)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable

from ..figures import Figure
from . import ground, null
from .ground import Plan

PARTNERS, THEFTS = 10, 10


async def fair(plan: Plan) -> AsyncIterator[Figure]:
    partners, thefts = [], []
    for _ in range(plan.repeat):
        served = await _served(plan)
        for index, place in ((partners, 0), (thefts, 1)):
            counts = Counter[int]()
            for pair, count in served.items():
                counts[pair[place]] += count
            index.append(_jain(counts.values()))
    yield Figure(f"{THEFTS} thefts at once: Jain's index, partners", partners, at_least=0.95)
    yield Figure(f"{THEFTS} thefts at once: Jain's index, thefts", thefts, at_least=0.95)


async def _served(plan: Plan) -> dict[tuple[int, int], int]:
    """How many orders of each (partner, command) are done when half of all are."""
    async with ground.database(plan) as (pool, dsn):
        for number in range(PARTNERS):
            await ground.partner(pool, f"null {number}", null.KIND, {})
        async with ground.workers(plan, pool, dsn, plan.workers):
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute("UPDATE partner SET paused = true")
            told = [(await ground.block(pool, ground.keys(plan.devices))).command for _ in range(THEFTS)]
            await pool.execute("UPDATE partner SET paused = false")
            while True:
                rows = await pool.fetch(
                    "SELECT partner_id, command_id, done, wanted FROM progress WHERE command_id = ANY ($1)",
                    told,
                )
                if 2 * sum(row["done"] for row in rows) >= sum(row["wanted"] for row in rows):
                    return {(row["partner_id"], row["command_id"]): row["done"] for row in rows}
                await asyncio.sleep(0.02)


def _jain(counts: Iterable[int]) -> float:
    served = list(counts)
    return sum(served) ** 2 / (len(served) * sum(count**2 for count in served))
