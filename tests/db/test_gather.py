"""Questions that are gathered, on a real connection: each is answered, by a statement that began after it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.core.gather import Gathered


class Counter:
    """Answers with the number of its statement, each of which takes a while; and knows how many were under way."""

    def __init__(self, pool: Any, at_once: int) -> None:
        self.statements = self.under_way = self.most = 0
        self.gathered: Gathered[int, int] = Gathered(pool, self._answer, at_once=at_once)

    async def _answer(self, conn: Any, asked: Sequence[int]) -> Callable[[int], int]:
        self.statements += 1
        number = self.statements
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await conn.execute("SELECT pg_sleep(0.05)")
        self.under_way -= 1
        if 13 in asked:
            raise ConnectionError("nobody answers this")
        return lambda question: number // (0 if question == 666 else 1)


@pytest.mark.parametrize("at_once", [1, 2])
async def test_who_asks_while_a_statement_is_under_way_waits_for_the_next(pool: Any, at_once: int) -> None:
    counter = Counter(pool, at_once)
    first = [counter.gathered.ask(1), counter.gathered.ask(2), counter.gathered.ask(1)]
    await asyncio.sleep(0.02)
    began = counter.statements
    late = counter.gathered.ask(1)
    assert await asyncio.gather(*first) == [1, 1, 1]
    assert await late > began


async def test_no_more_statements_are_under_way_than_may_be(pool: Any) -> None:
    counter = Counter(pool, 2)

    async def asks(number: int) -> int:
        await asyncio.sleep(number / 1000)
        return await counter.gathered.ask(number + 1000)

    await asyncio.gather(*map(asks, range(200)))
    assert counter.most == 2
    assert counter.statements < 20


@pytest.mark.parametrize(("spoilt", "error"), [(13, ConnectionError), (666, ZeroDivisionError)])
async def test_a_fault_is_everybodys_of_that_statement_and_nobodys_after_it(
    pool: Any, spoilt: int, error: type[Exception]
) -> None:
    counter = Counter(pool, 1)
    async with asyncio.timeout(5):
        told = await asyncio.gather(
            counter.gathered.ask(1), counter.gathered.ask(spoilt), return_exceptions=True
        )
        assert {type(each) for each in told} == {error}
        assert await counter.gathered.ask(1) == 2


async def test_who_has_gone_away_holds_nobody_up(pool: Any) -> None:
    counter = Counter(pool, 1)
    gone, there = counter.gathered.ask(1), counter.gathered.ask(1)
    gone.cancel()
    assert await asyncio.wait_for(there, 5) == 1
