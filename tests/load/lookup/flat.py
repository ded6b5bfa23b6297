"""The same questions to registries of a tenth, one and ten times as many devices, taking turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from ..figures import Figure
from . import ground, wrk
from .bulk import rate
from .ground import PALLET, Plan
from .wrk import Asking, Target


async def flat(plan: Plan) -> AsyncIterator[Figure]:
    sizes = [plan.registered // 10 // PALLET * PALLET, plan.registered, plan.registered * 10]
    single: dict[int, list[float]] = {size: [] for size in sizes}
    bulk: dict[int, list[float]] = {size: [] for size in sizes}
    async with AsyncExitStack() as stack:
        targets = {size: await _serving(stack, plan, size) for size in sizes}
        for turn in range(1 + plan.repeat):
            for size, target in targets.items():
                # The first turn reads what is asked for into memory.
                answered = (await Asking(target, plan.seconds).asked()).rate
                answered_at_once = await rate(target, plan.seconds)
                if turn:
                    single[size].append(answered)
                    bulk[size].append(answered_at_once)
    for name, rates in (("single, answers/s", single), ("bulk, IMEIs/s", bulk)):
        least = rates[sizes[0]]
        for size in sizes[1:]:
            what = f"{name}: {size:,} devices (floor: {sizes[0]:,})"
            yield Figure(what, rates[size], at_least=0.9, floor=least, of_floor=True)


async def _serving(stack: AsyncExitStack, plan: Plan, registered: int) -> Target:
    # The same share of them, so that as many of the questions are sightings.
    blocked = registered * plan.blocked // plan.registered // PALLET * PALLET
    stock = await ground.stocked(plan, registered, blocked)
    gateway = await stack.enter_async_context(ground.serving(plan, stock))
    return wrk.target(plan, gateway, gateway)
