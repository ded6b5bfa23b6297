"""Partners over HTTP: added, changed, paused, watched, heard; and their secrets, which nobody is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.adapters import signature
from app.sandbox.faults import Faults

from .asking import JSON, decided, drafted, places, problem, register, stock

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
    assert 'imei_gateway_partner_pending{partner="Waits"} 6.0' in (await nobody.get("/metrics")).text
    assert (await admin.patch(url, json={"paused": False})).json()["pending"] == 6
    await until(admin, url, lambda answer: answer["pending"] == 0)
    assert 'imei_gateway_partner_pending{partner="Waits"} 0.0' in (await nobody.get("/metrics")).text


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
    figures = (await nobody.get("/metrics")).text
    for name, count in (("parked", 1), ("refused", 2), ("accepted", 3)):
        assert f'imei_gateway_partner_{name}{{partner="Given up"}} {count}.0' in figures
    await admin.delete(url)
    assert '"Given up' not in (await nobody.get("/metrics")).text


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


async def test_confirmations_must_be_signed(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Brand A', 'knox_guard'))['id']}/confirmations"
    body = json.dumps(
        {"events": [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"}]}
    ).encode()
    accepted = await nobody.post(url, content=body, headers=signed(body))
    assert (accepted.status_code, accepted.json()) == (200, {"counted": 0, "ignored": 1})
    problem(await nobody.post(url, content=body, headers=JSON), 401)
    problem(await nobody.post(url, content=body + b" ", headers=signed(body)), 401)
    problem(await nobody.post(url, content=body, headers=signed(body, "whsec_" + "b3RoZXJz" * 5)), 401)
    problem(await admin.post(url, content=body, headers=JSON), 401)


async def test_confirmations_that_cannot_be_read(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Brand B', 'knox_guard'))['id']}/confirmations"
    for body in (
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"events": [{"eventType": 1}]}',
        b'{"events": NaN}',
    ):
        problem(await nobody.post(url, content=body, headers=signed(body)), 400)


async def test_a_message_of_too_many_results_is_refused(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Brand E', 'knox_guard'))['id']}/confirmations"
    events = [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "490154203237518"}] * 10_001
    body = json.dumps({"events": events}, separators=(",", ":")).encode()
    found = problem(await nobody.post(url, content=body, headers=signed(body)), 400, "confirmation-size")
    assert "10,000 at most" in found["detail"]
    body = b" " * (2**20 + 1)
    problem(await nobody.post(url, content=body, headers=signed(body)), 413, "body-too-large")


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, 2**63 - 1])
async def test_a_number_that_no_partner_can_have(admin, manager, nobody, number):
    incident = await drafted(manager, serials=["BEYOND"])
    problem(await admin.get(f"/v1/partners/{number}"), 404, "missing")
    problem(await admin.patch(f"/v1/partners/{number}", json={"paused": True}), 404, "missing")
    problem(await admin.get(f"/v1/incidents/{incident}/refusals/{number}"), 404, "missing")
    url = f"/v1/partners/{number}/confirmations"
    problem(await nobody.post(url, content=b"{}", headers=signed(b"{}")), 404, "missing")


async def test_an_adapter_that_confirms_nothing(admin, nobody):
    url = f"/v1/partners/{(await added(admin, 'Register E'))['id']}/confirmations"
    problem(await nobody.post(url, content=b"{}", headers=signed(b"{}")), 409, "confirms-not")
    problem(await nobody.post("/v1/partners/999999/confirmations", content=b"{}", headers=JSON), 404)


async def test_a_brand_reports_its_locks(gateway, admin, goods_in, manager, approver, practice, until):
    _, settings = await practice("knox_guard")
    goods = stock(2, tac=35_777777)
    made = await added(
        admin,
        "Brand C",
        "knox_guard",
        settings=settings,
        scope={"kinds": ["imei"], "tacs": ["35777777"]},
    )
    callback = {"url": f"{gateway.url}/v1/partners/{made['id']}/confirmations"}
    async with gateway.bare() as client:
        assert (await client.put(f"{settings['url']}/sandbox/callback", json=callback)).status_code == 204
    await register(goods_in, goods)
    incident = await drafted(manager, pallets=[goods.pallet])
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    read = await until(manager, f"/v1/incidents/{incident}", lambda answer: answer["settled"])
    (standing,) = read["partners"]
    assert (standing["partner"], standing["block"]["wanted"], standing["block"]["done"]) == ("Brand C", 4, 4)


async def test_a_message_that_comes_twice_counts_once(
    admin, auditor, goods_in, manager, approver, nobody, practice, until
):
    _, settings = await practice("knox_guard")
    goods = stock(1, tac=35_777778)
    scope = {"kinds": ["imei"], "tacs": ["35777778"]}
    made = await added(admin, "Brand D", "knox_guard", settings=settings, scope=scope)
    await register(goods_in, goods)

    async def waits(op: str, accepted: int) -> None:
        def stands(answer):
            return answer["partners"] and answer["partners"][0][op]["accepted"] == accepted

        await until(manager, f"/v1/incidents/{incident}", stands)

    async def stolen() -> int:
        number = await drafted(manager, pallets=[goods.pallet])
        await decided(manager, number, "submit")
        await decided(approver, number, "approve")
        return number

    async def reported(event: str, number: str) -> int:
        events = [{"eventType": event, "deviceUid": imei} for imei in goods.imeis]
        body = json.dumps({"events": events}).encode()
        secret = settings["webhook_secret"]
        headers = JSON | signature.signed(signature.keys(secret), number, datetime.now(UTC), body)
        answer = await nobody.post(f"/v1/partners/{made['id']}/confirmations", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        counted: int = answer.json()["counted"]
        return counted

    incident = await stolen()
    await waits("block", 2)
    assert await reported("KG_DEVICE_LOCKED", "lock-1") == 2
    lift = {"scope": {"pallets": [goods.pallet]}}
    assert (await manager.post(f"/v1/incidents/{incident}/lift", json=lift)).status_code == 200
    await waits("release", 2)
    assert await reported("KG_DEVICE_UNLOCKED", "unlock-1") == 2
    incident = await stolen()
    await waits("block", 2)
    subject = {"subject": f"partner:{made['id']}", "limit": 100}
    before = (await auditor.get("/v1/audit/entries", params=subject)).json()["entries"]
    assert await reported("KG_DEVICE_LOCKED", "lock-1") == 0
    after = (await auditor.get("/v1/audit/entries", params=subject)).json()["entries"]
    assert len(after) == len(before)
    assert await reported("KG_DEVICE_LOCKED", "lock-2") == 2


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
