"""What it costs to know who asks: the same question with a key that is recognised, and without one, taking turns; and
what part that is of the CPU of a look-up over HTTP, the web process's and the database's. The difference is of time
that passes, all of which is held against it."""

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
from . import ground, wrk
from .ground import Plan, Stock
from .wrk import Asking

# As many as wrk has connections.
ASKING, QUESTIONS = 96, 60_000


async def known(plan: Plan) -> AsyncIterator[Figure]:
    stock = await ground.stocked(plan, plan.registered, plan.blocked)
    async with ground.serving(plan, stock) as gateway:
        target = wrk.target(plan, gateway, gateway)
        found = [await Asking(target, plan.seconds).asked() for _ in range(plan.repeat + 1)]
    whole = [one.web + one.database for one in found]
    ours, floor = await _pairs(plan, stock)
    adds = [1e6 / known - 1e6 / bare for known, bare in zip(ours, floor, strict=True)]
    yield Figure("asked inside, µs a question (floor: of nobody)", _micros(ours), floor=_micros(floor))
    yield Figure(
        "a look-up over HTTP, CPU µs (floor: less what knowing adds)",
        whole[1:],
        at_most=1.05,
        floor=[all_ - more for all_, more in zip(whole, adds, strict=True)][1:],
        of_floor=True,
    )


def _micros(rates: list[float]) -> list[float]:
    return [1e6 / rate for rate in rates[1:]]


async def _pairs(plan: Plan, stock: Stock) -> tuple[list[float], list[float]]:
    """Questions a second by a key, and by nobody; the first of each only warms up."""
    bearer = bearers.claim(await goods_in.key(stock.dsn, Role.CARRIER), None)
    random, ours, floor = Random(11), [], []
    async with await open_pool(stock.dsn, size=4, look_ups=True) as pool:
        by_key, bare = Gathered(pool, recognised, at_once=2), Gathered(pool, answers, at_once=2)

        async def with_key(key: int) -> None:
            assert await by_key.ask(Question(bearer, key)) is not None

        async def without(key: int) -> None:
            await bare.ask(key)

        for _ in range(plan.repeat + 1):
            keys = [ground.key(random.randrange(stock.registered)) for _ in range(QUESTIONS)]
            floor.append(await _rate(without, keys))
            ours.append(await _rate(with_key, keys))
    return ours, floor


async def _rate(ask: Callable[[int], Awaitable[None]], keys: list[int]) -> float:
    left, began = iter(keys), time.perf_counter()

    async def one() -> None:
        for key in left:
            await ask(key)

    await asyncio.gather(*(one() for _ in range(ASKING)))
    return len(keys) / (time.perf_counter() - began)
