"""Notes who asks, after he was answered, and writes it down once a second, a little at a time: no answer waits for it.
A process that dies loses what it has not written yet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

import msgspec

from app.access.roles import Permission, Principal
from app.blocklist import enumeration, sightings
from app.blocklist.ask import Found
from app.blocklist.enumeration import Runs
from app.blocklist.sightings import Noted
from app.blocklist.standing import STATUSES, Standing, Status
from app.core import log
from app.core.db import Pool, transaction

EVERY = 1.0
MOST, MOST_OF_ONE = 100_000, 20_000
"""How many identifiers are held until they are written down, in all and of one key: who fills his own part hides
nothing of what others ask."""
MOST_CLEAR, MOST_CLEAR_OF_ONE = 40_000, 10_000
"""How many clear ones besides, which may be in stock: to look at them takes the database time."""
# So many at a time are written down, looked for in stock, and counted: a millisecond each.
_WRITTEN, _LOOKED_FOR, _COUNTED = 200, 1_000, 5_000
# After each of these there is a rest, so many times as long as it took: the database is there for those who ask.
_REST = 4
_TOLD = {status: told for told, status in enumerate(STATUSES)}
_LOG = log.get("blocklist")
T = TypeVar("T")


class Via(NamedTuple):
    """By which way somebody asked, and what that says of where: `mcc:208`, the country of the SIM."""

    way: str
    place: str = ""


class _Seen(msgspec.Struct, gc=False):
    """What was seen of one identifier, one asker and one way."""

    standing: Standing
    first: datetime
    last: datetime
    times: int = 0


_What = tuple[int, int, str, Via]


class _Clear(msgspec.Struct, frozen=True, gc=False):
    """A question for a clear device, which may be in stock."""

    key: int
    device_id: int
    asked_by: str
    via: Via
    at: datetime


class Lookout:
    """What one process has seen and not written down. `now` is the time of day."""

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now
        self._seen: dict[_What, _Seen] = {}
        self._clear: list[_Clear] = []
        self._asked: dict[str, list[int]] = {}
        # How many of both each key has.
        self._seen_of: Counter[str] = Counter()
        self._clear_of: Counter[str] = Counter()
        self._shed: Counter[str] = Counter()
        self._runs = Runs()

    def saw(self, asker: Principal, via: Via, key: int, standing: Standing) -> None:
        """Somebody asked for this identifier, and was told this."""
        if not asker.may(Permission.INCIDENTS_READ):
            # Serials have numbers of ours, which nobody asks for.
            if key >= 0:
                self._hear(asker, (key,))
            self._consider(asker, via, key, standing, self._now())

    def saw_many(self, asker: Principal, via: Via, keys: Sequence[int], found: Found) -> None:
        """Somebody asked for these identifiers and some units, and was told what was found."""
        if asker.may(Permission.INCIDENTS_READ):
            return
        self._hear(asker, keys)
        at = self._now()
        for standing in found.listed.values():
            if standing.key is not None:
                self._consider(asker, via, standing.key, standing, at)
        clear = found.unclaimed()
        room = min(MOST_CLEAR - len(self._clear), MOST_CLEAR_OF_ONE - self._clear_of[asker.key_id])
        taken = max(0, min(len(clear), room))
        self._shed[asker.key_id] += len(clear) - taken
        self._clear_of[asker.key_id] += taken
        self._clear += [
            _Clear(key, found.registered[key], asker.key_id, via, at) for key in islice(clear, taken)
        ]

    def _hear(self, asker: Principal, keys: Sequence[int]) -> None:
        asked = self._asked.setdefault(asker.key_id, [])
        if len(asked) < MOST:
            asked.extend(keys)

    def _consider(self, asker: Principal, via: Via, key: int, standing: Standing, at: datetime) -> None:
        if standing.held_by:
            self._note((key, _TOLD[standing.status], asker.key_id, via), standing, at)
        # Neither one that is not registered here nor one for tests.
        elif standing.device_id is None:
            return
        elif len(self._clear) < MOST_CLEAR and self._clear_of[asker.key_id] < MOST_CLEAR_OF_ONE:
            self._clear_of[asker.key_id] += 1
            self._clear.append(_Clear(key, standing.device_id, asker.key_id, via, at))
        else:
            self._shed[asker.key_id] += 1

    def _note(self, what: _What, standing: Standing, at: datetime) -> None:
        seen = self._seen.get(what)
        if seen is None:
            key_id = what[2]
            if len(self._seen) >= MOST or self._seen_of[key_id] >= MOST_OF_ONE:
                self._shed[key_id] += 1
                return
            self._seen_of[key_id] += 1
            seen = self._seen[what] = _Seen(standing, at, at)
        seen.times += 1
        seen.last = at

    async def run(self, stopping: asyncio.Event) -> None:
        """Writes down what was seen, every second until it is told to stop, and then what is left."""
        try:
            while not stopping.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), EVERY)
                await self.write(stopping)
            await self.write()
        finally:
            if left := len(self._seen) + len(self._clear):
                _LOG.warning("sightings.lost", identifiers=left)

    async def write(self, hurried: asyncio.Event | None = None) -> None:
        """Writes down what was seen, a little at a time: others are answered meanwhile, unless it is `hurried`. If the
        database is away, what is left is kept for the next time."""
        if hurried is None:
            hurried = asyncio.Event()
            hurried.set()
        if self._shed:
            _LOG.warning(
                "sightings.shed", identifiers=self._shed.total(), keys=dict(self._shed.most_common(10))
            )
            self._shed.clear()
        await self._count(hurried)
        try:
            await self._look_in_stock(hurried)
            await self._write(hurried)
            await self._guard()
        except Exception as error:  # whatever it was, the next second is another
            left = len(self._seen) + len(self._clear)
            _LOG.warning("sightings.not_written", error=repr(error), identifiers=left)

    async def _guard(self) -> None:
        if heard := self._runs.news():
            try:
                await transaction(self._pool, partial(enumeration.guard, heard=heard, now=self._now()))
            except BaseException:
                self._runs.tell_again(heard)
                raise

    async def _count(self, hurried: asyncio.Event) -> None:
        asked, self._asked = self._asked, {}
        now = self._now()
        for key_id, keys in asked.items():
            for part in _parts(keys, _COUNTED):
                async with _resting(hurried):
                    self._runs.add(key_id, part, now)

    async def _look_in_stock(self, hurried: asyncio.Event) -> None:
        """Notes what is in stock, and lets go of the rest of what was clear by now."""
        for part in _parts(self._clear, _LOOKED_FOR):
            async with _resting(hurried), self._pool.acquire(timeout=10) as conn:
                there = await sightings.in_stock(conn, {each.device_id for each in part})
            del self._clear[: len(part)]
            self._clear_of.subtract(each.asked_by for each in part)
            self._clear_of += Counter()
            for each in part:
                if each.device_id in there:
                    standing = Standing(Status.CLEAR, device_id=each.device_id, key=each.key)
                    self._note((each.key, 0, each.asked_by, each.via), standing, each.at)

    async def _write(self, hurried: asyncio.Event) -> None:
        for part in _parts(self._seen, _WRITTEN):
            async with _resting(hurried):
                self._seen_of.subtract(what[2] for what in part)
                self._seen_of += Counter()
                await self._write_part({what: self._seen.pop(what) for what in part})

    async def _write_part(self, taken: Mapping[_What, _Seen]) -> None:
        noted = [_noted(what, seen) for what, seen in taken.items()]
        try:
            await transaction(self._pool, partial(sightings.note, seen=noted, now=self._now()))
        except BaseException:
            self._keep(taken)
            raise

    def _keep(self, taken: Mapping[_What, _Seen]) -> None:
        """What could not be written down, with what was seen of the same since. What was lost in the moment of COMMIT
        may be counted twice."""
        for what, before in taken.items():
            if since := self._seen.get(what):
                since.times, since.first = since.times + before.times, before.first
            else:
                self._seen_of[what[2]] += 1
                self._seen[what] = before


@asynccontextmanager
async def _resting(hurried: asyncio.Event) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    with suppress(TimeoutError):
        await asyncio.wait_for(hurried.wait(), _REST * (loop.time() - began))
    await asyncio.sleep(0)


def _parts(whole: Iterable[T], size: int) -> Iterator[list[T]]:
    """What is there by now; what comes meanwhile is for the next time."""
    rest = iter([*whole])
    while part := list(islice(rest, size)):
        yield part


def _noted(what: _What, seen: _Seen) -> Noted:
    key, told, asked_by, via = what
    held_by = seen.standing.held_by
    incident = held_by[0] if held_by else None
    return Noted(
        key, told, asked_by, *via, "", incident, seen.standing.device_id, seen.times, seen.first, seen.last
    )
