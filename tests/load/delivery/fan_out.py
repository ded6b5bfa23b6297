"""The engine's calls over HTTP beside those of a bare client, to the same partner, taking turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from app.sandbox.faults import Faults
from app.sandbox.server import Running

from . import bare, ground
from .figures import Figure
from .ground import Plan

# Four partners of eight calls in flight each, all of them one server: it is not what is measured.
PARTNERS, INFLIGHT = 4, 8
LATENCY_MS = 50


async def fan_out(plan: Plan) -> AsyncIterator[Figure]:
    batches = {"identifiers_per_call": 500}
    yield await _beside(plan, "batches of 500", "webhook", batches, 0.8, plan.devices)
    yield await _beside(plan, "batches of 500", "webhook", batches, 0.8, plan.devices, LATENCY_MS)
    yield await _beside(plan, "one device a call", "eir_push", {}, 0.7, plan.devices // 20)
    yield await _beside(plan, "one device a call", "eir_push", {}, 0.7, plan.devices // 20, LATENCY_MS)


async def _beside(
    plan: Plan,
    what: str,
    kind: str,
    settings: Mapping[str, Any],
    goal: float,
    devices: int,
    latency: float = 0,
) -> Figure:
    practised = ground.practice(kind)
    try:
        await ground.misbehave(practised, Faults(latency_ms=latency))
        ours, bares = await _in_turns(plan, practised, {**practised.settings, **settings}, devices)
    finally:
        practised.stop()
    name = f"{what}, {latency:g} ms away, devices/s (floor: bare)"
    return Figure(name, ours, at_least=goal, floor=bares, of_floor=True)


async def _in_turns(
    plan: Plan, practised: Running, settings: Mapping[str, Any], devices: int
) -> tuple[list[float], list[float]]:
    ours, bares = [], []
    async with ground.database(plan) as (pool, dsn):
        for number in range(PARTNERS):
            await ground.partner(pool, f"partner {number}", practised.kind, settings, inflight=INFLIGHT)
        async with ground.workers(plan, pool, dsn, 1):
            for _ in range(plan.repeat):
                sent = ground.keys(devices) * PARTNERS
                took = await bare.took(plan, practised.kind, settings, INFLIGHT * PARTNERS, sent)
                bares.append(len(sent) / took)
                spent = await ground.block(pool, ground.keys(devices))
                await ground.settled(pool, spent.command)
                ours.append(len(sent) / await ground.told_within(pool, spent.command))
    return ours, bares
