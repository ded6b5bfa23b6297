"""Sightings and alerts over HTTP: who asked, who reported, who is told."""

from __future__ import annotations

from typing import Any

import pytest

from .asking import decided, drafted, figures, places, problem, register, stock


@pytest.fixture
async def stolen(goods_in, manager, approver) -> tuple[list[str], int]:
    """Phones of an incident, and its number."""
    goods = stock(3)
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    return [phone[0] for phone in goods.phones], incident


async def noted(until: Any, manager: Any, incident: int, count: int) -> list[dict[str, Any]]:
    path = f"/v1/sightings?incident={incident}"
    found = await until(manager, path, lambda page: len(page["sightings"]) >= count)
    sightings: list[dict[str, Any]] = found["sightings"]
    assert len(sightings) == count
    return sightings


async def test_who_asks_is_noted_in_whatever_dialect(carrier, manager, stolen, until):
    phones, incident = stolen
    await carrier.get(f"/v1/status/{phones[0]}")
    await carrier.post("/v1/status", json={"imeis": phones})
    eir = {"pei": f"imei-{phones[1]}", "supi": "imsi-208930000000003", "gpsi": "msisdn-33600000000"}
    await carrier.get("/n5g-eir-eic/v1/equipment-status", params=eir)
    await carrier.post("/device-authenticity/vwip/check-status", json={"imei": phones[1]})
    await carrier.post("/device-check/v1/query", data={"deviceid": phones[2]})
    found = await noted(until, manager, incident, 6)
    assert {(one["imei"], one["way"], one["place"], one["times"]) for one in found} == {
        (phones[0][:14], "api", "", 2),
        (phones[1][:14], "api", "", 1),
        (phones[2][:14], "api", "", 1),
        (phones[1][:14], "n5g-eir", "mcc:208", 1),
        (phones[1][:14], "camara", "", 1),
        (phones[2][:14], "device-check", "", 1),
    }
    assert all("33600000000" not in str(one) and "0000000003" not in str(one) for one in found)
    assert (await manager.get(f"/v1/incidents/{incident}")).json()["sightings"] == 6


async def test_the_manager_is_alerted_once_until_somebody_has_looked(
    carrier, manager, approver, stolen, until
):
    phones, incident = stolen
    await carrier.get(f"/v1/status/{phones[0]}")
    await noted(until, manager, incident, 1)
    (raised,) = await alerts(manager, incident)
    assert (raised["kind"], raised["times"], raised["seen_at"]) == ("sighting", 1, None)
    assert raised["concerns"] == (await manager.get(f"/v1/incidents/{incident}")).json()["submitted_by"]
    path = f"/v1/alerts/{raised['id']}/see"
    assert (await approver.post(path)).json() == {"changed": True}
    assert (await manager.post(path)).json() == {"changed": False}
    assert await alerts(manager, incident) == []
    (seen,) = await alerts(manager, incident, seen=True)
    assert seen["seen_by"].startswith("key:")
    problem(await manager.post("/v1/alerts/987654321/see"), 404, "alert-missing")


async def alerts(client: Any, incident: int, *, seen: bool = False) -> list[dict[str, Any]]:
    params = {"limit": 10_000, "seen": str(seen).lower()}
    found = (await client.get("/v1/alerts", params=params)).json()["alerts"]
    return [one for one in found if one["subject"] == f"incident:{incident}"]


async def test_a_device_without_an_imei_is_noted_too(goods_in, manager, approver, carrier, until):
    goods = stock(1)
    unit = f"(01)08806090000003(21)TABLET-{goods.pallet}"
    incident = await drafted(manager, serials=[unit])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    await carrier.get("/v1/status", params={"serial": unit})
    await carrier.post("/v1/status", json={"serials": [unit, "NOBODY KNOWS"]})
    (one,) = await noted(until, manager, incident, 1)
    assert (one["imei"], one["serial"], one["gtin"], one["times"]) == (
        "",
        f"TABLET-{goods.pallet}",
        "08806090000003",
        2,
    )


async def test_a_repair_desk_reports_what_it_has_before_it(carrier, manager, goods_in, stolen, until):
    phones, incident = stolen
    loose = stock(1)
    await register(goods_in, loose)
    said = [
        {"imei": phones[0], "place": "Lyon", "note": "no receipt", "at": "2026-01-05T10:00:00Z"},
        {"imei": loose.phones[0][0], "place": "Lille"},
        {"imei": stock(1).imeis[0], "place": "Nice"},
    ]
    told = await carrier.post("/v1/sightings", json={"sightings": said})
    assert (told.status_code, told.json()) == (200, {"taken": 2})
    (one,) = await noted(until, manager, incident, 1)
    assert (one["way"], one["place"], one["note"], one["first_at"]) == (
        "report",
        "Lyon",
        "no receipt",
        "2026-01-05T10:00:00Z",
    )
    assert len(await alerts(manager, incident)) == 1
    (other,) = (await manager.get("/v1/sightings", params={"imei": loose.phones[0][0]})).json()["sightings"]
    assert (other["status"], other["place"]) == ("clear", "Lille")
    found = (await manager.get("/v1/alerts", params={"limit": 10_000})).json()["alerts"]
    assert f"device:{other['device']}" in [it["detail"].get("last") for it in found if it["kind"] == "report"]


async def test_a_device_is_reported_by_its_serial(goods_in, manager, approver, carrier, until):
    """Beside an IMEI, and one that nobody knows."""
    goods, loose = stock(1), stock(1)
    await register(goods_in, loose)
    unit = f"(01)08806090000003(21)TABLET-{goods.pallet}"
    incident = await drafted(manager, serials=[unit])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    said = [{"serial": unit, "place": "Brest"}, {"imei": loose.phones[0][0]}, {"serial": "NOBODY KNOWS"}]
    told = await carrier.post("/v1/sightings", json={"sightings": said})
    assert (told.status_code, told.json()) == (200, {"taken": 2})
    (one,) = await noted(until, manager, incident, 1)
    assert (one["serial"], one["place"], one["way"]) == (f"TABLET-{goods.pallet}", "Brest", "report")


async def test_one_device_may_be_reported_by_each_of_its_imeis_and_at_several_places(
    carrier, manager, goods_in
):
    goods = stock(1)
    await register(goods_in, goods)
    said = [{"imei": number, "place": place} for number in goods.phones[0] for place in ("Lille", "Lens")]
    told = await carrier.post("/v1/sightings", json={"sightings": said})
    assert (told.status_code, told.json()) == (200, {"taken": 4})
    (device,) = {
        each["device"]
        for number in goods.phones[0]
        for each in (await manager.get("/v1/sightings", params={"imei": number})).json()["sightings"]
    }
    found = (await manager.get("/v1/alerts", params={"limit": 10_000})).json()["alerts"]
    assert [
        it["detail"]["identifiers"] for it in found if it["detail"].get("last") == f"device:{device}"
    ] == [4]


async def test_a_report_that_cannot_be_right_is_refused_as_a_whole(carrier, manager, stolen):
    phones, incident = stolen
    said = [
        {"imei": phones[0]},
        {},
        {"imei": phones[0], "serial": "A"},
        {"imei": "12"},
        {"serial": " "},
        {"imei": phones[0], "at": "2999-01-01T00:00:00Z"},
    ]
    body = problem(await carrier.post("/v1/sightings", json={"sightings": said}), 400)
    assert set(places(body)) == {
        "/sightings/1", "/sightings/2", "/sightings/3/imei", "/sightings/4/serial", "/sightings/5/at",
    }  # fmt: skip
    assert (await manager.get("/v1/sightings", params={"incident": incident})).json()["sightings"] == []


async def test_sightings_come_in_pages(carrier, manager, stolen, until):
    phones, incident = stolen
    await carrier.post("/v1/status", json={"imeis": phones})
    await noted(until, manager, incident, 3)
    first = (await manager.get("/v1/sightings", params={"incident": incident, "limit": 2})).json()
    params = {"incident": incident, "limit": 2, "cursor": first["next"]}
    last = (await manager.get("/v1/sightings", params=params)).json()
    assert last["next"] is None
    found = first["sightings"] + last["sightings"]
    assert sorted(one["imei"] for one in found) == sorted(phone[:14] for phone in phones)


async def test_who_asks_for_one_number_after_the_other_raises_an_alert(gateway, manager, until):
    made = await gateway.new_key("carrier")
    numbers = [f"{35_440044_000100 + place:014d}" for place in range(60)]
    headers = {"authorization": f"Bearer {made.key}"}
    await gateway["nobody"].post("/v1/status", json={"imeis": numbers}, headers=headers)
    found = await until(
        manager,
        "/v1/alerts?limit=10000",
        lambda page: any(one["subject"] == f"key:{made.key_id}" for one in page["alerts"]),
    )
    (raised,) = [one for one in found["alerts"] if one["subject"] == f"key:{made.key_id}"]
    assert (raised["kind"], raised["detail"]["asked"]) == ("enumeration", 60)


async def test_open_alerts_are_a_figure_for_monitoring(carrier, manager, nobody, stolen, until):
    phones, incident = stolen
    await carrier.get(f"/v1/status/{phones[0]}")
    await noted(until, manager, incident, 1)
    page = await figures(nobody)
    (line,) = [line for line in page.splitlines() if line.startswith("imei_gateway_alerts_open ")]
    assert float(line.split()[1]) >= 1
