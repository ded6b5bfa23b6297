"""A carrier at the counter: one handset asked for in every form, and what must be answered."""

from __future__ import annotations

import time

from app.core import imei
from app.demo.goods import Unit
from app.demo.night import Night


def phone(units: tuple[Unit, ...]) -> int:
    """An IMEI of one of these devices; 0 where none has any."""
    return next((unit.imeis[-1] for unit in units if unit.imeis), 0)


async def ask(night: Night, what: str, key: int, wanted: tuple[str, str]) -> None:
    """Asks by 15 digits, by IMEISV, and as a 5G core does; `wanted` are our word and the 5G core's."""
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
