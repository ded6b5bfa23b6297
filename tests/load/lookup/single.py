"""One question a request, beside a bare route that is asked in the same way, taking turns; and again where the server
has a core for itself, so that the database and wrk take nothing from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext

from ..figures import Figure
from . import bare, ground, wrk
from .ground import Plan
from .wrk import Asked, Asking, Target

# What DIRBS Core answers on two cores, uncached.
PEER = 135
Pair = tuple[Asked, Asked]


async def single(plan: Plan) -> AsyncIterator[Figure]:
    stock = await ground.stocked(plan, plan.registered, plan.blocked)
    async with ground.serving(plan, stock) as gateway, bare.serving(plan) as floor:
        pair = wrk.target(plan, gateway, gateway), wrk.target(plan, gateway, floor)
        for each in pair:
            await Asking(each, 1).asked()
        for apart in (False, True):
            found = [await _turn(plan, pair, apart) for _ in range(plan.repeat)]
            for figure in _figures("single, own core" if apart else "single", found):
                yield figure


async def _turn(plan: Plan, pair: tuple[Target, Target], apart: bool) -> Pair:
    ours, floor = pair
    with ours.alone() if apart else nullcontext(), floor.alone() if apart else nullcontext():
        below = await Asking(floor, plan.seconds, apart=apart).asked()
        return await Asking(ours, plan.seconds, apart=apart).asked(), below


def _figures(what: str, found: Sequence[Pair]) -> list[Figure]:
    ours, floor = zip(*found, strict=True)
    rates = [one.rate for one in ours]

    def beside(name: str, field: str, **goal: float) -> Figure:
        values, below = ([getattr(one, field) for one in side] for side in (ours, floor))
        return Figure(f"{what}, {name}", values, floor=below, of_floor=True, **goal)

    return [
        beside("answers/s (floor: a bare route)", "rate", at_least=0.8),
        beside("p99, ms (floor: a bare route)", "p99", at_most=2),
        Figure(
            f"{what}, answers/s (floor: the peer)",
            rates,
            at_least=50,
            floor=[PEER] * len(rates),
            of_floor=True,
        ),
        beside("CPU s a million: web process", "web"),
        beside("CPU s a million: wrk", "wrk"),
        Figure(f"{what}, CPU s a million: PostgreSQL", [one.database for one in ours]),
    ]
