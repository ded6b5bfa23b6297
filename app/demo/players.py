"""Who is told in the night: four practice partners, how hard each may be called, and how each misbehaves."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.demo.goods import Brand
from app.demo.line import Line
from app.sandbox.server import Running

CALLBACK = "/v1/partners/{}/confirmations"


class Player(NamedTuple):
    """One partner: its name, the limits that we keep to, and the trouble that it makes."""

    name: str
    limits: dict[str, int]
    faults: dict[str, float]
    trouble: str


PLAYERS = {
    "ceir": Player(
        "National register", {"max_inflight": 8}, {"down_for_s": 600}, "the national register is down"
    ),
    "eir_push": Player(
        "Operator's EIR", {"max_inflight": 8}, {"fail_rate": 0.1}, "the operator fails every tenth call"
    ),
    "knox_guard": Player("Brand's lock", {"max_inflight": 4}, {}, ""),
    "webhook": Player(
        "Repair channel",
        {"max_inflight": 4},
        {"calls_per_second": 20},
        "the repair channel takes twenty calls a second",
    ),
}
BACK_AFTER = 10.0
"""Seconds from the approval until the national register is back."""


def _scope(kind: str, brand: Brand) -> dict[str, Any]:
    if kind != "knox_guard":
        return {}
    tacs = [f"{tac:08d}" for tac in sorted(brand.tacs)]
    return {"tacs": tacs, "gtins": sorted(brand.gtins)}


async def introduce(gateway: Line, admin: str, approver: str, sandbox: Running, brand: Brand) -> int:
    """Adds a practice partner to the gateway, which two people do; its number there."""
    player = PLAYERS[sandbox.kind]
    said = {
        "name": player.name,
        "adapter": sandbox.kind,
        "settings": sandbox.settings,
        "scope": _scope(sandbox.kind, brand),
        "limits": player.limits,
        "allow_private": True,
    }
    waits = await gateway.told("POST", "/v1/partners", admin, said)
    seen = {"digest": waits["digest"]}
    added = await gateway.told("POST", f"/v1/proposals/{waits['id']}/approve", approver, seen)
    return int(added["place"].partition(":")[2])


async def misbehave(partner: Line, kind: str, **other: float) -> None:
    """Orders a partner's trouble, or other trouble."""
    await partner.told("PUT", "/sandbox/faults", said=other or PLAYERS[kind].faults)
