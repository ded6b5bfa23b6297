"""Two models that share a serial: a serial alone names neither, and with its GTIN only the one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from .asking import CSV, decided, drafted, places, problem, stock
from .test_epcis import captured
from .test_epcis_effects import packed, pallet

WATCH, TABLET = "09506000134352", "09506000134369"
_numbers = itertools.count(1)


@pytest.fixture
async def twins(goods_in) -> tuple[str, str]:
    """The serial and the pallet of a watch and a tablet, neither of which has an IMEI."""
    serial, on = f"TWIN-{next(_numbers)}", stock(1).pallet
    lines = f"serial,gtin,pallet\n{serial},{WATCH},{on}\n{serial},{TABLET},{on}\n"
    answer = await goods_in.post("/v1/receipts", content=lines, headers=CSV)
    assert answer.json()["registered"] == 2
    return serial, on


def of(gtin: str, serial: str) -> str:
    return f"(01){gtin}(21){serial}"


async def where(client: Any, serial: str) -> dict[str, str]:
    answer = await client.get("/v1/devices", params={"serial": serial})
    return {device["gtin"]: device["pallet"] for device in answer.json()["devices"]}


async def test_only_the_one_that_is_named_moves(goods_in, auditor, twins):
    serial, on = twins
    move = {"to": stock(1).pallet, "serials": [serial]}
    refused = problem(await goods_in.post("/v1/movements", json={"moves": [move]}), 400, "serial-ambiguous")
    assert all(of(gtin, serial) in refused["detail"] for gtin in (WATCH, TABLET))
    assert await where(auditor, serial) == {WATCH: on, TABLET: on}
    move["serials"] = [of(TABLET, serial)]
    answer = await goods_in.post("/v1/movements", json={"moves": [move]})
    assert (answer.json()["recorded"], answer.json()["unknown"]) == (1, [])
    assert await where(auditor, serial) == {WATCH: on, TABLET: move["to"]}


async def test_an_event_moves_the_one_that_it_names(goods_in, auditor, twins):
    (serial, on), (other, parent) = twins, pallet()
    await captured(goods_in, packed(parent, f"https://id.gs1.org/01/{WATCH}/21/{serial}"))
    assert await where(auditor, serial) == {WATCH: other, TABLET: on}


async def test_only_the_one_that_is_named_is_stolen_and_found_again(manager, admin, approver, twins):
    serial, _ = twins
    said = {"title": "Twins", "scope": {"serials": [serial]}}
    refused = problem(await manager.post("/v1/incidents", json=said), 400, "serial-ambiguous")
    assert of(WATCH, serial) in places(refused)[""]
    incident = await drafted(manager, serials=[of(WATCH, serial)])
    preview = (await manager.get(f"/v1/incidents/{incident}")).json()["preview"]
    assert (preview["devices"], preview["serials"], preview["unknown"]["serials"]) == (1, 1, [])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    missed = {"scope": {"serials": [of(TABLET, serial)]}}
    problem(await admin.post(f"/v1/incidents/{incident}/lift", json=missed), 409, "nothing-held")
    lifted = await decided(admin, incident, "lift", scope={"serials": [of(WATCH, serial)]})
    assert (lifted["devices"], lifted["state"]) == (1, "closed")


async def test_what_was_declared_before_it_was_registered_is_the_same_device(
    manager, approver, goods_in, auditor
):
    serial = f"EARLY-{next(_numbers)}"
    incident = await drafted(manager, serials=[of(WATCH, serial)])
    shown = (await manager.get(f"/v1/incidents/{incident}")).json()["preview"]
    assert (shown["devices"], shown["unknown"]["serials"]) == (0, [of(WATCH, serial)])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    answer = await goods_in.post("/v1/receipts", content=f"serial,gtin\n{serial},{WATCH}\n", headers=CSV)
    assert answer.json()["registered"] == 1
    (device,) = (await auditor.get("/v1/devices", params={"serial": serial})).json()["devices"]
    assert device["status"] == "blocked"


async def test_a_look_up_means_the_device_that_a_movement_means(goods_in, auditor):
    serial, on, to = f"BARE-{next(_numbers)}", stock(1).pallet, stock(1).pallet
    row = f"imei1,serial,pallet\n{stock(1).imeis[0]},{serial},{on}\n"
    assert (await goods_in.post("/v1/receipts", content=row, headers=CSV)).json()["registered"] == 1
    for name in (serial, f"  {serial} ", of(WATCH, serial), f"https://id.gs1.org/01/{WATCH}/21/{serial}"):
        move = {"to": to, "serials": [name]}
        assert (await goods_in.post("/v1/movements", json={"moves": [move]})).json()["unknown"] == []
        assert await where(auditor, name) == {"": to}
    watch = f"serial,gtin,pallet\n{serial},{WATCH},{on}\n"
    assert (await goods_in.post("/v1/receipts", content=watch, headers=CSV)).json()["registered"] == 1
    assert await where(auditor, of(WATCH, serial)) == {WATCH: on}
