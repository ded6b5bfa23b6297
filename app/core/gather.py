"""Questions to the database that many ask at once, each a small one: those that come while a statement is under way
are answered together by the next. Nobody waits for a timer, and nobody is told what was read before he asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from app.core.db import Connection, Pool

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


class Gathered(Generic[Q, A]):
    """Where questions of one kind are gathered; one for each process. `answer` gives, from one statement, a function
    that answers each of the questions it was given."""

    def __init__(
        self,
        pool: Pool,
        answer: Callable[[Connection, list[Q]], Awaitable[Callable[[Q], A]]],
        at_once: int = 1,
        within: float | None = None,
    ) -> None:
        """Who has no answer `within` so many seconds is told so, and is not waited with any longer."""
        self._pool = pool
        self._answer = answer
        self._waiting: dict[Q, list[asyncio.Future[A]]] = {}
        self._at_once = at_once
        self._at_work: set[asyncio.Task[None]] = set()
        self._within = within
        self._patience: asyncio.TimerHandle | None = None

    def ask(self, question: Q) -> asyncio.Future[A]:
        """The answer, read after this call. Raises what the database raised, and TimeoutError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        # One for all who come before the next statement: none of them waits longer, and some a little less.
        if not self._waiting and self._within is not None:
            self._patience = loop.call_later(self._within, _give_up, self._waiting)
        self._waiting.setdefault(question, []).append(future)
        if len(self._at_work) < self._at_once:
            self._at_work.add(asyncio.create_task(self._work()))
        return future

    async def _work(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting, patience = self._waiting, {}, self._patience
                await self._settle(asked)
                if patience:
                    patience.cancel()
        finally:
            # Not a moment later: whoever asks now would wait for somebody who is gone.
            self._at_work.discard(asyncio.current_task())

    async def _settle(self, asked: dict[Q, list[asyncio.Future[A]]]) -> None:
        try:
            async with self._pool.acquire(timeout=10) as conn:
                answer = await self._answer(conn, list(asked))
            told = {question: answer(question) for question in asked}
        except Exception as error:  # all who asked hear of the fault; the gathering itself goes on
            for future in _open(asked):
                future.set_exception(error)
            return
        for question, futures in asked.items():
            for future in futures:
                if not future.done():
                    future.set_result(told[question])


def _give_up(asked: dict[Q, list[asyncio.Future[A]]]) -> None:
    for future in _open(asked):
        future.set_exception(TimeoutError("The database has not answered in time"))


def _open(asked: dict[Q, list[asyncio.Future[A]]]) -> list[asyncio.Future[A]]:
    """Those who are still there."""
    return [future for futures in asked.values() for future in futures if not future.done()]
