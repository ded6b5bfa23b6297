"""An incident over HTTP, from its draft to its end, and what carriers are told meanwhile."""

from __future__ import annotations

from .asking import decided, drafted, places, problem, register, statuses, stock

# A pallet that no test registers anything on.
NOWHERE = "376123450000000993"


async def test_the_whole_way(goods_in, manager, approver, carrier):
    goods = stock(3)
    await register(goods_in, goods)
    assert await statuses(carrier, goods.imeis) == ["clear"] * 6

    response = await manager.post(
        "/v1/incidents",
        json={
            "title": "Paris",
            "kind": "robbery",
            "site": "PAR-1",
            "occurred_from": "2026-12-22T01:00:00+01:00",
            "occurred_to": "2026-12-22T04:00:00+01:00",
            "police_reference": "PV 1",
            "scope": {"pallets": [goods.pallet]},
        },
    )
    assert response.status_code == 201
    draft = response.json()
    assert draft["state"] == "draft"
    preview = draft["preview"]
    assert (preview["devices"], preview["identifiers"], preview["imeis"], preview["serials"]) == (3, 6, 6, 0)
    assert preview["by_pallet"] == [{"pallet": goods.pallet, "devices": 3, "identifiers": 6}]
    assert preview["by_model"] == [{"brand": "", "model": "Phone X", "devices": 3}]
    assert preview["value"] == [{"currency": "EUR", "amount": "1499.70", "devices": 3, "unvalued": 0}]
    assert preview["unknown"] == {"imeis": [], "serials": [], "pallets": [], "receipts": []}
    assert await statuses(carrier, goods.imeis) == ["clear"] * 6

    url = response.headers["location"]
    assert url == f"/v1/incidents/{draft['id']}"
    submitted = await decided(manager, draft["id"], "submit")
    assert submitted["state"] == "submitted"
    assert await statuses(carrier, goods.imeis) == ["suspect"] * 6

    approved = await decided(approver, draft["id"], "approve")
    assert (approved["state"], approved["approved_by"] != approved["submitted_by"]) == ("approved", True)
    assert await statuses(carrier, goods.imeis) == ["blocked"] * 6
    assert (await carrier.get(f"/v1/status/{goods.imeis[0]}")).json()["status"] == "blocked"

    lifted = await decided(manager, draft["id"], "lift", scope={"imeis": goods.imeis[:1]})
    assert (lifted["devices"], lifted["identifiers"], lifted["released"], lifted["state"]) == (
        1,
        2,
        2,
        "approved",
    )
    assert await statuses(carrier, goods.imeis) == ["clear"] * 2 + ["blocked"] * 4

    read = (await approver.get(url)).json()
    assert (read["claims"]["active"], read["claims"]["lifted"], read["claims"]["devices_active"]) == (4, 2, 2)
    lifted = await decided(approver, draft["id"], "lift", scope={"pallets": [goods.pallet]})
    assert lifted["state"] == "closed"
    assert await statuses(carrier, goods.imeis) == ["clear"] * 6
    problem(
        await manager.post(f"{url}/lift", json={"scope": {"pallets": [goods.pallet]}}), 409, "incident-state"
    )


async def test_the_one_who_submits_does_not_approve(admin, approver, carrier):
    number = stock(1).imeis[0]
    incident = await drafted(admin, imeis=[number])
    await decided(admin, incident, "submit")
    problem(await admin.post(f"/v1/incidents/{incident}/approve"), 403, "second-person")
    problem(await admin.post(f"/v1/incidents/{incident}/reject", json={"reason": "no"}), 403, "second-person")
    assert await statuses(carrier, [number]) == ["suspect"]
    await decided(approver, incident, "approve")
    again = await decided(approver, incident, "approve")
    assert again["state"] == "approved"
    assert await statuses(carrier, [number]) == ["blocked"]


async def test_a_rejection_acquits(manager, approver, carrier):
    number = stock(1).imeis[0]
    incident = await drafted(manager, imeis=[number])
    await decided(manager, incident, "submit")
    rejected = await decided(approver, incident, "reject", reason="It was sold.")
    assert (rejected["state"], rejected["reason"]) == ("rejected", "It was sold.")
    assert await statuses(carrier, [number]) == ["unknown"]
    problem(await approver.post(f"/v1/incidents/{incident}/approve"), 409, "incident-state")


async def test_a_withdrawal_releases_in_any_state(manager, approver, carrier):
    for steps in ([], [(manager, "submit")], [(manager, "submit"), (approver, "approve")]):
        number = stock(1).imeis[0]
        incident = await drafted(manager, imeis=[number])
        for client, verb in steps:
            await decided(client, incident, verb)
        withdrawn = await decided(manager, incident, "withdraw", reason="A mistake.")
        assert withdrawn["state"] == "withdrawn"
        assert await statuses(carrier, [number]) == ["unknown"]


async def test_what_nobody_registered_is_listed_and_blocked_all_the_same(manager, approver, carrier):
    number = stock(1).imeis[0]
    scope = {
        "imeis": [number],
        "serials": ["NEVER-SEEN"],
        "pallets": [NOWHERE],
        "receipts": [999_999],
    }
    response = await manager.post("/v1/incidents", json={"title": "t", "scope": scope})
    preview = response.json()["preview"]
    assert preview["unknown"] == scope
    assert (preview["devices"], preview["identifiers"]) == (0, 2)
    await decided(manager, response.json()["id"], "submit")
    await decided(approver, response.json()["id"], "approve")
    assert await statuses(carrier, [number]) == ["blocked"]


async def test_an_incident_of_nothing_is_not_submitted(manager):
    incident = await drafted(manager, pallets=[NOWHERE])
    problem(await manager.post(f"/v1/incidents/{incident}/submit"), 409, "incident-empty")


async def test_what_another_incident_holds_is_shown(manager, approver):
    number = stock(1).imeis[0]
    first = await drafted(manager, imeis=[number])
    await decided(manager, first, "submit")
    await decided(approver, first, "approve")
    response = await manager.post("/v1/incidents", json={"title": "t", "scope": {"imeis": [number]}})
    (held,) = response.json()["preview"]["claimed_elsewhere"]
    assert (held["incident_id"], held["state"], held["identifiers"]) == (first, "approved", 1)


async def test_nothing_is_lifted_that_is_not_held(manager, approver):
    incident = await drafted(manager, imeis=stock(1).imeis)
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    url = f"/v1/incidents/{incident}/lift"
    problem(await manager.post(url, json={"scope": {"imeis": stock(1).imeis[:1]}}), 409, "nothing-held")


async def test_incidents_come_newest_first_in_pages(manager):
    made = [await drafted(manager, serials=[f"PAGE-{number}"]) for number in range(3)]
    first = (await manager.get("/v1/incidents", params={"limit": 2, "state": "draft"})).json()
    assert [one["id"] for one in first["incidents"]] == made[:0:-1]
    second = (await manager.get("/v1/incidents", params={"limit": 1, "cursor": first["next"]})).json()
    assert second["incidents"][0]["id"] == made[0]
    body = problem(await manager.get("/v1/incidents", params={"state": "stolen"}), 400)
    assert "draft, submitted, approved" in body["detail"]


async def test_a_preview_is_kept_as_it_was_shown(goods_in, manager):
    goods = stock(2)
    incident = await drafted(manager, pallets=[goods.pallet])
    await register(goods_in, goods)
    assert (await manager.get(f"/v1/incidents/{incident}")).json()["preview"]["devices"] == 0
    assert (await decided(manager, incident, "submit"))["preview"]["devices"] == 2


async def test_a_scope_names_every_flaw_in_its_place(manager):
    wrong = "490154203237517"
    scope = {"imeis": ["490154203237518", wrong], "pallets": ["12"], "serials": [" "]}
    body = problem(
        await manager.post("/v1/incidents", json={"title": "t", "scope": scope}), 400, "scope-flaws"
    )
    found = places(body)
    assert set(found) == {"/scope/imeis/1", "/scope/pallets/0", "/scope/serials/0"}
    assert "its last digit would be 8" in found["/scope/imeis/1"]


async def test_a_moment_that_has_not_come_is_a_flaw_of_the_scope(manager):
    scope = {"pallets": [NOWHERE], "as_of": "2126-12-22T02:00:00+01:00"}
    said = {"title": "t", "scope": scope}
    body = problem(await manager.post("/v1/incidents", json=said), 400, "scope-flaws")
    assert set(places(body)) == {"/scope/as_of"}
    scope["as_of"] = "2025-12-22T02:00:00+01:00"
    answer = (await manager.post("/v1/incidents", json=said)).json()
    assert answer["preview"]["as_of"] == scope["as_of"]


async def test_flaws_of_the_incident_and_of_its_scope_are_told_at_once(manager):
    said = {"title": " ", "kind": "arson", "scope": {"imeis": ["490154203237517"]}}
    body = problem(await manager.post("/v1/incidents", json=said), 400, "incident-flaws")
    assert set(places(body)) == {"/title", "/kind", "/scope/imeis/0"}


async def test_an_empty_scope_is_refused(manager):
    for scope in ({}, {"imeis": []}):
        body = problem(
            await manager.post("/v1/incidents", json={"title": "t", "scope": scope}), 400, "scope-empty"
        )
        assert "/scope" in places(body)


async def test_a_reason_is_wanted(manager):
    incident = await drafted(manager, serials=["REASON"])
    body = problem(await manager.post(f"/v1/incidents/{incident}/withdraw", json={"reason": " "}), 400)
    assert set(places(body)) == {"/reason"}
