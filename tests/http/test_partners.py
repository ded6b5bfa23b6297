"""Partners over HTTP: added, changed, paused, watched, heard; and their secrets, which nobody is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.adapters import signature
from app.sandbox.faults import Faults

from .asking import JSON, decided, drafted, figures, places, problem, register, stock

# No goods of the tests have this TAC, so nobody is told anything.
QUIET = {"kinds": ["imei"], "tacs": ["99999999"]}
SECRET = "whsec_" + "c2VjcmV0" * 5
SETTINGS: dict[str, dict[str, Any]] = {
    "ceir": {"url": "https://ceir.example", "username": "gateway", "password": "hush-hush"},
    "eir_push": {"url": "https://eir.example"},
    "eir_rest": {"url": "https://eir.example", "provisioning_key": "hush-hush"},
    "webhook": {"url": "https://hook.example/in", "secret": SECRET, "previous_secret": SECRET},
    "knox_guard": {
        "url": "https://knox.example",
        "api_token": "hush-hush",
        "email": "a@b.example",
        "webhook_secret": SECRET,
    },
}
SECRETS = {
    "ceir": {"password"},
    "eir_push": set(),
    "eir_rest": {"provisioning_key"},
    "webhook": {"secret", "previous_secret"},
    "knox_guard": {"api_token", "webhook_secret"},
}


async def added(admin, name: str, adapter: str = "ceir", **more: Any) -> dict[str, Any]:
    """With settings of the test's own, which are those of a practice partner, in a private network."""
    said = {"name": name, "adapter": adapter, "settings": SETTINGS[adapter], "scope": QUIET, **more}
    said.setdefault("allow_private", "settings" in more)
    response = await admin.post("/v1/partners", json=said)
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/partners/{response.json()['id']}"
    partner: dict[str, Any] = response.json()
    return partner


async def test_a_partner_is_added_listed_and_read(admin, manager):
    made = await added(admin, "Register A", limits={"max_inflight": 2, "rate": 5.5, "burst": 3})
    assert made["limits"] == {"max_inflight": 2, "rate": 5.5, "burst": 3}
    narrowed = {"kinds": ["imei"], "tacs": ["99999999"], "gtins": [], "brands": []}
    assert made["scope"] == {**narrowed, "incidents": [], "countries": [], "reasons": {}}
    assert (made["health"], made["paused"], made["pending"]) == ("working", False, 0)
    assert (await manager.get(f"/v1/partners/{made['id']}")).json() == made
    assert made in (await manager.get("/v1/partners")).json()["partners"]


async def test_what_is_left_out_stays_and_only_a_change_is_recorded(admin):
    made = await added(admin, "Register B")
    url = f"/v1/partners/{made['id']}"
    changed = (await admin.patch(url, json={"settings": {"url": "https://new.example"}})).json()
    assert changed["settings"] == made["settings"] | {"url": "https://new.example"}
    changed = (await admin.patch(url, json={"limits": {"max_inflight": 1}})).json()
    assert changed["limits"]["max_inflight"] == 1
    assert changed["settings"]["url"] == "https://new.example"
    for nothing in ({}, {"settings": {}}, {"limits": changed["limits"]}, {"reason": "none"}):
        assert (await admin.patch(url, json=nothing)).json() == changed
    entries = await admin.get("/v1/audit/entries", params={"subject": f"partner:{made['id']}"})
    assert len(entries.json()["entries"]) == 3


async def test_a_partner_is_paused_and_resumed(admin):
    url = f"/v1/partners/{(await added(admin, 'Register C'))['id']}"
    for reasonless in ({"paused": True}, {"paused": True, "reason": " "}):
        body = problem(await admin.patch(url, json=reasonless), 400, "reason-missing")
        assert set(places(body)) == {"/reason"}
    assert (await admin.get(url)).json()["paused"] is False
    paused = (await admin.patch(url, json={"paused": True, "reason": "Maintenance"})).json()
    assert (paused["paused"], paused["pause_reason"], paused["health"]) == (True, "Maintenance", "paused")
    resumed = (await admin.patch(url, json={"paused": False})).json()
    assert (resumed["paused"], resumed["health"]) == (False, "working")


async def test_what_waits_for_a_partner_is_counted_in_identifiers(
    admin, nobody, goods_in, manager, approver, practice, until
):
    _, settings = await practice("ceir")
    goods = stock(3, tac=35_888888)
    scope = {"kinds": ["imei"], "tacs": ["35888888"]}
    url = f"/v1/partners/{(await added(admin, 'Waits', settings=settings, scope=scope))['id']}"
    await admin.patch(url, json={"paused": True, "reason": "Maintenance"})
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    assert (await admin.get(url)).json()["pending"] == 6
    listed = (await manager.get("/v1/partners")).json()["partners"]
    assert [one["pending"] for one in listed if one["name"] == "Waits"] == [6]
    assert 'imei_gateway_partner_pending{partner="Waits"} 6.0' in await figures(nobody)
    assert (await admin.patch(url, json={"paused": False})).json()["pending"] == 6
    await until(admin, url, lambda answer: answer["pending"] == 0)
    assert 'imei_gateway_partner_pending{partner="Waits"} 0.0' in await figures(nobody)


async def test_what_is_parked_refused_or_accepted_is_shown_and_measured(admin, nobody, manager, gateway):
    made = await added(admin, "Given up")
    url = f"/v1/partners/{made['id']}"
    incident = await drafted(manager, serials=["GIVEN-UP"])
    await gateway.execute(
        "WITH said AS (INSERT INTO command (op, incident_id, identifiers, ordered_at, ordered_by)"
        " VALUES ('block', $1, 9, now(), 'x') RETURNING command_id)"
        " INSERT INTO progress (command_id, partner_id, wanted, done, parked, refused, accepted)"
        " SELECT command_id, $2, 9, 3, 1, 2, 3 FROM said",
        incident, made["id"],
    )  # fmt: skip
    read = (await admin.get(url)).json()
    assert (read["health"], read["parked"], read["refused"], read["accepted"]) == ("parked", 1, 2, 3)
    assert read["note"].startswith("1 parked: ")
    told = await figures(nobody)
    for name, count in (("parked", 1), ("refused", 2), ("accepted", 3)):
        assert f'imei_gateway_partner_{name}{{partner="Given up"}} {count}.0' in told
    await admin.delete(url)
    assert '"Given up' not in await figures(nobody)


async def test_a_name_is_taken_once(admin):
    await added(admin, "Register D")
    said = {"name": "Register D", "adapter": "ceir", "settings": SETTINGS["ceir"], "scope": QUIET}
    problem(await admin.post("/v1/partners", json=said), 409)


async def test_kinds_cannot_be_changed(admin):
    url = f"/v1/partners/{(await added(admin, 'Hook A', 'webhook'))['id']}"
    problem(await admin.patch(url, json={"scope": {**QUIET, "kinds": ["imei", "serial"], "gtins": []}}), 409)


async def test_everything_wrong_with_a_partner_is_told_at_once(admin):
    said = {
        "name": "",
        "adapter": "ceir",
        "settings": {"url": "ftp://x", "colour": "red"},
        "scope": {"tacs": ["12", "35209900", "x"]},
        "limits": {"max_inflight": 0, "rate": -1},
    }
    body = problem(await admin.post("/v1/partners", json=said), 400, "partner-flaws")
    assert body["detail"] == "9 things about this partner are wrong."
    found = places(body)
    assert set(found) == {
        "/name", "/settings/url", "/settings/colour", "/settings/username", "/settings/password",
        "/scope/tacs/0", "/scope/tacs/2", "/limits/max_inflight", "/limits/rate",
    }  # fmt: skip
    found = places(problem(await admin.post("/v1/partners", json=said | {"adapter": "fax"}), 400))
    assert "ceir, dirbs_file" in found["/adapter"]


@pytest.mark.parametrize("adapter", SETTINGS)
async def test_no_secret_is_ever_shown(admin, auditor, adapter):
    settings = SETTINGS[adapter]
    said = {"name": f"Secret {adapter}", "adapter": adapter, "settings": settings, "scope": QUIET}
    made = await admin.post("/v1/partners", json=said)
    url = made.headers["location"]
    changed = await admin.patch(url, json={"settings": settings, "paused": True, "reason": "x"})
    refused = await admin.patch(url, json={"settings": {**settings, "url": "nowhere"}})
    problem(refused, 400)
    entries = await auditor.get("/v1/audit/entries", params={"subject": f"partner:{made.json()['id']}"})
    assert len(entries.json()["entries"]) == 2
    read = [await admin.get(path) for path in (url, "/v1/partners", "/metrics")]
    for response in (made, changed, refused, entries, *read):
        assert not any(secret in response.text for secret in ("hush", SECRET))
    shown = (await admin.get(url)).json()["settings"]
    assert {name for name, value in shown.items() if value == "•••"} == SECRETS[adapter]


async def test_adapters_are_listed_with_the_schema_of_their_settings(manager):
    found = {one["kind"]: one for one in (await manager.get("/v1/adapters")).json()["adapters"]}
    assert set(SETTINGS) <= set(found)
    assert found["knox_guard"]["enrols"] is True
    assert found["webhook"]["kinds"] == ["imei", "serial"]
    assert "url" in json.dumps(found["ceir"]["settings"])


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return JSON | signature.signed(signature.keys(secret), "msg-1", datetime.now(UTC), body)


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, 2**63 - 1])
async def test_a_number_that_no_partner_can_have(admin, manager, nobody, number):
    incident = await drafted(manager, serials=["BEYOND"])
    problem(await admin.get(f"/v1/partners/{number}"), 404, "missing")
    problem(await admin.patch(f"/v1/partners/{number}", json={"paused": True}), 404, "missing")
    problem(await admin.get(f"/v1/incidents/{incident}/refusals/{number}"), 404, "missing")
    url = f"/v1/partners/{number}/confirmations"
    problem(await nobody.post(url, content=b"{}", headers=signed(b"{}")), 401, "unsigned")


async def test_with_a_new_rate_a_partner_does_not_rest_for_the_old_one(
    admin, goods_in, manager, approver, practice, until
):
    _, settings = await practice("eir_push")
    goods = stock(3, tac=35_777779)
    limits = {"max_inflight": 1, "rate": 0.001, "burst": 1}
    scope = {"kinds": ["imei"], "tacs": ["35777779"]}
    made = await added(admin, "Slow EIR", "eir_push", settings=settings, scope=scope, limits=limits)
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    await until(manager, f"/v1/partners/{made['id']}", lambda answer: answer["health"] == "resting")
    problem(await admin.patch(f"/v1/partners/{made['id']}", json={"limits": {"rate": 1e-300}}), 400)
    changed = await admin.patch(f"/v1/partners/{made['id']}", json={"limits": {"rate": None}})
    assert changed.status_code == 200
    read = await until(manager, f"/v1/incidents/{incident}", lambda answer: answer["settled"])
    assert read["partners"][0]["block"]["done"] == 6


async def test_what_was_refused_is_told_again_on_demand(
    admin, goods_in, manager, approver, auditor, practice, until
):
    stage, settings = await practice("ceir")
    stage.misbehaviour.order(Faults(refuse_rate=1.0))
    goods = stock(3, tac=35_888887)
    scope = {"kinds": ["imei"], "tacs": ["35888887"]}
    url = f"/v1/partners/{(await added(admin, 'Refuses', settings=settings, scope=scope))['id']}"
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    await until(admin, url, lambda answer: answer["pending"] == 0)
    refused = (await manager.get(f"/v1/incidents/{incident}/refusals/{url.rpartition('/')[2]}")).json()
    assert {one["state"] for one in refused["refusals"]} == {"refused"}
    stage.misbehaviour.order(Faults())
    told = await admin.post(f"{url}/replay", json={"incident": incident})
    assert (told.status_code, told.json()) == (200, {"block": 6, "release": 0})
    await until(admin, url, lambda answer: answer["pending"] == 0)
    assert (await admin.post(f"{url}/replay", json={})).json() == {"block": 0, "release": 0}
    entries = await auditor.get(
        "/v1/audit/entries", params={"subject": url.replace("/v1/partners/", "partner:")}
    )
    assert "partner.replayed" in {one["body"]["kind"] for one in entries.json()["entries"]}


async def test_a_partner_is_removed_and_its_name_is_free(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Leaves'))['id']}"
    assert (await admin.delete(url)).status_code == 204
    assert "Leaves" not in {one["name"] for one in (await admin.get("/v1/partners")).json()["partners"]}
    assert (await admin.get(url)).json()["settings"] == {}
    problem(await admin.delete(url), 409, "partner-removed")
    problem(await admin.post(f"{url}/resync"), 409, "partner-removed")
    await added(admin, "Leaves")


async def test_a_partner_that_cannot_be_asked_is_refused(admin):
    url = f"/v1/partners/{(await added(admin, 'Mute'))['id']}"
    problem(await admin.post(f"{url}/reconcile"), 409, "asks-not")


async def test_what_is_left_out_of_a_scope_or_of_limits_stays(admin):
    brands = {"kinds": ["imei"], "brands": ["nordlys"]}
    words = {"reasons": {"theft": "S1"}, "incidents": ["theft"]}
    limits = {"max_inflight": 2, "rate": 5.0, "burst": 3}
    made = await added(admin, "Merged", scope={**brands, **words}, limits=limits)
    url = f"/v1/partners/{made['id']}"

    async def changed(**said: Any) -> dict[str, Any]:
        response = await admin.patch(url, json=said)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    assert (await changed(scope={"countries": ["FR"]}))["scope"] == made["scope"] | {"countries": ["FR"]}
    assert (await changed(limits={"rate": 20}))["limits"] == limits | {"rate": 20.0}
    emptied = await changed(scope={"reasons": {}, "incidents": None, "countries": []}, limits={"rate": None})
    assert emptied["scope"] == made["scope"] | {"reasons": {}, "incidents": []}
    assert emptied["limits"] == limits | {"rate": None}
    usual = await changed(limits={"max_inflight": None, "burst": None})
    assert usual["limits"] == {"max_inflight": 8, "rate": None, "burst": 10}
    for smaller in ({"brands": []}, {"brands": None}):
        body = problem(await admin.patch(url, json={"scope": smaller}), 409, "scope-shrinks")
        assert "brands" in body["detail"]


async def test_what_is_wrong_in_a_change_is_told_with_its_place(admin):
    url = f"/v1/partners/{(await added(admin, 'Misfits'))['id']}"
    said = {"scope": {"kinds": ["fax"], "tacs": [7]}, "limits": {"burst": "1"}}
    found = places(problem(await admin.patch(url, json=said), 400, "body-wrong"))
    assert found["/scope/kinds/0"] == "'fax' would be one of imei, serial"
    assert set(found) == {"/scope/kinds/0", "/scope/tacs/0", "/limits/burst"}
