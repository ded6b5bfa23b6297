"""The engine's calls over HTTP beside those of a bare client, to the same partners, taking turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from app.sandbox.faults import Faults

from ..figures import Figure
from . import bare, ground
from .ground import Plan

# Four partners with a server each, of eight calls in flight each.
PARTNERS, INFLIGHT = 4, 8
LATENCY_MS = 50


async def fan_out(plan: Plan) -> AsyncIterator[Figure]:
    batches = {"identifiers_per_call": 500}
    yield await _beside(plan, "batches of 500", "webhook", batches, 0.8, plan.devices)
    yield await _beside(plan, "batches of 500", "webhook", batches, 0.8, plan.devices, LATENCY_MS)
    yield await _beside(plan, "one device a call", "eir_push", {}, 0.7, plan.devices // 20)
    yield await _beside(plan, "one device a call", "eir_push", {}, 0.7, plan.devices // 20, LATENCY_MS)


async def _beside(
    plan: Plan, what: str, kind: str, change: Mapping[str, Any], goal: float, devices: int, latency: float = 0
) -> Figure:
    practised = [ground.practice(kind) for _ in range(PARTNERS)]
    try:
        for one in practised:
            await ground.misbehave(one, Faults(latency_ms=latency))
        settings = [{**one.settings, **change} for one in practised]
        ours, bares = await _in_turns(plan, kind, settings, devices)
    finally:
        for one in practised:
            one.stop()
    name = f"{what}, {latency:g} ms away, devices/s (floor: bare)"
    return Figure(name, ours, at_least=goal, floor=bares, of_floor=True)


async def _in_turns(
    plan: Plan, kind: str, settings: Sequence[Mapping[str, Any]], devices: int
) -> tuple[list[float], list[float]]:
    ours, bares, told = [], [], devices * PARTNERS
    async with ground.database(plan) as (pool, dsn):
        for number, one in enumerate(settings):
            await ground.partner(pool, f"{kind} {number}", kind, one, inflight=INFLIGHT)
        async with ground.workers(plan, pool, dsn, 1):
            for _ in range(plan.repeat):
                bares.append(told / await bare.took(plan, kind, settings, INFLIGHT, ground.keys(devices)))
                spent = await ground.block(pool, ground.keys(devices))
                await ground.settled(pool, spent.command)
                ours.append(told / await ground.told_within(pool, spent.command))
    return ours, bares
