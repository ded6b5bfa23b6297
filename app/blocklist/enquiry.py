"""Whoever asks, in whatever dialect, asks here: the question is answered from the database, and who asked is noted
afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from app.access.roles import Principal
from app.blocklist.ask import Answer, Counter, Found, Serial, answers, look_up
from app.blocklist.witness import Via, Witness
from app.core.db import Pool
from app.core.gather import Gathered


class Enquiries:
    """All that is asked in one process."""

    def __init__(self, pool: Pool, witness: Witness) -> None:
        self._pool = pool
        self._counter: Counter = Gathered(pool, answers)
        self._witness = witness

    async def one(self, asker: Principal, asked: int | Serial, via: Via) -> Answer:
        """The standing of one identifier; those that many ask for are looked up together."""
        answer = await self._counter.ask(asked)
        key = asked if isinstance(asked, int) else answer.standing.key
        if key is not None:
            self._witness.saw(asker, via, (key,), {key: answer.standing})
        return answer

    async def many(self, asker: Principal, keys: Sequence[int], units: Sequence[Serial], via: Via) -> Found:
        """The standings of many, all of one moment."""
        async with self._pool.acquire(timeout=10) as conn:
            found = await look_up(conn, sorted({*keys}), sorted({*units}))
        known = {standing.key: standing for standing in found.standings.values() if standing.key is not None}
        self._witness.saw(asker, via, keys, known)
        return found
