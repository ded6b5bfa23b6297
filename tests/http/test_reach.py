"""Somebody who may see and touch the goods of one owner finds nothing of another's: every route, with every role, asked
for another owner's goods in every way that there is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.access.roles import Role
from app.api import examples
from app.api.openapi import Operation, operations
from app.api.routes import application
from app.core.db import open_pool
from app.core.reach import Reach, Sight

from .asking import JSON, Stock, decided, drafted, problem, register, statuses, stock
from .conftest import Gateway
from .owners import NARROW, Tenant, of, seen, settled, sscc, tenant, urn

OPERATIONS = {str(one.handler.operation_id): one for one in operations(application())}
# What concerns nobody's goods, or all: the state of an identifier is anybody's to ask.
ANYBODYS = {
    "askStatus",
    "askStatuses",
    "askSerial",
    "checkEquipment",
    "checkImeiStatus",
    "checkDevice",
    "checkLife",
    "checkReadiness",
    "readMetrics",
    "issueToken",
    "confirmDeliveries",
    "discoverCapture",
}
ASKED = sorted(set(OPERATIONS) - ANYBODYS)


@pytest.fixture(scope="module")
async def tenants(gateway: Gateway) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """Two owners whose goods stand side by side."""
    theirs, ours = await tenant(gateway, "Northwind AG"), await tenant(gateway, "Southsea Ltd")
    yield theirs, ours
    for one in (theirs, ours):
        for client in one.clients.values():
            await client.aclose()


@pytest.fixture
async def theirs(tenants, carrier, admin, until) -> Tenant:
    it: Tenant = tenants[0]
    if not it.marks:
        await settled(it, carrier, admin, until)
    return it


@pytest.fixture
async def ours(tenants, carrier, admin, until) -> Tenant:
    it: Tenant = tenants[1]
    if not it.marks:
        await settled(it, carrier, admin, until)
    return it


def questions(one: Operation, names: dict[str, Any]) -> list[tuple[str, str]]:
    """The route, asked about these names: in its path, and in its query in every way that it knows."""
    path = re.sub(r"\{(\w+)\}", lambda found: str(names.get(found[1], 1)), one.path)
    ways = [""]
    match str(one.handler.operation_id):
        case "findDevices":
            ways = [f"?imei={names['imei']}", f"?serial={names['serial']}", f"?pallet={names['sscc']}"]
        case "listReceipts":
            ways += [f"?supplier={names['supplier']}"]
        case "listSightings":
            ways += [f"?incident={names['incident_id']}", f"?imei={names['asked']}"]
        case "queryEvents":
            ways += [f"?MATCH_anyEPC={urn(names['seen'])}"]
    return [(one.method, path + way) for way in ways]


def said(name: str, one: Operation, names: dict[str, Any]) -> dict[str, Any]:
    """A body that means the other one's goods, where the route takes one."""
    bodies: dict[str, Any] = {
        "moveDevices": {"moves": [{"to": "", "imeis": [names["imei"]]}, {"to": "", "pallet": names["sscc"]}]},
        "draftIncident": {"title": "x", "scope": {"pallets": [names["sscc"]], "imeis": [names["imei"]]}},
        "liftDevices": {"scope": {"imeis": [names["imei"]]}},
        "previewIncident": {"scope": {"pallets": [names["sscc"]], "imeis": [names["imei"]]}},
        "submitIncident": {"include_sold": True},
        "sellDevices": {"imeis": [names["imei"]]},
        "returnDevices": {"imeis": [names["imei"]]},
        "eraseDevices": {"imeis": [names["imei"]], "reason": "none of yours"},
        "breakGlass": {"reason": "none of yours"},
        "reviewIncident": {"verdict": "reversed", "reason": "none of yours"},
        "rejectProposal": {"reason": "none of yours"},
        "withdrawProposal": {"reason": "none of yours"},
        "rejectIncident": {"reason": "none of yours"},
        "withdrawIncident": {"reason": "none of yours"},
    }
    if name in bodies:
        return {"json": bodies[name]}
    if one.form is not None:
        return {"json": examples.REQUESTS[name]}
    return {"content": b"{}", "headers": JSON} if one.notes.body else {}


async def answer(client: httpx.AsyncClient, method: str, path: str, **sent: Any) -> tuple[int, str]:
    """The status, and what is answered at first: a stream has no end."""
    async with client.stream(method, path, **sent) as response:
        if "event-stream" in response.headers.get("content-type", ""):
            parts = response.aiter_text()
            return response.status_code, await anext(parts) + await anext(parts, "")
        text = (await response.aread()).decode("utf-8", "replace")
        return response.status_code, text + str(response.headers)


@pytest.mark.parametrize("role", [str(role) for role in NARROW])
@pytest.mark.parametrize("name", ASKED)
async def test_nobody_reads_or_changes_what_another_owner_has(name, role, theirs, ours):
    one = OPERATIONS[name]
    for method, path in questions(one, theirs.names):
        sent = said(name, one, theirs.names)
        asked = path + str(sent)
        _, told = await answer(ours[Role(role)], method, path, **sent)
        assert {mark for mark in theirs.marks if mark in told and mark not in asked} == set(), told


READS = {
    "readReceipt",
    "listReceipts",
    "listRejections",
    "downloadRejects",
    "listMappings",
    "readMapping",
    "reconcilePallet",
    "findDevices",
    "listIncidents",
    "readIncident",
    "watchIncident",
    "listCaptures",
    "readCapture",
    "queryEvents",
    "readEvent",
    "listSightings",
    "listAlerts",
    "listProposals",
    "readProposal",
}


# These answer with numbers alone.
COUNTS = {"listCaptures", "readCapture", "reconcilePallet"}


@pytest.mark.parametrize("name", sorted(READS))
async def test_the_same_questions_find_what_is_ones_own(name, theirs):
    """Or the test above would pass for a gateway that answers nothing."""
    one = OPERATIONS[name]
    role = Role.GOODS_IN if name in ("listMappings", "readMapping") else Role.INCIDENT_MANAGER
    for method, path in questions(one, theirs.names):
        status, told = await answer(theirs[role], method, path)
        assert status == 200, told
        assert name in COUNTS or any(mark in told for mark in theirs.marks), told


async def test_no_table_shows_a_row_to_two_owners(gateway, theirs, ours):
    """Whatever a query forgets: what the database itself shows to the one, it does not show to the other."""
    seen = [await rows(gateway, Reach(owners=(it.owner,))) for it in (theirs, ours)]
    assert set(seen[0]) > {"device", "device_imei", "movement", "receipt", "receipt_part", "receipt_repeat"}
    assert [table for table in seen[0] if not seen[0][table]] == []
    assert {
        table: seen[0][table] & seen[1][table] for table in seen[0] if seen[0][table] & seen[1][table]
    } == {}


async def rows(gateway: Gateway, reach: Reach) -> dict[str, set[str]]:
    """The rows of each table that has a policy, as somebody of this reach sees them. Cartons on which nothing stands
    are anybody's."""
    async with await open_pool(gateway.dsn, size=1) as pool, Sight(pool, reach).acquire() as conn:
        found = await conn.fetch("SELECT DISTINCT tablename FROM pg_policies WHERE tablename <> 'nesting'")
        return {
            table: {row["text"] for row in await conn.fetch(f'SELECT t::text AS text FROM "{table}" AS t')}
            for (table,) in found
        }


async def test_after_all_of_it_the_other_owners_goods_are_as_they_were(theirs, ours, manager, carrier):
    before = await state(theirs, manager) + await state(ours, manager)
    goods, narrow = theirs.goods, ours[Role.GOODS_IN]
    moves = [{"to": ours.goods.pallet, "pallet": goods.pallet}, {"to": "", "imeis": [goods.phones[1][0]]}]
    moved = (await narrow.post("/v1/movements", json={"moves": moves})).json()
    assert moved["recorded"] == moved["changed"] == 0
    for action, parent, children in (
        ("DELETE", goods.pallet, []),
        ("ADD", ours.goods.pallet, [sscc(goods.pallet)]),
    ):
        telling = seen(goods, f"urn:uuid:{action}") | {"type": "AggregationEvent", "action": action}
        telling |= {"parentID": sscc(parent), "childEPCs": children}
        telling.pop("epcList")
        await narrow.post("/epcis/events", json=telling)
    sold = await narrow.post("/v1/devices/sold", json={"imeis": [goods.phones[1][0]]})
    assert (sold.json()["recorded"], sold.json()["unknown"]) == (0, [goods.phones[1][0]])
    assert await state(theirs, manager) + await state(ours, manager) == before
    assert await statuses(carrier, [goods.phones[0][0]]) == ["blocked"]


async def state(it: Tenant, manager: httpx.AsyncClient) -> list[Any]:
    """All that is known of an owner's goods, as somebody sees it who sees all."""
    devices = (await manager.get(f"/v1/devices?pallet={it.goods.pallet}")).json()
    pallet = (await manager.get(f"/v1/pallets/{it.goods.pallet}")).json()
    incident = (await manager.get(f"/v1/incidents/{it.names['incident_id']}")).json()
    return [devices, pallet, incident]


async def test_a_row_of_another_owner_is_refused_and_tells_nothing(theirs, ours):
    lines = [line.replace(theirs.owner, ours.owner) for line in theirs.goods.lines]
    relabelled = Stock(theirs.goods.pallet, theirs.goods.phones, lines)
    for goods, code in ((theirs.goods, "owner-out-of-reach"), (relabelled, "registered-out-of-reach")):
        receipt = await register(ours[Role.GOODS_IN], goods)
        assert (receipt["registered"], receipt["rejected"]) == (0, 4)
        rejections = await ours[Role.GOODS_IN].get(f"/v1/receipts/{receipt['receipt_id']}/rejections")
        assert {one["code"] for one in rejections.json()["rejections"]} == {code}
        assert str(theirs.names["receipt_id"]) not in {
            one["sentence"] for one in rejections.json()["rejections"]
        }


async def test_a_row_without_an_owner_has_the_one_that_the_key_acts_for(ours):
    goods = stock(1)
    goods.lines = [goods.lines[0].replace("Retailer", "")]
    assert (await register(ours[Role.GOODS_IN], goods))["registered"] == 1
    (found,) = (await ours[Role.GOODS_IN].get(f"/v1/devices?imei={goods.phones[0][0]}")).json()["devices"]
    assert found["owner"] == ours.owner


async def test_an_owner_sells_its_own_goods_and_claims_them_only_if_it_says_so(ours):
    goods = of(ours.owner, stock(2))
    await register(ours[Role.GOODS_IN], goods)
    told = await ours[Role.GOODS_IN].post("/v1/devices/sold", json={"imeis": [goods.phones[0][0]]})
    assert told.json() == {"recorded": 1, "changed": 1, "unknown": []}
    manager = ours[Role.INCIDENT_MANAGER]
    incident = await drafted(manager, pallets=[goods.pallet])
    submitted = await decided(manager, incident, "submit")
    assert (submitted["preview"]["devices"], submitted["preview"]["sold"]["devices"]) == (1, 1)
    # What is golden, and what is forgotten, concerns everybody.
    admin = ours[Role.ADMIN]
    golden = {"digits": [goods.phones[1][0]], "why": "bench"}
    problem(await admin.post("/v1/golden", json=golden), 403, "out-of-reach")
    erasure = {"imeis": [goods.phones[0][0]], "reason": "asked"}
    problem(await admin.post("/v1/devices/erase", json=erasure), 403, "out-of-reach")
    problem(await admin.get(f"/v1/devices/{goods.phones[0][0]}/held"), 403, "out-of-reach")


async def test_only_registered_goods_of_ones_own_can_be_declared(theirs, ours, carrier):
    """An insider of a tenant blocks neither a neighbour's phones nor a customer's."""
    strangers, manager = [theirs.goods.phones[1][0], stock(1).imeis[0]], ours[Role.INCIDENT_MANAGER]
    draft = await manager.post("/v1/incidents", json={"title": "x", "scope": {"imeis": strangers}})
    preview = draft.json()["preview"]
    assert (preview["devices"], preview["identifiers"]) == (0, 0)
    assert preview["unknown"]["imeis"] == sorted(strangers)
    assert preview["unknown"]["left_out"] is True
    problem(await manager.post(f"/v1/incidents/{draft.json()['id']}/submit"), 409, "incident-empty")
    mixed = await drafted(manager, imeis=[*strangers, ours.goods.phones[1][0]])
    assert (await decided(manager, mixed, "submit"))["identifiers"] == 2
    assert await statuses(carrier, strangers[1:]) == ["unknown"]


async def test_what_two_incidents_hold_is_not_let_go_by_the_one_that_sees_its_own_alone(
    gateway, ours, manager, approver, carrier
):
    goods = of(ours.owner, stock(1))
    await register(ours[Role.GOODS_IN], goods)
    held = await drafted(manager, pallets=[goods.pallet])
    own = await drafted(ours[Role.INCIDENT_MANAGER], pallets=[goods.pallet])
    for client, second, incident in (
        (manager, approver, held),
        (ours[Role.INCIDENT_MANAGER], ours[Role.APPROVER], own),
    ):
        await decided(client, incident, "submit")
        await decided(second, incident, "approve")
    await decided(ours[Role.INCIDENT_MANAGER], own, "withdraw", reason="found")
    assert await statuses(carrier, [goods.phones[0][0]]) == ["blocked"]


async def test_what_concerns_everybody_is_refused_with_the_reason(ours):
    for path in ("/v1/audit/entries", "/v1/partners", "/v1/blocklist"):
        body = problem(await ours[Role.ADMIN].get(path), 403, "out-of-reach")
        assert "of some owners or sites alone" in body["detail"]


async def test_a_token_sees_no_more_than_its_key(gateway, theirs, ours):
    made = await gateway.new_key(Role.INCIDENT_MANAGER, Reach(owners=(ours.owner,)))
    form = {"grant_type": "client_credentials", "client_id": made.key_id, "client_secret": made.key}
    async with gateway.bare() as client:
        token = (await client.post(f"{gateway.url}/oauth2/token", data=form)).json()["access_token"]
        shown = {"authorization": f"Bearer {token}"}
        found = await client.get(f"{gateway.url}/v1/incidents/{theirs.names['incident_id']}", headers=shown)
        assert found.status_code == 404
        own = await client.get(f"{gateway.url}/v1/incidents/{ours.names['incident_id']}", headers=shown)
        assert own.status_code == 200


async def test_a_site_is_an_end_of_reach_as_an_owner_is(gateway, goods_in):
    here, there = stock(1), stock(1)
    there.lines = [there.lines[0].replace("PAR-1", "LYS-2")]
    for goods in (here, there):
        await register(goods_in, goods)
    client = gateway.client(await gateway.new_key(Role.GOODS_IN, Reach(sites=("LYS-2",))))
    async with client:
        assert (await client.get(f"/v1/devices?imei={here.phones[0][0]}")).json()["devices"] == []
        assert (await client.get(f"/v1/devices?imei={there.phones[0][0]}")).json()["devices"] != []
        more = stock(1)
        receipt = await register(client, more)
        assert (receipt["registered"], receipt["rejected"]) == (0, 1)


def test_every_route_is_asked():
    assert set(ASKED) | ANYBODYS == set(OPERATIONS)
    assert set(ASKED) >= READS
