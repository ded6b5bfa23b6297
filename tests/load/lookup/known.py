"""What it costs to know who asks: the same question with a key that is recognised, and without one, taking turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

from app.access import bearers
from app.access.roles import Role
from app.blocklist.ask import answers
from app.blocklist.enquiry import Question, recognised
from app.core.db import open_pool
from app.core.gather import Gathered

from .. import goods_in
from ..figures import Figure
from . import ground
from .ground import Plan

# As many as wrk has connections.
ASKING, QUESTIONS = 96, 60_000


async def known(plan: Plan) -> AsyncIterator[Figure]:
    stock = await ground.stocked(plan, plan.registered, plan.blocked)
    bearer = bearers.claim(await goods_in.key(stock.dsn, Role.CARRIER), None)
    random = Random(11)
    async with await open_pool(stock.dsn, size=4, look_ups=True) as pool:
        by_key, bare = Gathered(pool, recognised, at_once=2), Gathered(pool, answers, at_once=2)

        async def with_key(key: int) -> None:
            assert await by_key.ask(Question(bearer, key)) is not None

        async def without(key: int) -> None:
            await bare.ask(key)

        ours, floor = [], []
        for _ in range(plan.repeat + 1):
            keys = [ground.key(random.randrange(stock.registered)) for _ in range(QUESTIONS)]
            floor.append(await _rate(without, keys))
            ours.append(await _rate(with_key, keys))
    yield Figure(
        "questions/s of a known key (floor: of nobody)",
        ours[1:],
        at_least=0.95,
        floor=floor[1:],
        of_floor=True,
    )


async def _rate(ask: Callable[[int], Awaitable[None]], keys: list[int]) -> float:
    left, began = iter(keys), time.perf_counter()

    async def one() -> None:
        for key in left:
            await ask(key)

    await asyncio.gather(*(one() for _ in range(ASKING)))
    return len(keys) / (time.perf_counter() - began)
