"""Guards against mass mistakes over HTTP: dry runs, what is unusual, what is golden."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .asking import JSON, decided, drafted, problem, register, statuses, stock
from .conftest import Gateway, serving


@pytest.fixture(scope="module")
async def strict(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway to which more than two devices are unusual at first."""
    folder = tmp_path_factory.mktemp("strict")
    async with serving(cluster, template, folder, "web", unusual_devices=2) as gateway:
        yield gateway


async def test_what_is_unusual_is_acknowledged_shown_and_on_the_record(strict):
    manager, approver = strict["incident-manager"], strict["approver"]
    goods = stock(3)
    await register(strict["goods-in"], goods)
    shown = await manager.post("/v1/incidents/preview", json={"scope": {"pallets": [goods.pallet]}})
    assert shown.status_code == 200
    (warning,) = shown.json()["warnings"]
    assert (warning["code"], warning["acknowledge"]) == ("size", True)
    assert (await manager.get("/v1/incidents")).json()["incidents"] == []
    incident = await drafted(manager, pallets=[goods.pallet])
    path = f"/v1/incidents/{incident}/submit"
    refused = problem(await manager.post(path), 409, "unusual")
    assert [(one["pointer"], one["code"]) for one in refused["errors"]] == [("/acknowledged", "size")]
    assert await statuses(strict["carrier"], goods.imeis) == ["clear"] * 6
    problem(await manager.post(path, json={"acknowledged": ["everything"]}), 400, "body-wrong")
    answer = await decided(manager, incident, "submit", acknowledged=["size"])
    assert answer["acknowledged"] == ["size"]
    read = (await approver.get(f"/v1/incidents/{incident}")).json()
    assert (read["acknowledged"], read["preview"]["warnings"]) == (["size"], [warning])
    entries = await strict["auditor"].get(
        "/v1/audit/entries", params={"subject": f"incident:{incident}", "kind": "incident.submitted"}
    )
    assert [one["body"]["detail"]["acknowledged"] for one in entries.json()["entries"]] == [["size"]]


async def test_a_submission_may_say_nothing_in_several_ways(manager):
    text, nothing = {"content-type": "text/plain"}, {"acknowledged": []}
    for sent in ({}, {"json": {}}, {"json": nothing}, {"headers": JSON}, {"headers": text}):
        incident = await drafted(manager, serials=["A"])
        assert (await manager.post(f"/v1/incidents/{incident}/submit", **sent)).status_code == 200
    problem(await manager.post(f"/v1/incidents/{incident}/submit", content=b"x"), 415, "body-not-json")


async def test_a_theft_does_not_fail_for_a_golden_imei_and_it_is_not_blocked(
    goods_in, manager, approver, admin, carrier
):
    goods = stock(2)
    await register(goods_in, goods)
    said = {"digits": [goods.phones[0][0]], "why": "Handset of the test bench"}
    added = await admin.post("/v1/golden", json=said)
    assert added.json() == {"added": [goods.phones[0][0][:14]]}
    incident = await drafted(manager, pallets=[goods.pallet])
    submitted = await decided(manager, incident, "submit")
    assert submitted["preview"]["spared"] == {
        "devices": 1,
        "identifiers": 2,
        "first": [{"imei": goods.phones[0][0], "why": "Handset of the test bench"}],
    }
    await decided(approver, incident, "approve")
    assert await statuses(carrier, goods.imeis) == ["clear"] * 2 + ["blocked"] * 2
    held = problem(
        await admin.post("/v1/golden", json={**said, "digits": goods.imeis[2:3]}), 409, "golden-held"
    )
    assert f"incident {incident}" in held["detail"]
    assert goods.imeis[2] not in held["detail"]


async def test_what_is_golden_is_read_in_pages_and_removed_with_a_reason(admin, manager):
    digits = [phone[0][:14] for phone in stock(3).phones]
    await admin.post("/v1/golden", json={"digits": digits, "why": "bench"})
    before = f"{int(digits[0]) - 1:014d}"
    first = (await manager.get("/v1/golden", params={"limit": 2, "after": before})).json()
    assert ([one["digits"] for one in first["golden"]], first["next"]) == (digits[:2], digits[1])
    removal = {"digits": digits[0], "reason": "sold to the staff"}
    assert (await admin.post("/v1/golden/remove", json=removal)).status_code == 200
    problem(await admin.post("/v1/golden/remove", json=removal), 404, "golden-missing")
    problem(await admin.post("/v1/golden/remove", json={**removal, "reason": " "}), 400, "reason-missing")
