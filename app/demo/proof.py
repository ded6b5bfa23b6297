"""Afterwards: every partner is asked what it holds, and the audit log is derived again from its bytes."""

from __future__ import annotations

import asyncio

from app.audit import verify
from app.demo import check, players
from app.demo.night import Night
from app.demo.patience import Patience
from app.demo.scene import Scene
from app.demo.screen import Bar

_UNSEALED = "imei_gateway_audit_unsealed "


async def sets(night: Night) -> None:
    """Each partner is asked what it holds, and must hold exactly the set that it should."""
    with night.screen.step("sets", "Ask every partner what it holds") as step:
        for kind, partner in night.scene.partners.items():
            await check.hold(night.checks, kind, players.PLAYERS[kind].name, partner, night.goods)
            night.repeats[kind] = (await partner.told("GET", "/sandbox"))["duplicates"]
        step.told = "Every partner was asked itself which identifiers it holds"


async def prove(night: Night) -> None:
    """The audit log is derived again from its stored bytes, once all of it is sealed."""
    with night.screen.step("audit", "Verify the audit log") as step:
        await _until_sealed(night.scene)
        async with (
            night.scene.pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            report = await verify.verify(conn, lambda done, of: step.show(Bar("entries", done, of)))
        night.audit = report
        step.told = f"The audit log holds: {report.sealed:,} entries sealed, root {report.root[:16]}…"
    found = (report.fault, report.pending, report.sealed)
    night.checks.same("audit log: fault, pending, sealed", (None, 0, report.entries), found)
    night.scene.weigh()


async def _until_sealed(scene: Scene) -> None:
    patience = Patience()
    while waiting := await _unsealed(scene):
        if patience.ends(waiting):
            return
        await asyncio.sleep(0.2)


async def _unsealed(scene: Scene) -> float:
    metrics: str = await scene.gateway.told("GET", "/metrics")
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(_UNSEALED))
