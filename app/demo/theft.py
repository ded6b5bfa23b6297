"""The theft: declared by one person, approved by another, told to every partner, and lifted in part."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.core import imei
from app.delivery.progress import Tally
from app.demo import check, players
from app.demo.carrier import ask, phone
from app.demo.fan_out import watch
from app.demo.night import Night

KILLED_AT = 0.3
MOST_PALLETS = 1000
"""As many a preview lists."""


async def trouble(night: Night) -> None:
    """The partners misbehave from now on."""
    for kind, partner in night.scene.partners.items():
        await players.misbehave(partner, kind)
    told = "; ".join(player.trouble for player in players.PLAYERS.values() if player.trouble)
    night.screen.say(f"Trouble is ordered: {told}.")


async def declare(night: Night) -> None:
    """The incident manager names the pallets, sees what that comes to, and submits."""
    goods, scene = night.goods, night.scene
    with night.screen.step("declare", f"Declare {len(goods.pallets)} pallets stolen") as step:
        said = {
            "title": "Paris, tonight",
            "site": "PAR-1",
            "police_reference": "PV 2025/1222/75",
            "scope": {"pallets": goods.pallets},
        }
        drafted = await scene.gateway.told("POST", "/v1/incidents", scene.keys.manager, said)
        night.incident = drafted["id"]
        preview = drafted["preview"]
        # She looks at what is unlike the usual, and it is meant so.
        unusual = [one["code"] for one in preview["warnings"] if one["acknowledge"]]
        path, known = f"/v1/incidents/{night.incident}/submit", {"acknowledged": unusual}
        await scene.gateway.told("POST", path, scene.keys.manager, known)
        step.told = (
            f"The incident manager declares {len(goods.pallets):,} pallets: {preview['devices']:,}"
            f" devices, {preview['identifiers']:,} identifiers, {_worth(preview)}"
        )
    models = ", ".join(f"{each['devices']:,} {each['model']}" for each in preview["by_model"][:4])
    night.screen.say(
        f"{models} and {max(0, len(preview['by_model']) - 4)} more models; {_unknown(preview)} unknown"
    )
    _check_preview(night, preview)
    await ask(night, "submitted: a carrier hears", phone(goods.stolen), ("suspect", "GREYLISTED"))


def _worth(preview: dict[str, Any]) -> str:
    sums = (
        f"{Decimal(str(each['amount'])):,.0f} {each['currency']}"
        for each in preview["value"]
        if each["currency"]
    )
    return " and ".join(sums) or "of no value named"


def _unknown(preview: dict[str, Any]) -> int:
    return sum(len(names) for names in preview["unknown"].values())


def _check_preview(night: Night, preview: dict[str, Any]) -> None:
    goods, checks = night.goods, night.checks
    counts = (preview["devices"], preview["identifiers"], _unknown(preview))
    checks.same("preview: devices, identifiers, unknown", (len(goods.stolen), goods.identifiers, 0), counts)
    cents = sum(int(Decimal(str(each["amount"])) * 100) for each in preview["value"])
    checks.same("preview: value in cents", sum(unit.cents for unit in goods.stolen), cents)
    if len(goods.pallets) <= MOST_PALLETS:
        checks.same_set(
            "preview: the pallets", goods.pallets, (each["pallet"] for each in preview["by_pallet"])
        )


async def approve(night: Night) -> None:
    """Not by the same person; then by a second one, and carriers hear `blocked` at once."""
    scene, goods, path = night.scene, night.goods, f"/v1/incidents/{night.incident}/approve"
    alone = await scene.gateway.ask("POST", path, scene.keys.manager)
    night.checks.same("approved by who submitted: refused", 403, alone.status)
    with night.screen.step("approve", "Approve, as the second person") as step:
        await scene.gateway.told("POST", path, scene.keys.approver)
        await players.misbehave(scene.partners["ceir"], "ceir", down_for_s=players.BACK_AFTER)
        step.told = (
            "The incident manager may not approve her own incident (403); a second person does,"
            f" and {goods.identifiers:,} identifiers are blocked"
        )
    await ask(night, "approved: a carrier hears", phone(goods.stolen), ("blocked", "BLACKLISTED"))
    await ask(night, "not stolen: a carrier hears", goods.clear, ("clear", "WHITELISTED"))
    await ask(night, "never registered: a carrier hears", goods.unknown, ("unknown", "404"))


async def told(night: Night) -> None:
    """Every partner is told, each in its own dialect and at its own pace, whatever goes wrong."""
    with night.screen.step("fan_out", "Tell every partner") as step:
        night.fan_out = await watch(night.scene, night.incident, "block", step, _killer(night))
        confirmed = sum(standing.settled for standing in night.fan_out.values())
        step.told = f"{confirmed} of {len(night.fan_out)} partners have confirmed everything"
    for kind, standing in night.fan_out.items():
        if standing.block:
            _check_told(night, kind, standing.partner, standing.block)


def _check_told(night: Night, kind: str, name: str, tally: Tally) -> None:
    calls = f"{tally.calls:,} calls, {tally.failed_calls:,} of which failed"
    night.screen.say(f"{name}: {tally.wanted:,} identifiers in {calls}")
    wanted = sum(len(check.told(kind, night.goods, unit)) for unit in night.goods.stolen)
    found = (tally.done + tally.already, tally.refused)
    night.checks.same(f"{name}: confirmed and refused, by the gateway's count", (wanted, 0), found)


def _killer(night: Night) -> Callable[[float], None]:
    """Kills every worker, once, in the middle of their work."""
    alive = [night.kill_worker]

    def on_share(share: float) -> None:
        if alive[0] and share >= KILLED_AT:
            alive[0] = False
            for pid in night.scene.service.pids("worker"):
                os.kill(pid, signal.SIGKILL)
            night.screen.say(f"The workers are killed (SIGKILL) with {share:.0%} told; others are started.")

    return on_share


async def lift(night: Night) -> None:
    """Some of the stolen devices are found in a van, and released again."""
    goods, scene = night.goods, night.scene
    with night.screen.step("lift", f"Lift {len(goods.recovered):,} recovered devices") as step:
        scope = {
            "imeis": [imei.full(unit.imeis[0]) for unit in goods.recovered if unit.imeis],
            "serials": [unit.serial for unit in goods.recovered if not unit.imeis],
        }
        path = f"/v1/incidents/{night.incident}/lift"
        waits = await scene.gateway.told("POST", path, scene.keys.manager, {"scope": scope})
        step.told = "the release waits for the approver"
        path = f"/v1/proposals/{waits['id']}/approve"
        lifted = (await scene.gateway.told("POST", path, scene.keys.approver, {"digest": waits["digest"]}))[
            "would"
        ]
        await watch(scene, night.incident, "release", step)
        step.told = f"{lifted['devices']:,} devices were found in a van: {lifted['identifiers']:,} identifiers released"
    names = sum(len(unit.names) for unit in goods.recovered)
    counts = (lifted["devices"], lifted["identifiers"])
    night.checks.same("lifted: devices, identifiers", (len(goods.recovered), names), counts)
    if found := phone(goods.recovered):
        await ask(night, "recovered: a carrier hears", found, ("clear", "WHITELISTED"))
