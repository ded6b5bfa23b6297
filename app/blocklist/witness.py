"""Notes who asks, after he was answered, and writes it down once a second: no answer waits for it. A process that dies
loses what it saw in its last second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

from app.access.roles import Permission, Principal
from app.blocklist import enumeration, sightings
from app.blocklist.enumeration import Runs
from app.blocklist.sightings import Noted
from app.blocklist.standing import STATUSES, Standing, Status
from app.core import log
from app.core.db import Connection, Pool, transaction

EVERY = 1.0
MOST = 100_000
"""How many identifiers are held until they are written down."""
MOST_CLEAR = 20_000
"""How many clear ones among them, which may be in stock: to look at them takes the database time."""
_TOLD = {status: told for told, status in enumerate(STATUSES)}
_LOG = log.get("blocklist")


class Via(NamedTuple):
    """By which way somebody asked, and what that says of where: `mcc:208`, the country of the SIM."""

    way: str
    place: str = ""


class _Seen:
    """What was seen of one identifier, one asker and one way."""

    __slots__ = ("first", "last", "standing", "times")

    def __init__(self, standing: Standing, at: datetime) -> None:
        self.standing = standing
        self.times = 0
        self.first = self.last = at


_What = tuple[int, int, str, Via]


class Witness:
    """What one process has seen and not written down. `now` is the time of day."""

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now
        self._seen: dict[_What, _Seen] = {}
        self._clear = 0
        self._shed = 0
        self._asked: list[tuple[str, Iterable[int]]] = []
        self._runs = Runs()

    def saw(self, asker: Principal, via: Via, keys: Iterable[int], found: Mapping[int, Standing]) -> None:
        """Somebody asked for these identifiers, and was told this of those that are known."""
        if asker.may(Permission.INCIDENTS_READ):
            return
        self._asked.append((asker.key_id, keys))
        at = self._now()
        for key, standing in found.items():
            if standing.status is not Status.UNKNOWN:
                self._note((key, _TOLD[standing.status], asker.key_id, via), standing, at)

    def _note(self, what: _What, standing: Standing, at: datetime) -> None:
        seen = self._seen.get(what)
        if seen is None:
            is_clear = not what[1]
            # One that is clear and not registered here is no news, nor is an identifier for tests.
            if (standing.device_id is None) if is_clear else not standing.held_by:
                return
            if len(self._seen) >= MOST or (is_clear and self._clear >= MOST_CLEAR):
                self._shed += 1
                return
            self._clear += is_clear
            seen = self._seen[what] = _Seen(standing, at)
        seen.times += 1
        seen.last = at

    async def run(self, stopping: asyncio.Event) -> None:
        """Writes down what was seen, every second until it is told to stop, and then what is left."""
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), EVERY)
            await self.write()

    async def write(self) -> None:
        """Writes down what was seen. If the database is away, it is kept for the next time."""
        seen, self._seen, self._clear = self._seen, {}, 0
        asked, self._asked = self._asked, []
        if self._shed:
            _LOG.warning("sightings.shed", identifiers=self._shed)
            self._shed = 0
        now = self._now()
        for key_id, keys in asked:
            self._runs.add(key_id, keys, now)
            # Others are answered meanwhile.
            await asyncio.sleep(0)
        noted, heard = [_noted(*each) for each in seen.items()], self._runs.news()
        if not noted and not heard:
            return
        try:
            await transaction(self._pool, partial(_written, noted, heard, now))
        except Exception as error:  # whatever it was, the next second is another
            _LOG.warning("sightings.not_written", error=repr(error), identifiers=len(seen))
            self._keep(seen)

    def _keep(self, seen: dict[_What, _Seen]) -> None:
        """For the next time, with what was seen since."""
        for what, since in self._seen.items():
            if before := seen.get(what):
                before.times, before.last = before.times + since.times, since.last
            elif len(seen) < MOST:
                seen[what] = since
        self._seen = seen
        self._clear = sum(not what[1] for what in seen)


async def _written(
    noted: list[Noted], heard: Mapping[tuple[str, int], int], now: datetime, conn: Connection
) -> None:
    await sightings.note(conn, noted, now)
    await enumeration.guard(conn, heard, now)


def _noted(what: _What, seen: _Seen) -> Noted:
    key, told, asked_by, via = what
    held_by = seen.standing.held_by
    incident = held_by[0] if held_by else None
    return Noted(
        key, told, asked_by, *via, "", incident, seen.standing.device_id, seen.times, seen.first, seen.last
    )
