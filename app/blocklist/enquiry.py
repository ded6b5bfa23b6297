"""Whoever asks, in whatever dialect, asks here: the question is answered from the database, and who asked is noted
afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from app.access import bearers
from app.access.bearers import Bearer
from app.access.roles import Permission, Principal
from app.blocklist.ask import Answer, Counter, Found, Serial, answers, look_up
from app.blocklist.lookout import Lookout, Via
from app.core.db import Connection, Pool
from app.core.gather import Gathered

MOST_AT_ONCE = 3
# Seconds. Whoever asks for a handset that somebody wants to use now asks somebody else after some more.
ANSWER_WITHIN, MANY_WITHIN = 4.0, 10.0


class Question(NamedTuple):
    """Which identifier somebody asks for, and what he shows of who he is."""

    bearer: Bearer
    key: int


class Told(NamedTuple):
    """Who has asked, and the answer."""

    asker: Principal
    answer: Answer


class Enquiries:
    """All that is asked in one process."""

    def __init__(self, pool: Pool, lookout: Lookout) -> None:
        self._pool = pool
        self._counter: Counter = Gathered(pool, answers, within=ANSWER_WITHIN)
        self._by_bearer: Gathered[Question, Told | None] = Gathered(
            pool, recognised, at_once=2, within=ANSWER_WITHIN
        )
        self._lookout = lookout
        # A connection of those for look-ups is busy for long with ten thousand: the others are for who asks for one.
        self._many = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(self, asker: Principal, asked: int | Serial, via: Via) -> Answer:
        """The standing of one identifier; those that many ask for are looked up together."""
        answer = await self._counter.ask(asked)
        key = asked if isinstance(asked, int) else answer.standing.key
        if key is not None:
            self._lookout.saw(asker, via, key, answer.standing)
        return answer

    def by_bearer(self, question: Question) -> Awaitable[Told | None]:
        """Who has asked, and the answer, read at once; None where nobody is known who may ask. What is then told is to
        be noted."""
        return self._by_bearer.ask(question)

    def note(self, asker: Principal, key: int, answer: Answer, via: Via) -> None:
        self._lookout.saw(asker, via, key, answer.standing)

    async def many(self, asker: Principal, keys: Sequence[int], units: Sequence[Serial], via: Via) -> Found:
        """The standings of many, all of one moment."""
        async with asyncio.timeout(MANY_WITHIN), self._many, self._pool.acquire(timeout=10) as conn:
            found = await look_up(conn, keys, sorted({*units}))
        self._lookout.saw_many(asker, via, keys, found)
        return found


async def recognised(conn: Connection, asked: Sequence[Question]) -> Callable[[Question], Told | None]:
    """Nothing is looked up for somebody who is not known, or may not ask."""
    whose = await bearers.recognised(conn, {question.bearer for question in asked})
    askers = {bearer: whose(bearer) for bearer in {question.bearer for question in asked}}
    allowed = {
        bearer: asker for bearer, asker in askers.items() if asker and asker.may(Permission.STATUS_READ)
    }
    answer = await answers(conn, [question.key for question in asked if question.bearer in allowed])

    def told(question: Question) -> Told | None:
        asker = allowed.get(question.bearer)
        return Told(asker, answer(question.key)) if asker else None

    return told
