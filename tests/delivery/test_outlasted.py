"""A call that outlasts its lease: what it may have overwritten at the partner is told again."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from app.core.db import transaction
from app.delivery import partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.sandbox import server

from .conftest import utc_now


async def test_what_a_worker_told_after_its_lease_is_told_again_as_it_stands(town, pool, keys):
    heard: list[str] = []

    async def take(request: web.Request) -> web.Response:
        heard.append((await request.json())["type"])
        if len(heard) == 1:
            # While it is being told, the lease passes on, and the newer decision reaches the partner first.
            await town.release(incident, keys(1))
            await pool.execute(
                "UPDATE partner_lane SET lease_token = lease_token + 1 WHERE lease_until > now()"
            )
            await pool.execute("UPDATE delivery SET state = 1, open_at = '{}'")
            await pool.execute("UPDATE partner_lane SET pending = 0, lease_until = '-infinity'")
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    town.runners.append(runner)
    settings = server.settings("webhook", f"http://127.0.0.1:{runner.addresses[0][1]}")
    said: dict[str, Any] = {"name": "late", "adapter": "webhook", "settings": settings, "now": utc_now()}
    said |= {"keyring": town.keyring, "allow_private": True}
    scope, limits = PartnerScope(), Limits()
    await transaction(pool, lambda conn: partners.add(conn, **said, scope=scope, limits=limits))
    incident = await town.incident()
    await town.block(incident, keys(1))
    async with town.worker():
        await town.until(
            incident, lambda all_: all_["late"].again is not None and all_["late"].again.done == 1
        )
    assert heard == ["imei-gateway.block", "imei-gateway.release"]
