"""Ten thousand IMEIs a request, beside the same done by hand, taking turns."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..figures import Figure
from . import floor, ground, wrk
from .ground import Plan
from .wrk import Asking, Target

SIZE = 10_000
# While one answer is being written, the database finds others.
CONNECTIONS = 8


async def bulk(plan: Plan) -> AsyncIterator[Figure]:
    stock = await ground.stocked(plan, plan.registered, plan.blocked)
    ours, by_hand = [], []
    async with ground.serving(plan, stock) as gateway:
        target = wrk.target(plan, gateway, gateway)
        await rate(target, 1)
        for _ in range(plan.repeat):
            by_hand.append(await floor.answered(stock, SIZE, plan.seconds))
            ours.append(await rate(target, plan.seconds))
    yield Figure("bulk of 10,000, IMEIs/s (floor: by hand)", ours, at_least=300_000, floor=by_hand)


async def rate(target: Target, seconds: float) -> float:
    """IMEIs a second."""
    return SIZE * (await Asking(target, seconds, many=SIZE, connections=CONNECTIONS).asked()).rate
