"""Who watches which incident in this process. One reading of an incident serves all its watchers, and one
connection all readings, however many there are; whose key is revoked, or whose token is over, is told nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar.response import ServerSentEventMessage

from app.access import bearers
from app.access.bearers import Bearer
from app.access.roles import Permission, Principal
from app.core import log
from app.core.db import Connection, Pool, asks_again
from app.delivery.progress import Standing
from app.incidents.incident import Claims, Glance, Summary, glance

PULSE = 0.5
# Seconds without news after which a comment shows both ends that the other is still there.
QUIET = 15.0
_LOG = log.get("api")


class IncidentProgress(Summary, frozen=True):
    """What watchers are told: the same without scope and preview."""

    claims: Claims
    partners: list[Standing]
    settled: bool
    sightings: int


class News(msgspec.Struct, frozen=True):
    """The newest of an incident, as it is sent."""

    text: str
    ended: bool


class Watcher:
    """One stream: what it was told last and is to be told next; an older word that it has not taken is dropped."""

    def __init__(self, bearer: Bearer, actor: Principal) -> None:
        self.bearer = bearer
        self.actor = actor
        self.news: News | None = None
        self.is_over = False
        self._stirred = asyncio.Event()

    def tell(self, news: News) -> None:
        if news != self.news:
            self.news = news
            self._stirred.set()

    def end(self) -> None:
        self.is_over = True
        self._stirred.set()

    async def stirred(self) -> bool:
        """Whether there is news, or an end, within the time in which a stream may be quiet."""
        try:
            await asyncio.wait_for(self._stirred.wait(), QUIET)
        except TimeoutError:
            return False
        self._stirred.clear()
        return True


class Watchers:
    """All of them; one for each web process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._watching: dict[int, set[Watcher]] = {}
        self._joined = asyncio.Event()
        self._at_work: asyncio.Task[None] | None = None

    async def told(
        self, bearer: Bearer, actor: Principal, incident_id: int
    ) -> AsyncIterator[ServerSentEventMessage]:
        """What one watcher is sent; `actor`, who has shown this, may read the incident, which exists."""
        watcher = Watcher(bearer, actor)
        self._watching.setdefault(incident_id, set()).add(watcher)
        self._joined.set()
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        try:
            async for message in _messages(watcher):
                yield message
        finally:
            self._leave(incident_id, watcher)

    def _leave(self, incident_id: int, watcher: Watcher) -> None:
        watching = self._watching.get(incident_id, set())
        watching.discard(watcher)
        if not watching:
            self._watching.pop(incident_id, None)

    async def _work(self) -> None:
        try:
            while self._watching:
                self._joined.clear()
                await self._read_all()
                await self._rest()
        except Exception:
            _LOG.exception("api.failed", route="watchIncident")
            for watcher in self._all():
                watcher.end()
        finally:
            self._at_work = None

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._joined.wait(), PULSE)
        except TimeoutError:
            return

    async def _read_all(self) -> None:
        """A database that is away is waited for: watchers are told nothing meanwhile."""
        try:
            async with self._pool.acquire(timeout=10) as conn:
                whose = await bearers.recognised(conn, {watcher.bearer for watcher in self._all()})
                for watcher in self._all():
                    actor = whose(watcher.bearer)
                    if actor is None or not actor.may(Permission.INCIDENTS_READ):
                        watcher.end()
                for incident_id, watching in list(self._watching.items()):
                    await _read_for(conn, incident_id, watching)
        except Exception as error:
            if not (asks_again(error) or isinstance(error, TimeoutError)):
                raise

    def _all(self) -> list[Watcher]:
        return [watcher for watching in self._watching.values() for watcher in watching]


async def _messages(watcher: Watcher) -> AsyncIterator[ServerSentEventMessage]:
    while True:
        if not await watcher.stirred():
            # With data, be it empty, it would be an event.
            yield ServerSentEventMessage(comment="nothing new", data=None)
            continue
        if watcher.is_over or watcher.news is None:
            return
        news = watcher.news
        yield ServerSentEventMessage(data=news.text, event="settled" if news.ended else "progress")
        if news.ended:
            return


async def _read_for(conn: Connection, incident_id: int, watching: set[Watcher]) -> None:
    actor = next((watcher.actor for watcher in watching), None)
    if actor is None:
        return
    async with conn.transaction():
        news = _news(await glance(conn, actor, incident_id))
    for watcher in watching:
        watcher.tell(news)


def _news(found: Glance) -> News:
    fields = msgspec.structs.asdict(found.incident)
    said = IncidentProgress(
        **fields,
        claims=found.claims,
        partners=found.partners,
        settled=found.settled,
        sightings=found.sightings,
    )
    return News(msgspec.json.encode(said).decode(), found.ended)
