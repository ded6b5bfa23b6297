"""The acts of the night, in order. Each shows what it does, takes its time, and checks what must be so."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from decimal import Decimal
from typing import Any

import msgspec

from app.access import keys
from app.api.receipts import register_again
from app.audit import verify
from app.core import imei
from app.core.clock import utc_now
from app.core.db import Connection
from app.delivery.progress import Standing, Tally, enrolments
from app.demo import check, players
from app.demo.check import Checks
from app.demo.fan_out import watch
from app.demo.goods import Goods, Unit
from app.demo.patience import Patience
from app.demo.scene import Scene
from app.demo.screen import Bar, Screen
from app.devices import register
from app.devices.intake import Defaults, guess, read
from app.devices.register import Receipt

KILLED_AT = 0.3
_UNSEALED = "imei_gateway_audit_unsealed "


class Night(msgspec.Struct):
    """The night as it goes on: what it is played with, and what has come of it so far."""

    goods: Goods
    scene: Scene
    screen: Screen
    checks: Checks
    kill_worker: bool = False
    incident: int = 0
    fan_out: dict[str, Standing] = {}
    repeats: dict[str, int] = {}
    audit: verify.Report | None = None


async def goods_in(night: Night) -> None:
    """Every device is registered, tied to its pallet; the receipt must say what the goods say."""
    wanted = night.goods.verdicts
    with night.screen.step("register", f"Goods-in: register {wanted.rows:,} rows") as step:
        receipt = await _register(night, lambda rows: step.show(Bar("rows", rows, wanted.rows)))
        pace = wanted.rows / step.seconds
        step.told = (
            f"Goods-in: {receipt.registered:,} devices registered, {receipt.unchanged:,} rows repeated,"
            f" {receipt.rejected:,} rejected with reasons ({pace:,.0f} rows/s)"
        )
    said = (receipt.rows, receipt.registered, receipt.unchanged, receipt.rejected)
    counts = (wanted.rows, wanted.registered, wanted.unchanged, len(wanted.rejected))
    night.checks.same("receipt: rows, registered, unchanged, rejected", counts, said)
    lines = await _rejected_lines(night, receipt.receipt_id)
    wrong = (str(line) for line in wanted.rejected)
    night.checks.same_set("receipt: the rejected lines are the spoilt ones", wrong, lines)
    night.scene.weigh()


async def _register(night: Night, on_rows: Any) -> Receipt:
    scene, path = night.scene, night.goods.path
    async with scene.pool.acquire() as conn:
        actor = await keys.authenticate(conn, scene.keys.warehouse)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        form = guess(path.name, "", file.read(4096))

        async def work(conn: Connection) -> Receipt:
            file.seek(0)
            rows = read(file, form, Defaults())
            return await register.register(
                conn, actor, rows, source=f"demo:{form}", digest=digest, now=utc_now(), on_rows=on_rows
            )

        return await register_again(scene.pool, work)


async def _rejected_lines(night: Night, receipt: int) -> set[str]:
    lines: set[str] = set()
    cursor: str | None = "0"
    while cursor is not None:
        page = await night.scene.gateway.told(
            "GET",
            f"/v1/receipts/{receipt}/rejections?limit=10000&cursor={cursor}",
            night.scene.keys.warehouse,
        )
        lines |= {str(finding["line"]) for finding in page["rejections"]}
        cursor = page["next"]
    return lines


async def enrolment(night: Night) -> None:
    """A brand can lock only what it knows, so it hears of its devices as they come in."""
    brand, patience = night.goods.brand.name, Patience()
    with night.screen.step("enrol", f"Enrol what {brand} could lock one day") as step:
        while True:
            async with night.scene.pool.acquire() as conn:
                found = await enrolments(conn)
            done, wanted = sum(each.done for each in found), sum(each.wanted for each in found)
            step.show(Bar("identifiers", done, wanted))
            if all(each.settled for each in found) or patience.ends(done):
                break
            await asyncio.sleep(0.2)
        step.told = f"{brand}'s lock knows {done:,} identifiers, should one of them be stolen"
    night.checks.same("enrolled at goods-in, by the gateway's count", len(night.goods.enrolled), done)


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
        await scene.gateway.told("POST", f"/v1/incidents/{night.incident}/submit", scene.keys.manager)
        preview = drafted["preview"]
        step.told = (
            f"The incident manager declares {len(preview['by_pallet']):,} pallets: {preview['devices']:,}"
            f" devices, {preview['identifiers']:,} identifiers, {_worth(preview)}"
        )
    models = ", ".join(f"{each['devices']:,} {each['model']}" for each in preview["by_model"][:4])
    night.screen.say(
        f"{models} and {max(0, len(preview['by_model']) - 4)} more models; {_unknown(preview)} unknown"
    )
    _check_preview(night, preview)
    await _ask(night, "submitted: a carrier hears", _phone(goods.stolen), ("suspect", "GREYLISTED"))


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
    pallets = [each["pallet"] for each in preview["by_pallet"]]
    checks.same_set("preview: the pallets", goods.pallets[:1000], pallets)


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
    await _ask(night, "approved: a carrier hears", _phone(goods.stolen), ("blocked", "BLACKLISTED"))
    await _ask(night, "not stolen: a carrier hears", goods.clear, ("clear", "WHITELISTED"))
    await _ask(night, "never registered: a carrier hears", goods.unknown, ("unknown", "404"))


def _phone(units: tuple[Unit, ...]) -> int:
    return next((unit.imeis[-1] for unit in units if unit.imeis), 0)


async def _ask(night: Night, what: str, key: int, wanted: tuple[str, str]) -> None:
    """A carrier asks by 15 digits, by IMEISV, and as a 5G core does."""
    gateway, carrier = night.scene.gateway, night.scene.keys.carrier
    began = time.perf_counter()
    full = await gateway.told("GET", f"/v1/status/{imei.full(key)}", carrier)
    took = (time.perf_counter() - began) * 1000
    version = await gateway.told("GET", f"/v1/status/{key:014d}07", carrier)
    core = await gateway.ask("GET", f"/n5g-eir-eic/v1/equipment-status?pei=imeisv-{key:014d}07", carrier)
    word = core.said.get("status") if core.status == 200 else str(core.status)
    heard = (full["status"], version["status"], word)
    night.checks.same(f"{what} {wanted[0]} (IMEI, IMEISV, 3GPP)", (wanted[0], *wanted), heard)
    shown = imei.masked(imei.full(key))
    night.screen.say(f"A carrier asks for {shown}: {full['status']} ({took:.0f} ms); a 5G core: {word}")


async def told(night: Night) -> None:
    """Every partner is told, each in its own dialect and at its own pace, whatever goes wrong."""
    with night.screen.step("fan_out", "Tell every partner") as step:
        night.fan_out = await watch(night.scene, night.incident, "block", step, _killer(night))
        step.told = f"Every partner has confirmed: {len(night.fan_out)} of {len(players.PLAYERS)}"
    for kind, standing in night.fan_out.items():
        if standing.block:
            _check_told(night, kind, standing.partner, standing.block)


def _check_told(night: Night, kind: str, name: str, tally: Tally) -> None:
    calls = f"{tally.calls:,} calls, {tally.failed_calls:,} of which failed"
    night.screen.say(f"{name}: {tally.wanted:,} identifiers in {calls}")
    wanted = sum(len(check.told(kind, night.goods, unit)) for unit in night.goods.stolen)
    found = (tally.done + tally.already, tally.refused)
    night.checks.same(f"{name}: confirmed and refused, by the gateway's count", (wanted, 0), found)


def _killer(night: Night) -> Any:
    """Kills the worker, once, in the middle of its work."""
    alive = [night.kill_worker]

    def on_share(share: float) -> None:
        pid = night.scene.service.pid("worker")
        if alive[0] and share >= KILLED_AT and pid:
            alive[0] = False
            os.kill(pid, signal.SIGKILL)
            night.screen.say(
                f"The worker is killed (SIGKILL) with {share:.0%} told; its supervisor starts another."
            )

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
        lifted = await scene.gateway.told("POST", path, scene.keys.manager, {"scope": scope})
        await watch(scene, night.incident, "release", step)
        step.told = (
            f"{lifted['devices']:,} devices were found in a van: {lifted['released']:,} identifiers released"
        )
    names = sum(len(unit.names) for unit in goods.recovered)
    counts = (lifted["devices"], lifted["released"], lifted["not_claimed"])
    night.checks.same("lifted: devices, identifiers, not claimed", (len(goods.recovered), names, []), counts)
    if phone := _phone(goods.recovered):
        await _ask(night, "recovered: a carrier hears", phone, ("clear", "WHITELISTED"))


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


ACTS = (goods_in, enrolment, trouble, declare, approve, told, lift, sets, prove)
