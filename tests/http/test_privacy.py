"""What is held on a device, over HTTP: all of it is shown, who saw it is on the record, and it can be forgotten."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from .asking import decided, drafted, problem, register, statuses, stock
from .conftest import serving
from .test_epcis import captured, event


async def entries(client: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    response = await client.get("/v1/audit/entries", params={"limit": 10_000, **wanted})
    return [one["body"] for one in response.json()["entries"]]


async def device(client: httpx.AsyncClient, number: str) -> dict[str, Any]:
    (found,) = (await client.get("/v1/devices", params={"imei": number})).json()["devices"]
    return dict(found)


async def test_everything_that_is_held_on_a_device_is_in_one_document(
    gateway, goods_in, manager, approver, carrier, auditor, admin, practice, until
):
    goods = stock(2, tac=35_209977)
    number = goods.phones[0][0]
    _, settings = await practice("ceir")
    told = {"name": "Register of privacy", "adapter": "ceir", "settings": settings, "allow_private": True}
    made = await admin.post("/v1/partners", json=told)
    assert made.status_code == 201, made.text
    await register(goods_in, goods)
    await register(goods_in, goods)
    moved = {"to": "340123450000000018", "imeis": [number]}
    assert (await goods_in.post("/v1/movements", json={"moves": [moved]})).status_code == 201
    epc = f"urn:gsma:imei:{number[:8]}-{number[8:14]}-0"
    await captured(goods_in, event(epcList=[epc], bizStep="cycle_counting"))
    incident = await drafted(manager, imeis=[number])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    await until(manager, f"/v1/incidents/{incident}", lambda found: found["settled"])
    reported = {"sightings": [{"imei": number, "place": "Lyon", "note": "Brought in by a customer"}]}
    await carrier.post("/v1/sightings", json=reported)
    await goods_in.post("/v1/devices/sold", json={"imeis": [number]})
    answer = await auditor.get(f"/v1/devices/{number}/held")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["imeis"] == list(goods.phones[0])
    assert (found["registered"]["owner"], found["registered"]["serial"]) == (
        "Retailer",
        goods.lines[0].split(",")[2],
    )
    assert len(found["receipts"]) == 2
    assert [row["pallet"] for row in found["movements"]] == [goods.pallet, "340123450000000018"]
    assert [row["event"]["bizStep"] for row in found["events"]] == ["cycle_counting"]
    assert [(row["incident_id"], row["state"]) for row in found["claims"]] == [(incident, 1)] * 2
    assert [row["status"] for row in found["listings"]] == [2, 2]
    assert {(row["before"], row["status"]) for row in found["changes"]} == {(0, 1), (1, 2)}
    ours = [(row["op"], row["state"]) for row in found["told"] if row["partner"] == "Register of privacy"]
    assert ours == [("block", "told")] * 2
    assert [(row["place"], row["note"]) for row in found["sightings"]] == [
        ("Lyon", "Brought in by a customer")
    ]
    assert [row["sold"] for row in found["sales"]] == [True]
    assert goods.phones[1][0] not in answer.text
    assert goods.phones[1][0][:14] not in answer.text
    number_of_it = found["device_id"]
    again = (await auditor.get(f"/v1/devices/{number_of_it}/held")).json()
    assert [row["kind"] for row in again["entries"]] == ["device.exported"]
    exported = await entries(auditor, subject=f"device:{number_of_it}")
    assert [row["kind"] for row in exported] == ["device.exported"] * 2
    assert number[:14] not in json.dumps(exported)
    await admin.delete(f"/v1/partners/{made.json()['id']}", params={"reason": "done"})


async def test_what_is_no_device_is_told_so(auditor):
    problem(await auditor.get("/v1/devices/987654321/held"), 404, "device-missing")
    problem(await auditor.get(f"/v1/devices/{stock(1).imeis[0]}/held"), 404, "device-missing")
    problem(await auditor.get("/v1/devices/none/held"), 400, "device-malformed")
    problem(await auditor.get("/v1/devices/99999999999999999999/held"), 400, "device-malformed")


async def test_a_sold_device_is_forgotten_and_stays_what_it_is_called(goods_in, admin, auditor, carrier):
    goods = stock(2)
    await register(goods_in, goods)
    number = goods.phones[0][0]
    assert (await goods_in.post("/v1/devices/sold", json={"imeis": [number]})).json() == {
        "recorded": 1, "changed": 1, "unknown": [],
    }  # fmt: skip
    assert (await device(auditor, number))["sold_at"] is not None
    said = {"imeis": [number, goods.phones[1][0]], "reason": "Ticket 4711"}
    answer = (await admin.post("/v1/devices/erase", json=said)).json()
    assert (answer["erased"], [one["code"] for one in answer["kept"]]) == (1, ["not-sold"])
    found = await device(auditor, number)
    assert (found["owner"], found["pallet"], found["receipt_id"], found["imeis"]) == (
        "",
        "",
        0,
        list(goods.phones[0]),
    )
    assert await statuses(carrier, [number]) == ["clear"]
    held = (await auditor.get(f"/v1/devices/{number}/held")).json()
    assert (held["receipts"], held["movements"]) == ([], [])


async def test_reading_what_is_somebodys_own_is_on_the_record_and_asking_for_a_status_is_not(
    gateway, goods_in, manager, carrier, auditor
):
    goods = stock(1)
    await register(goods_in, goods)
    number = goods.imeis[0]

    async def reads(subject: str) -> int:
        found = await entries(auditor, kind="personal.read")
        return len([one for one in found if one["subject"] == subject and "goods-in" in one["actor"]])

    before = await reads("devices")
    await device(goods_in, number)
    assert await reads("devices") == before
    await goods_in.post("/v1/devices/sold", json={"imeis": [number]})
    await device(goods_in, number)
    assert await reads("devices") == before + 1
    everything = len(await entries(auditor))
    await statuses(carrier, [number])
    await carrier.get(f"/v1/status/{number}")
    assert len(await entries(auditor)) == everything
    incident = await drafted(manager, imeis=[number])
    await decided(manager, incident, "submit", include_sold=True)
    await carrier.post("/v1/sightings", json={"sightings": [{"imei": number, "place": "Lyon"}]})
    noted = len(await entries(auditor, kind="personal.read"))
    found = (await manager.get("/v1/sightings", params={"incident": incident})).json()["sightings"]
    assert [one["place"] for one in found] == ["Lyon"]
    kinds = await entries(auditor, kind="personal.read")
    assert (len(kinds), kinds[-1]["subject"], kinds[-1]["detail"]["count"]) == (noted + 1, "sightings", 1)


async def test_what_was_sold_long_ago_is_forgotten_by_itself_if_it_is_set_when(
    cluster, template, tmp_path, until
):
    async with serving(cluster, template, tmp_path, "web", "worker", sold_days=30) as forgetful:
        goods, dock = stock(2), forgetful["goods-in"]
        await register(dock, goods)
        for phone, days in zip(goods.phones, (31, 29), strict=True):
            at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
            await dock.post("/v1/devices/sold", json={"imeis": [phone[0]], "at": at})
        path = f"/v1/devices?imei={goods.phones[0][0]}"
        await until(dock, path, lambda found: found["devices"][0]["erased_at"] is not None)
        assert [(await device(dock, phone[0]))["owner"] for phone in goods.phones] == ["", "Retailer"]
        (erased,) = await entries(forgetful["auditor"], kind="devices.erased")
        assert (erased["actor"], erased["detail"]["count"]) == ("retention", 1)
