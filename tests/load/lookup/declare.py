"""What carriers notice while a theft is declared: pallets of devices, submitted and approved while questions go on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp

from ..figures import Figure
from . import ground, wrk
from .deciding import Desk
from .ground import Plan
from .wrk import Asked, Asking, Target

DEVICES = 50_000
# Longer than it can take.
WITHIN = 600


class Seen(NamedTuple):
    """What carriers saw, and the seconds that the declaration took."""

    asked: Asked
    took: float


async def declare(plan: Plan) -> AsyncIterator[Figure]:
    stock = await ground.stocked(plan, plan.registered, plan.blocked)
    idle, during = [], []
    async with ground.serving(plan, stock) as gateway, aiohttp.ClientSession() as session:
        target, desk = wrk.target(plan, gateway, gateway), Desk(gateway, session)
        await Asking(target, 1).asked()
        for _ in range(plan.repeat):
            numbers = await ground.delivered(stock, DEVICES)
            incident = await desk.draft(pallets=[ground.pallet(number) for number in numbers])
            idle.append(await Asking(target, plan.seconds).asked())
            during.append(await _meanwhile(target, desk, incident))
    what = f"{DEVICES:,} declared"
    p99 = [one.p99 for one in idle]
    yield Figure(
        f"{what}: p99, ms (floor: idle)",
        [one.asked.p99 for one in during],
        at_most=3,
        floor=p99,
        of_floor=True,
    )
    rates = [one.rate for one in idle]
    yield Figure(f"{what}: answers/s (floor: idle)", [one.asked.rate for one in during], floor=rates)
    yield Figure(f"{what}: submitted and approved, s", [one.took for one in during])


async def _meanwhile(target: Target, desk: Desk, incident: int) -> Seen:
    asking = Asking(target, WITHIN)
    try:
        began = time.monotonic()
        await desk.submit(incident)
        await desk.approve(incident)
        took = time.monotonic() - began
    finally:
        asking.end()
    return Seen(await asking.asked(), took)
