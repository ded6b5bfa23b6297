"""What peers ask, gathered: those that come while a statement is under way are answered together by the next, from
PostgreSQL and never from a cache. A key is looked at together with what it asks for, so a revoked one is refused at its
very next question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import asyncpg

from app.access import keys
from app.access.quotas import Quotas
from app.access.roles import Permission, Principal
from app.blocklist import ask
from app.blocklist.lookout import Lookout, Via
from app.blocklist.standing import Standing, Status
from app.core.db import Connection, Pool, asks_again
from app.core.errors import Unavailable
from app.core.gather import Gathered

# Seconds. An MME gives up on us after some more, and may then let the equipment in.
ANSWER_WITHIN = 4.0
AGAIN = 0.1
_NOBODYS = Standing(Status.UNKNOWN)


class Question(NamedTuple):
    """A peer's key asks for the status of an equipment; None for one that nobody can know."""

    key_id: str
    key: int | None


class Told(NamedTuple):
    """Who has asked, None where the key is revoked; and how the equipment stands."""

    asker: Principal | None
    standing: Standing


class Questions:
    """Where the questions of all peers are gathered. `quota`: of a key that has none of its own; the `lookout` notes
    who has asked."""

    def __init__(self, pool: Pool, quotas: Quotas, quota: int, lookout: Lookout) -> None:
        self._gathered: Gathered[Question, Told] = Gathered(pool, _answers, at_once=2)
        self._quotas = quotas
        self._quota = quota
        self._lookout = lookout

    async def ask(self, question: Question, place: str = "") -> Told:
        """`place`: what the question says of where the equipment is. Raises Unavailable where the database refuses, or
        has not answered in time however often it was asked, and Exhausted."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                told = await self._persistently(question)
        except TimeoutError:
            raise Unavailable(f"The database has not answered for {ANSWER_WITHIN:g} s") from None
        except asyncpg.PostgresError as error:
            raise Unavailable(f"The database refuses: {error}") from error
        if told.asker and told.asker.may(Permission.STATUS_READ) and question.key is not None:
            self._lookout.saw(told.asker, Via("s13", place), question.key, told.standing)
        return told

    async def _persistently(self, question: Question) -> Told:
        while True:
            try:
                told = await self._gathered.ask(question)
                await self._spend(told.asker)
            except Exception as error:
                if not asks_again(error):
                    raise
            else:
                return told
            await asyncio.sleep(AGAIN)

    async def _spend(self, asker: Principal | None) -> None:
        if asker is None or not asker.may(Permission.STATUS_READ):
            return
        quota = self._quota if asker.quota is None else asker.quota
        if quota:
            await self._quotas.spend(asker.key_id, quota, 1)


async def _answers(conn: Connection, asked: list[Question]) -> Callable[[Question], Told]:
    who = await keys.acting(conn, {one.key_id for one in asked})
    answer = await ask.answers(conn, [one.key for one in asked if one.key is not None])

    def told(one: Question) -> Told:
        standing = _NOBODYS if one.key is None else answer(one.key).standing
        return Told(who.get(one.key_id), standing)

    return told
