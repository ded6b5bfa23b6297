"""A town for the engine: practice partners on real sockets, workers on a real database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from app.adapters.contract import Op
from app.blocklist import listing
from app.core.db import Pool, transaction
from app.core.keyring import Keyring
from app.delivery import commands, engine, partners, tls
from app.delivery.contacts import Contacts
from app.delivery.partners import Limits, Partner
from app.delivery.progress import Standing, progress
from app.delivery.scope import PartnerScope
from app.delivery.send import Desk, Terms
from app.delivery.tls import Tls
from app.delivery.wire import HttpWire
from app.sandbox import server
from app.sandbox.faults import Faults
from app.sandbox.ledger import State
from app.sandbox.stage import Stage


def utc_now() -> datetime:
    return datetime.now(UTC)


_CLAIM = (
    "INSERT INTO claim (incident_id, key, state) SELECT $1, key, 1 FROM unnest($2::bigint []) AS key"
    " ON CONFLICT DO NOTHING"
)
_LIFT = "UPDATE claim SET state = 2 WHERE incident_id = $1 AND key = ANY ($2::bigint [])"


class Town:
    """Partners, identifiers and workers of one test."""

    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self.pool = pool
        self.keyring = keyring
        self.stages: dict[str, Stage] = {}
        self.runners: list[web.AppRunner] = []

    async def partner(
        self, kind: str, *, name: str = "", scope: PartnerScope | None = None, limits: Limits | None = None,
        faults: Faults | None = None, change: dict[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """A practice partner that listens, and its row."""
        name = name or kind
        stage = self.stages[name] = Stage(kind, random.Random(7))
        url = await self._open(server.build(kind, {}, stage))
        if faults:
            stage.misbehaviour.order(faults)
        settings = {**server.settings(kind, stage.spoken or url), **(change or {})}
        return await self._add(name, kind, settings, scope or PartnerScope(), limits or Limits())

    async def listener(self, name: str, take: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
        """A webhook of the test's own, and its row."""
        app = web.Application()
        app.router.add_post("/{path:.*}", take)
        settings = server.settings("webhook", await self._open(app))
        return await self._add(name, "webhook", settings, PartnerScope(), Limits())

    async def _open(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _add(
        self, name: str, kind: str, settings: dict[str, Any], scope: PartnerScope, limits: Limits
    ) -> int:
        async with self.pool.acquire() as conn, conn.transaction():
            return await partners.add(
                conn, name=name, adapter=kind, settings=settings, scope=scope, limits=limits, now=utc_now(),
                keyring=self.keyring, allow_private=True,
            )  # fmt: skip

    async def incident(self) -> int:
        number: int = await self.pool.fetchval(
            "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
            " VALUES ('t', 'theft', '', '', '{}', 'draft', 'x', now()) RETURNING incident_id"
        )
        return number

    async def block(self, incident: int, keys: list[int]) -> None:
        await self._tell(incident, Op.BLOCK, keys)

    async def release(self, incident: int, keys: list[int]) -> None:
        await self._tell(incident, Op.RELEASE, keys)

    async def _tell(self, incident: int, op: Op, keys: list[int]) -> None:
        now = utc_now()

        async def work(conn: Any) -> None:
            if op == Op.BLOCK:
                await conn.execute(_CLAIM, incident, keys)
                await listing.suspect(conn, incident, keys, now)
                turned = await listing.block(conn, incident, keys, now)
            else:
                await conn.execute(_LIFT, incident, keys)
                turned = await listing.release(conn, incident, keys, now)
            await commands.order(
                conn, commands.Command(op, now, "test", incident_id=incident), turned.keys, turned.versions
            )

        await transaction(self.pool, work)

    async def standings(self, incident: int) -> dict[str, Standing]:
        async with self.pool.acquire() as conn:
            return {standing.partner: standing for standing in await progress(conn, incident)}

    def blocked(self, name: str) -> list[str]:
        return self.stages[name].ledger.page(State.BLOCKED, "", 100_000)

    @asynccontextmanager
    async def worker(
        self,
        *,
        slots: int = 32,
        deadline: float = 5.0,
        terms: Terms | None = None,
        keyring: Keyring | None = None,
    ) -> AsyncIterator[Desk]:
        def wire(partner: Partner) -> HttpWire:
            return HttpWire(
                deadline=deadline,
                connections=partner.limits.max_inflight,
                allow_private=partner.allow_private,
                tls=tls.context(Tls(**partner.tls)),
            )

        contacts = Contacts(wire, keyring or self.keyring)
        chance = random.Random(5).random
        desk = Desk(self.pool, contacts, utc_now, chance, asyncio.Event(), terms or Terms())
        task = asyncio.create_task(engine.run(desk, slots))
        try:
            yield desk
        finally:
            desk.stopping.set()
            await task
            await contacts.close()

    async def until(
        self, incident: int, true: Callable[[dict[str, Standing]], bool], within: float = 30
    ) -> dict[str, Standing]:
        """The standings, once they are as wanted."""
        async with asyncio.timeout(within):
            while not true(found := await self.standings(incident)):
                await asyncio.sleep(0.05)
        return found

    async def settled(self, incident: int, within: float = 30) -> dict[str, Standing]:
        return await self.until(incident, lambda all_: all(one.settled for one in all_.values()), within)


@pytest.fixture
async def town(pool: Pool, keyring: Keyring) -> AsyncIterator[Town]:
    town = Town(pool, keyring)
    yield town
    for runner in town.runners:
        await runner.cleanup()


@pytest.fixture
def keys() -> Callable[[int], list[int]]:
    """`keys(n)`: n IMEI keys."""
    return lambda n: [35_555555_000000 + number for number in range(n)]


@pytest.fixture
def names() -> Callable[[list[int]], list[str]]:
    return lambda keys: sorted(f"{key:014d}" for key in keys)
