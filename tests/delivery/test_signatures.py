"""A signing secret is replaced while a partner is being told: every message is good by whichever key it knows."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from app.core.db import transaction
from app.delivery import partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope

NOW = datetime(2026, 12, 22, tzinfo=UTC)
OLD, NEW = (
    "whsec_" + b64encode(f"the {which} secret of this partner".encode()).decode() for which in ("old", "new")
)


class Listener:
    """A partner that believes one secret at a time, by somebody else's library."""

    def __init__(self) -> None:
        self.secret = OLD
        self.refused = 0
        self.signatures: list[int] = []

    async def take(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        self.signatures.append(len(request.headers["webhook-signature"].split()))
        try:
            Webhook(self.secret).verify(await request.text(), dict(request.headers))
        except WebhookVerificationError:
            self.refused += 1
            return web.Response(status=401)
        return web.Response(status=204)

    async def hears(self, signatures: int) -> None:
        """Until its latest messages carried so many."""
        async with asyncio.timeout(20):
            while set(self.signatures[-20:]) != {signatures} or len(self.signatures) < 20:
                await asyncio.sleep(0.02)


@pytest.fixture
async def listener(town):
    listener, app = Listener(), web.Application()
    app.router.add_post("/in", listener.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    town.runners.append(runner)
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    return listener


async def test_a_secret_is_replaced_under_load_without_a_refusal(town, pool, listener):
    settings = {"url": listener.url, "secret": OLD, "identifiers_per_call": 1}
    said = {"name": "Repair", "adapter": "webhook", "settings": settings, "limits": Limits()}
    number = await transaction(
        pool,
        lambda conn: partners.add(
            conn, **said, scope=PartnerScope(), now=NOW, keyring=town.keyring, allow_private=True
        ),
    )
    incident = await town.incident()
    told, enough = 0, asyncio.Event()

    async def load() -> None:
        """Fifty identifiers at a time, for as long as the partner is at it."""
        nonlocal told
        while not enough.is_set():
            await town.block(incident, [35_555555_000000 + told + n for n in range(50)])
            told += 50
            await asyncio.sleep(0.1)

    async def change(**settings: str) -> None:
        async with pool.acquire() as conn, conn.transaction():
            partner = await partners.hold(conn, number)
            await partners.change(conn, partner, keyring=town.keyring, now=NOW, settings=settings)

    # Nobody's call is cut off by a machine that is busy.
    async with town.worker(deadline=15):
        loading = asyncio.create_task(load())
        await listener.hears(1)
        await change(secret=NEW, previous_secret=OLD)
        await listener.hears(2)
        listener.secret = NEW
        before = len(listener.signatures)
        while len(listener.signatures) < before + 40:
            await asyncio.sleep(0.02)
        await change(previous_secret="")
        await listener.hears(1)
        enough.set()
        await loading
        found = await town.settled(incident)
    assert listener.refused == 0
    assert found["Repair"].block.done == told
    assert found["Repair"].block.failed_calls == 0
