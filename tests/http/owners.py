"""Owners whose goods stand side by side, and everything that one may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from app.access.roles import Role
from app.core.reach import Reach

from .asking import CSV, Stock, decided, register, statuses, stock
from .conftest import Gateway

NARROW = (Role.GOODS_IN, Role.INCIDENT_MANAGER, Role.APPROVER, Role.AUDITOR, Role.ADMIN)


@dataclass
class Tenant:
    """An owner whose goods a logistics provider keeps, with a key for each role."""

    owner: str
    clients: dict[Role, httpx.AsyncClient]
    goods: Stock
    marks: set[str] = field(default_factory=set)
    """What nobody else may ever read."""
    names: dict[str, Any] = field(default_factory=dict)
    """Values of path parameters and of queries that mean its goods."""

    @property
    def tag(self) -> str:
        return self.owner.replace(" ", "")

    def __getitem__(self, role: Role) -> httpx.AsyncClient:
        return self.clients[role]


def of(owner: str, goods: Stock) -> Stock:
    """The same phones, as this owner's: serials, models and sites that nobody else has."""
    tag = owner.replace(" ", "")
    lines = [
        line.replace("SN", f"{tag}SN").replace("PAR-1", f"{tag}-site").replace("Phone X", f"{tag} phone")
        for line in goods.lines
    ]
    return Stock(goods.pallet, goods.phones, [line.replace("Retailer", owner) for line in lines])


async def tenant(gateway: Gateway, owner: str) -> Tenant:
    made = {role: await gateway.new_key(role, Reach(owners=(owner,))) for role in NARROW}
    clients = {role: gateway.client(key) for role, key in made.items()}
    return Tenant(owner, clients, of(owner, stock(4)))


async def settled(it: Tenant, carrier: httpx.AsyncClient, admin: httpx.AsyncClient, until: Any) -> None:
    """Everything that an owner may have: goods, moves, events, a mapping, incidents, sightings and alerts."""
    goods, tag, goods_in, manager = it.goods, it.tag, it[Role.GOODS_IN], it[Role.INCIDENT_MANAGER]
    spoilt = stock(1).imeis[0]
    wrong = f"{spoilt[:14]}{(int(spoilt[14]) + 1) % 10}"
    receipt = await goods_in.post(
        "/v1/receipts",
        params={"supplier": f"{tag} supplier"},
        content=goods.csv + f"{wrong},,,,,,,,,\n".encode(),
        headers=CSV,
    )
    assert receipt.status_code == 201, receipt.text
    again = Stock(goods.pallet, goods.phones, goods.lines[:2])
    assert (await register(goods_in, again))["unchanged"] == 2
    aside = stock(1).pallet
    moved = {"moves": [{"to": aside, "imeis": [goods.phones[3][0]]}]}
    assert (await goods_in.post("/v1/movements", json=moved)).json()["changed"] == 1
    event_id = f"urn:uuid:{tag}"
    capture = await goods_in.post("/epcis/events", json=seen(goods, event_id))
    assert capture.status_code == 201, capture.text
    wrong_event = {**seen(goods, f"{event_id}:wrong"), "eventTime": "noon"}
    document = {
        "@context": wrong_event.pop("@context"),
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-11-01T10:00:00Z",
        "epcisBody": {"eventList": [wrong_event]},
    }
    proceed = {"gs1-capture-error-behaviour": "proceed"}
    assert (await goods_in.post("/epcis/capture", json=document, headers=proceed)).status_code == 202
    captures = (await goods_in.get("/epcis/capture")).json()
    await goods_in.put(f"/v1/mappings/{tag}", json={"columns": {f"{tag} column": "serial"}})
    title = f"{tag} theft"
    said = {"title": title, "site": tag, "scope": {"imeis": [goods.phones[0][0]], "pallets": [goods.pallet]}}
    incident = (await manager.post("/v1/incidents", json=said)).json()["id"]
    await decided(manager, incident, "submit")
    await decided(it[Role.APPROVER], incident, "approve")
    assert await statuses(carrier, [goods.phones[0][0]]) == ["blocked"]
    await until(manager, f"/v1/sightings?incident={incident}", lambda found: found["sightings"])
    alert = (await manager.get("/v1/alerts")).json()["alerts"][0]["id"]
    proposal = await waiting(admin, manager, incident, tag, goods.phones[1][0])
    await sold(goods_in, goods.phones[3][0])
    numbers = {written for phone in goods.phones for one in phone for written in (one[:14], urn(one))}
    it.marks |= numbers | {spoilt[:14], tag, it.owner, goods.pallet, aside, goods.pallet[:17]}
    it.names |= {
        "receipt_id": receipt.json()["receipt_id"],
        "incident_id": incident,
        "proposal_id": proposal,
        "device": goods.phones[0][0],
        "capture_id": captures[0]["captureID"],
        "event_id": event_id,
        "sscc": goods.pallet,
        "name": tag,
        "alert_id": alert,
        "imei": goods.phones[1][0],
        "asked": goods.phones[0][0],
        "seen": goods.phones[2][0],
        "serial": f"{tag}SN{goods.lines[1].split('SN')[1][:6]}",
        "supplier": f"{tag} supplier",
    }


async def sold(goods_in: httpx.AsyncClient, number: str) -> None:
    answer = await goods_in.post("/v1/devices/sold", json={"imeis": [number]})
    assert answer.json()["changed"] == 1


async def waiting(
    admin: httpx.AsyncClient, manager: httpx.AsyncClient, incident: int, site: str, found: str
) -> int:
    """The number of a release that somebody else must approve."""
    rule = {"subject": "lift", "approvers": 1, "sites": [site]}
    assert (await admin.post("/v1/rules", json=rule)).status_code == 201
    proposal = await manager.post(f"/v1/incidents/{incident}/lift", json={"scope": {"imeis": [found]}})
    assert proposal.status_code == 202, proposal.text
    number: int = proposal.json()["id"]
    return number


def urn(number: str) -> str:
    """An IMEI as RFC 7254 writes it."""
    return f"urn:gsma:imei:{number[:8]}-{number[8:14]}-0"


def seen(goods: Stock, event_id: str) -> dict[str, Any]:
    """A phone is seen on its dock, as a warehouse tells it."""
    return {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "ObjectEvent",
        "eventID": event_id,
        "eventTime": "2026-11-01T10:00:00Z",
        "eventTimeZoneOffset": "+00:00",
        "action": "OBSERVE",
        "bizStep": "receiving",
        "epcList": [urn(goods.phones[2][0])],
        "readPoint": {"id": f"urn:x:{event_id}"},
    }


def sscc(number: str) -> str:
    """An SSCC as EPC Tag Data Standard writes it."""
    return f"urn:epc:id:sscc:{number[1:8]}.{number[0]}{number[8:17]}"
