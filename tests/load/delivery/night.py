"""The night of the theft: four partners a fifth of a second away, told of every device in batches of 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from app.sandbox.faults import Faults

from ..figures import Figure
from . import ground
from .ground import Plan

LATENCY_MS = 200
PARTNERS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("webhook", {}, {"identifiers_per_call": 500}),
    ("webhook", {}, {"identifiers_per_call": 500}),
    ("ceir", {"devices_per_call": 500}, {}),
    ("ceir", {"devices_per_call": 500}, {}),
)


async def night(plan: Plan) -> AsyncIterator[Figure]:
    spans, waits = [], []
    practised = [ground.practice(kind, options) for kind, options, _ in PARTNERS]
    try:
        for one in practised:
            await ground.misbehave(one, Faults(latency_ms=LATENCY_MS))
        async with ground.database(plan) as (pool, dsn):
            for number, (one, (kind, _, change)) in enumerate(zip(practised, PARTNERS, strict=True)):
                await ground.partner(pool, f"{kind} {number}", kind, {**one.settings, **change})
            async with ground.workers(plan, pool, dsn, plan.workers):
                for _ in range(plan.repeat):
                    spent = await ground.block(pool, ground.keys(plan.devices))
                    await ground.settled(pool, spent.command)
                    (row,) = await pool.fetch(_SPAN, spent.command)
                    spans.append(row["span"])
                    waits.append(row["wait"])
    finally:
        for one in practised:
            one.stop()
    what = f"{plan.devices:,} devices × {len(PARTNERS)} partners"
    yield Figure(f"{what}, first to last confirmation, s", spans, at_most=15)
    yield Figure(f"{what}, decision to last confirmation, s", waits)


_SPAN = """
SELECT
    extract(EPOCH FROM max(p.last_at) - min(p.first_at))::double precision AS span,
    extract(EPOCH FROM max(p.last_at) - min(c.ordered_at))::double precision AS wait
FROM progress AS p
JOIN command AS c USING (command_id)
WHERE command_id = $1
"""
