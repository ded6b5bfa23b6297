"""What follows from EPCIS events: devices come in, stand on pallets, leave; a reported theft becomes a draft."""

from __future__ import annotations

import asyncio
import io
import itertools
from datetime import UTC, datetime
from typing import Any

from app.access.roles import Principal, Role
from app.core import gs1, imei
from app.core.db import open_pool
from app.devices.incoming import here
from app.devices.intake import Defaults, Format, read
from app.devices.receipts import Terms
from app.devices.register import register

from .asking import decided, drafted, statuses
from .test_epcis import captured, event

_numbers = itertools.count(500_000)


def phone() -> tuple[str, str]:
    """An IMEI that no other test has: as people write it, and as an EPC."""
    key = 35_209902_000000 + next(_numbers)
    return imei.full(key), f"urn:gsma:imei:{key // 10**6:08d}-{key % 10**6:06d}-0"


def pallet() -> tuple[str, str]:
    body = f"3{next(_numbers):016d}"
    sscc = f"{body}{gs1.check_digit(body)}"
    return sscc, f"https://id.gs1.org/00/{sscc}"


def packed(parent: str, *children: str, action: str = "ADD", **members: Any) -> dict[str, Any]:
    made = event(type="AggregationEvent", action=action, parentID=parent, childEPCs=list(children), **members)
    del made["epcList"]
    return made


async def found(client: Any, **wanted: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/devices", params=wanted)
    assert answer.status_code == 200, answer.text
    devices: list[dict[str, Any]] = answer.json()["devices"]
    return devices


async def test_received_devices_are_registered_and_stand_where_they_were_packed(goods_in, auditor):
    (number, epc), (sscc, parent), (other, elsewhere) = phone(), pallet(), pallet()
    job = await captured(
        goods_in,
        event(action="ADD", bizStep="receiving", epcList=[epc], bizLocation={"id": "urn:x:dock:4"}),
        packed(parent, epc, eventTime="2026-11-01T10:00:00+01:00"),
        packed(elsewhere, epc, eventTime="2026-11-01T12:00:00+01:00"),
    )
    assert (job["success"], job["errors"]) == (True, [])
    (device,) = await found(auditor, imei=number)
    assert (device["pallet"], device["site"], device["arrived"]) == (other, "urn:x:dock:4", True)
    (then,) = await found(auditor, pallet=sscc, at="2026-11-01T10:00:00Z")
    assert then["imeis"] == [number]
    assert await found(auditor, pallet=sscc) == []
    await captured(goods_in, packed(elsewhere, action="DELETE", eventTime="2026-11-01T13:00:00+01:00"))
    assert (await found(auditor, imei=number))[0]["pallet"] == ""


async def test_what_is_packed_and_was_never_registered_is_registered_then(goods_in, auditor):
    (number, epc), (sscc, parent) = phone(), pallet()
    await captured(goods_in, packed(parent, epc))
    assert [device["imeis"] for device in await found(auditor, pallet=sscc)] == [[number]]


async def test_an_event_that_is_declared_wrong_moved_nothing(goods_in, auditor):
    (number, epc), (sscc, parent) = phone(), pallet()
    wrong = packed(parent, epc, eventTime="2026-11-01T10:00:00+01:00")
    await captured(goods_in, event(action="ADD", bizStep="receiving", epcList=[epc]), wrong)
    assert len(await found(auditor, pallet=sscc)) == 1
    declared = {"declarationTime": "2026-11-02T10:00:00+01:00", "reason": "did_not_occur"}
    await captured(goods_in, wrong | {"errorDeclaration": declared})
    assert await found(auditor, pallet=sscc) == []
    assert (await found(auditor, imei=number))[0]["pallet"] == ""


async def _times(client: Any, number: str) -> tuple[str | None, str | None]:
    (device,) = await found(client, imei=number)
    return device["left_at"], device["seen_at"]


async def test_a_device_says_when_it_was_last_seen_and_when_it_left(goods_in, auditor):
    (number, epc), (other, beside), (_, parent) = phone(), phone(), pallet()
    received = event(action="ADD", bizStep="receiving", epcList=[epc, beside])
    await captured(goods_in, received, packed(parent, epc, eventTime="2026-11-01T10:00:00+01:00"))
    assert await _times(auditor, number) == (None, None)
    counted = event(epcList=[parent], bizStep="cycle_counting", eventTime="2026-11-01T18:00:00+01:00")
    gone = event(epcList=[parent], bizStep="departing", eventTime="2026-11-02T02:35:00+01:00")
    await captured(goods_in, counted, gone)
    assert await _times(auditor, number) == ("2026-11-02T01:35:00Z", "2026-11-01T17:00:00Z")
    late = event(epcList=[epc], bizStep="shipping", eventTime="2026-11-01T12:00:00+01:00")
    again = packed(parent, epc, action="OBSERVE", eventTime="2026-11-03T09:00:00+01:00")
    await captured(goods_in, late, again)
    assert await _times(auditor, number) == ("2026-11-02T01:35:00Z", "2026-11-03T08:00:00Z")
    assert await _times(auditor, other) == (None, None)


async def test_a_reported_theft_is_a_draft_that_nobody_has_decided(goods_in, manager, auditor, carrier):
    (number, epc), (sscc, parent) = phone(), pallet()
    stolen = event(epcList=[parent], disposition="stolen", eventTime="2026-11-02T02:00:00+01:00")
    await captured(goods_in, packed(parent, epc, eventTime="2026-11-01T10:00:00+01:00"), stolen)
    drafts = (await manager.get("/v1/incidents", params={"state": "draft"})).json()["incidents"]
    (draft,) = [one for one in drafts if "2026-11-02 01:00" in one["title"]]
    whole = (await manager.get(f"/v1/incidents/{draft['id']}")).json()
    assert whole["scope"]["pallets"] == [sscc]
    assert (draft["state"], draft["devices"]) == ("draft", 1)
    assert (await carrier.get(f"/v1/status/{number}")).json()["status"] == "clear"
    alerts = (await auditor.get("/v1/audit/entries", params={"kind": "alert.raised", "limit": 1000})).json()
    assert any(stolen["eventID"] in str(entry) for entry in alerts["entries"])
    declared = {"declarationTime": "2026-11-02T10:00:00+01:00", "reason": "incorrect_data"}
    await captured(goods_in, stolen | {"errorDeclaration": declared})
    assert (await manager.get(f"/v1/incidents/{draft['id']}")).json()["state"] == "withdrawn"


async def test_pallets_that_are_declared_stolen_are_gone_with_their_cartons(
    goods_in, manager, approver, carrier, auditor
):
    (number, epc), (carton, inner), (sscc, outer) = phone(), pallet(), pallet()
    at = "2026-11-01T10:00:00+01:00"
    job = await captured(goods_in, packed(outer, inner, eventTime=at), packed(inner, epc, eventTime=at))
    assert (job["success"], job["errors"]) == (True, [])
    for when in ({}, {"at": at}):
        (device,) = await found(auditor, pallet=sscc, **when)
        assert (device["imeis"], device["pallet"], device["outermost"]) == ([number], carton, sscc)
    incident = await drafted(manager, pallets=[sscc])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    assert await statuses(carrier, [number]) == ["blocked"]


async def test_several_reports_in_one_capture_are_several_drafts(goods_in, manager):
    (_, one), (_, two) = phone(), phone()
    reports = [
        event(epcList=[epc], disposition="stolen", eventTime=f"2026-11-03T0{hour}:30:00+00:00")
        for hour, epc in enumerate((one, two), 2)
    ]
    received = event(action="ADD", bizStep="receiving", epcList=[one, two])
    again = event(action="ADD", bizStep="receiving", epcList=[two, one])
    job = await captured(goods_in, received, again, *reports)
    assert (job["success"], job["errors"]) == (True, [])
    drafts = (await manager.get("/v1/incidents", params={"state": "draft"})).json()["incidents"]
    assert {"Reported stolen 2026-11-03 02:30", "Reported stolen 2026-11-03 03:30"} <= {
        one["title"] for one in drafts
    }


async def test_one_event_that_meets_an_upload_is_carried_out_after_it(gateway, goods_in, auditor):
    (known, one), (number, two) = phone(), phone()
    await captured(goods_in, event(action="ADD", bizStep="receiving", epcList=[one]))
    dock = Principal("dock", "Dock", Role.GOODS_IN)
    goods = here(read(io.BytesIO(f"imei1\n{number}\n".encode()), Format.CSV, Defaults()))
    async with await open_pool(gateway.dsn, size=1) as pool, pool.acquire() as conn, conn.transaction():
        await register(conn, dock, goods, Terms("test", bytes(32)), now=datetime.now(UTC))
        said = event(action="ADD", bizStep="receiving", epcList=[one, two])
        asking = asyncio.create_task(goods_in.post("/epcis/events", json=said))
        async with asyncio.timeout(20):
            while not await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.02)
    assert (await asking).status_code == 201, (await asking).text
    assert [device["imeis"] for device in await found(auditor, imei=number)] == [[number]]
    assert len(await found(auditor, imei=known)) == 1
