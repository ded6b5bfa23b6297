"""What others must approve first: releases, partners, people, and what they come to."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.access.roles import Role
from app.core.clock import utc_now
from app.proposals import decide

from .asking import Stock, decided, problem, register, statuses, stock
from .conftest import Gateway, serving

PARTNER = {
    "name": "Operator Nord",
    "adapter": "webhook",
    "settings": {"url": "https://nord.example/hook", "secret": "whsec_" + "A" * 43 + "="},
}


@pytest.fixture(scope="module")
async def ruled(cluster, template, tmp_path_factory) -> Any:
    """A gateway as a fresh one is: what decides about goods, partners and rights takes somebody else."""
    async with serving(cluster, template, tmp_path_factory.mktemp("ruled"), "web", ruled=True) as gateway:
        yield gateway


async def blocked(gateway: Gateway, count: int = 2) -> tuple[int, Stock, list[str]]:
    """An incident in force about as many phones, and their IMEIs."""
    goods = stock(count)
    await register(gateway["goods-in"], goods)
    said = {"title": "Night", "scope": {"pallets": [goods.pallet]}}
    incident = (await gateway["incident-manager"].post("/v1/incidents", json=said)).json()["id"]
    await decided(gateway["incident-manager"], incident, "submit")
    await decided(gateway["approver"], incident, "approve")
    return incident, goods, [phone[0] for phone in goods.phones]


async def proposed(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/proposals/{found['id']}"
    assert (found["state"], found["assents"]) == ("waiting", [])
    return found


async def verdict(client: httpx.AsyncClient, found: dict[str, Any], verb: str, **said: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/proposals/{found['id']}/{verb}", **({"json": said} if said else {}))
    assert answer.status_code == 200, answer.text
    ended: dict[str, Any] = answer.json()
    return ended


async def lift(gateway: Gateway, incident: int, *imeis: str) -> dict[str, Any]:
    said = {"scope": {"imeis": imeis}}
    return await proposed(await gateway["incident-manager"].post(f"/v1/incidents/{incident}/lift", json=said))


async def test_a_release_waits_for_somebody_else(ruled):
    incident, _, phones = await blocked(ruled)
    found = await lift(ruled, incident, phones[0])
    assert (found["would"]["devices"], found["place"]) == (1, f"incident:{incident}")
    assert await statuses(ruled["carrier"], phones) == ["blocked", "blocked"]
    path = f"/v1/proposals/{found['id']}"
    problem(await ruled["incident-manager"].post(f"{path}/approve"), 403, "permission-missing")
    done = await verdict(ruled["approver"], found, "approve", digest=found["digest"])
    assert (done["state"], len(done["assents"])) == ("done", 1)
    assert await statuses(ruled["carrier"], phones) == ["clear", "blocked"]
    again = await verdict(ruled["approver"], found, "approve")
    assert again["state"] == "done"
    problem(await ruled["admin"].post(f"{path}/approve"), 409, "proposal-state")
    log = (await ruled["auditor"].get(f"/v1/audit/entries?subject=incident:{incident}")).json()["entries"]
    told = [one["body"] for one in log]
    assert [one["kind"] for one in told][-3:] == [
        "proposal.proposed",
        "incident.lifted",
        "proposal.carried-out",
    ]
    assert told[-2]["actor"] == found["proposed_by"]


async def test_nobody_decides_on_his_own(ruled):
    """Also one who may do both."""
    incident, _, phones = await blocked(ruled)
    said = {"scope": {"imeis": phones[:1]}}
    found = await proposed(await ruled["admin"].post(f"/v1/incidents/{incident}/lift", json=said))
    for verb, more in (("approve", {}), ("reject", {"json": {"reason": "mine"}})):
        answer = await ruled["admin"].post(f"/v1/proposals/{found['id']}/{verb}", **more)
        problem(answer, 403, "second-person")
    reason = {"json": {"reason": "not yours"}}
    problem(await ruled["approver"].post(f"/v1/proposals/{found['id']}/withdraw", **reason), 403, "not-yours")
    assert (await verdict(ruled["admin"], found, "withdraw", reason="a mistake"))["state"] == "withdrawn"
    problem(await ruled["approver"].post(f"/v1/proposals/{found['id']}/approve"), 409, "proposal-state")
    assert await statuses(ruled["carrier"], phones[:1]) == ["blocked"]


async def test_what_is_rejected_is_not_done(ruled):
    incident, _, phones = await blocked(ruled)
    found = await lift(ruled, incident, phones[0])
    rejected = await verdict(ruled["approver"], found, "reject", reason="Nobody found it.")
    assert (rejected["state"], rejected["reason"]) == ("rejected", "Nobody found it.")
    assert await statuses(ruled["carrier"], phones[:1]) == ["blocked"]


async def test_what_is_done_is_what_was_approved(ruled):
    """Half of it was released meanwhile: it would come to something else, and is not done."""
    incident, goods, phones = await blocked(ruled)
    said = {"json": {"scope": {"pallets": [goods.pallet]}}}
    all_of_it = await proposed(await ruled["incident-manager"].post(f"/v1/incidents/{incident}/lift", **said))
    wrong = {"json": {"digest": "0" * 64}}
    path = f"/v1/proposals/{all_of_it['id']}/approve"
    problem(await ruled["approver"].post(path, **wrong), 409, "digest-differs")
    await verdict(ruled["approver"], await lift(ruled, incident, phones[0]), "approve")
    problem(await ruled["approver"].post(path), 409, "changed-meanwhile")
    assert await statuses(ruled["carrier"], phones) == ["clear", "blocked"]
    assert (await ruled["auditor"].get(f"/v1/proposals/{all_of_it['id']}")).json()["state"] == "waiting"


async def test_what_would_be_refused_is_refused_at_once(ruled):
    incident, _, _ = await blocked(ruled)
    before = (await ruled["auditor"].get("/v1/proposals")).json()["proposals"]
    said = {"json": {"scope": {"imeis": [stock(1).phones[0][0]]}}}
    path = f"/v1/incidents/{incident}/lift"
    problem(await ruled["incident-manager"].post(path, **said), 409, "nothing-held")
    assert (await ruled["auditor"].get("/v1/proposals")).json()["proposals"] == before


async def test_an_incident_is_taken_back_alone_within_the_hour(ruled):
    incident, _, phones = await blocked(ruled)
    reason = {"reason": "The pallets stand in hall 4."}
    await decided(ruled["incident-manager"], incident, "withdraw", **reason)
    assert await statuses(ruled["carrier"], phones) == ["clear", "clear"]
    late, _, phones = await blocked(ruled)
    await ruled.execute(
        "UPDATE incident SET approved_at = now() - interval '61 min' WHERE incident_id = $1", late
    )
    path = f"/v1/incidents/{late}/withdraw"
    found = await proposed(await ruled["incident-manager"].post(path, json=reason))
    assert await statuses(ruled["carrier"], phones) == ["blocked", "blocked"]
    await verdict(ruled["approver"], found, "approve")
    assert await statuses(ruled["carrier"], phones) == ["clear", "clear"]


async def test_a_partner_is_added_and_changed_by_two(ruled):
    found = await proposed(await ruled["admin"].post("/v1/partners", json=PARTNER))
    assert "whsec_" not in str(found)
    assert found["would"]["settings"]["url"] == "https://nord.example/hook"
    assert (await ruled["admin"].get("/v1/partners")).json()["partners"] == []
    await verdict(ruled["approver"], found, "approve")
    (partner,) = (await ruled["admin"].get("/v1/partners")).json()["partners"]
    path = f"/v1/partners/{partner['id']}"
    elsewhere = {"settings": {"url": "https://elsewhere.example/hook"}}
    change = await proposed(await ruled["admin"].patch(path, json=elsewhere))
    assert change["would"]["was"]["settings"]["url"] == "https://nord.example/hook"
    assert change["would"]["becomes"]["settings"]["url"] == "https://elsewhere.example/hook"
    other = await proposed(await ruled["admin"].patch(path, json={"limits": {"rate": 5}}))
    await verdict(ruled["approver"], other, "approve")
    problem(await ruled["approver"].post(f"/v1/proposals/{change['id']}/approve"), 409, "changed-meanwhile")
    paused = await ruled["admin"].patch(path, json={"paused": True, "reason": "noise"})
    assert (paused.status_code, paused.json()["paused"]) == (200, True)
    removal = await proposed(await ruled["admin"].delete(path))
    await verdict(ruled["approver"], removal, "approve")
    assert (await ruled["admin"].get("/v1/partners")).json()["partners"] == []


async def test_the_content_that_waits_is_sealed(ruled):
    found = await proposed(await ruled["admin"].post("/v1/partners", json={**PARTNER, "name": "Sud"}))
    async with ruled.connected() as conn:
        row = await conn.fetchrow("SELECT * FROM proposal WHERE proposal_id = $1", found["id"])
    assert "AAAAAAAA" not in str(dict(row))


async def test_a_person_is_let_in_by_two(ruled):
    said = {"name": "Marie", "email": "marie@retailer.example", "role": "admin"}
    found = await proposed(await ruled["admin"].post("/v1/people", json=said))
    assert "token" not in str(found)
    assert (await ruled["admin"].get("/v1/people")).json()["people"] == []
    await verdict(ruled["approver"], found, "approve")
    (marie,) = (await ruled["admin"].get("/v1/people")).json()["people"]
    invited = await ruled["admin"].post(f"/v1/people/{marie['person_id']}/invite")
    assert (invited.status_code, bool(invited.json()["token"])) == (201, True)
    path = f"/v1/people/{marie['person_id']}"
    change = await proposed(await ruled["admin"].patch(path, json={"role": "approver"}))
    assert (change["would"]["was"]["role"], change["would"]["becomes"]["role"]) == ("admin", "approver")
    await proposed(await ruled["admin"].post(f"{path}/reset-factor"))
    assert (await ruled["admin"].post(f"{path}/end")).status_code == 204
    problem(await ruled["approver"].post(f"/v1/proposals/{change['id']}/approve"), 404)


async def test_it_is_done_with_the_rights_that_the_proposer_has_by_then(ruled):
    incident, _, phones = await blocked(ruled)
    manager = await ruled.new_key(Role.INCIDENT_MANAGER)
    said = {"json": {"scope": {"imeis": phones[:1]}}}
    found = await proposed(await ruled.client(manager).post(f"/v1/incidents/{incident}/lift", **said))
    await ruled.execute("UPDATE api_key SET role = 'carrier' WHERE key_id = $1", manager.key_id)
    path = f"/v1/proposals/{found['id']}/approve"
    problem(await ruled["approver"].post(path), 403, "permission-missing")
    await ruled.execute(
        "UPDATE api_key SET revoked_at = now(), revoked_by = 'x' WHERE key_id = $1", manager.key_id
    )
    problem(await ruled["approver"].post(path), 409, "proposer-gone")
    assert await statuses(ruled["carrier"], phones[:1]) == ["blocked"]


async def test_it_waits_for_so_long(ruled):
    incident, _, phones = await blocked(ruled)
    found = await lift(ruled, incident, phones[0])
    await ruled.execute(
        "UPDATE proposal SET approve_until = now() - interval '1 s' WHERE proposal_id = $1", found["id"]
    )
    problem(await ruled["approver"].post(f"/v1/proposals/{found['id']}/approve"), 409, "approval-over")
    over = (await ruled["auditor"].get("/v1/proposals?state=over")).json()["proposals"]
    assert [one["id"] for one in over] == [found["id"]]
    assert (await verdict(ruled["incident-manager"], found, "withdraw", reason="late"))[
        "state"
    ] == "withdrawn"


async def test_more_rules_more_people(ruled):
    said = {"subject": "lift", "approvers": 2, "least_devices": 3}
    more = await proposed(await ruled["admin"].post("/v1/rules", json=said))
    await verdict(ruled["approver"], more, "approve")
    incident, goods, phones = await blocked(ruled, 3)
    large = {"json": {"scope": {"pallets": [goods.pallet]}}}
    found = await proposed(await ruled["incident-manager"].post(f"/v1/incidents/{incident}/lift", **large))
    assert (await verdict(ruled["approver"], found, "approve"))["state"] == "waiting"
    assert (await verdict(ruled["approver"], found, "approve"))["state"] == "waiting"
    assert await statuses(ruled["carrier"], phones) == ["blocked"] * 3
    assert (await verdict(ruled["admin"], found, "approve"))["state"] == "done"
    assert await statuses(ruled["carrier"], phones) == ["clear"] * 3


async def test_what_nobody_registered_is_a_device_each(ruled):
    said = {"subject": "lift", "approvers": 2, "least_devices": 5, "kinds": ["loss"]}
    await verdict(
        ruled["approver"], await proposed(await ruled["admin"].post("/v1/rules", json=said)), "approve"
    )
    names = [f"NOBODY{number}" for number in range(5)]
    said = {"title": "Lost", "kind": "loss", "scope": {"serials": names}}
    incident = (await ruled["incident-manager"].post("/v1/incidents", json=said)).json()["id"]
    await decided(ruled["incident-manager"], incident, "submit")
    await decided(ruled["approver"], incident, "approve")
    for some, approvers in ((names[:2], 1), (names, 2)):
        found = {"json": {"scope": {"serials": some}}}
        waits = await proposed(
            await ruled["incident-manager"].post(f"/v1/incidents/{incident}/lift", **found)
        )
        assert waits["demand"]["approvers"] == approvers


async def test_a_secret_cannot_be_guessed_by_the_digest(ruled):
    said = {**PARTNER, "name": "Guessed"}
    first, second = [await proposed(await ruled["admin"].post("/v1/partners", json=said)) for _ in range(2)]
    assert first["would"] == second["would"]
    assert first["digest"] != second["digest"]


async def test_what_nobody_can_approve_any_more_is_forgotten(ruled):
    found = await proposed(await ruled["admin"].post("/v1/partners", json={**PARTNER, "name": "Late"}))
    await ruled.execute(
        "UPDATE proposal SET approve_until = now() - interval '1 s' WHERE proposal_id = $1", found["id"]
    )
    async with ruled.connected() as conn:
        assert await decide.remind(conn, utc_now()) >= 1
        query = "SELECT content FROM proposal WHERE proposal_id = $1"
        assert await conn.fetchval(query, found["id"]) == ""
        assert await decide.remind(conn, utc_now()) == 0
    alerts = (await ruled["admin"].get("/v1/alerts")).json()["alerts"]
    assert [one["kind"] for one in alerts if one["subject"] == f"proposal:{found['id']}"] == ["approval-over"]


async def test_to_take_a_deciding_role_away_takes_two_and_who_has_a_provider_is_not_invited(ruled):
    said = {"name": "Ann", "email": "ann@retailer.example", "role": "auditor"}
    ann = (await ruled["admin"].post("/v1/people", json=said)).json()["person_id"]
    await ruled.execute("UPDATE person SET issuer = 'https://op', subject = 'ann' WHERE person_id = $1", ann)
    problem(await ruled["admin"].post(f"/v1/people/{ann}/invite"), 409, "enrolled")
    await ruled.execute("UPDATE person SET role = 'approver' WHERE person_id = $1", ann)
    await proposed(await ruled["admin"].patch(f"/v1/people/{ann}", json={"role": "auditor"}))


async def test_two_who_approve_at_once_do_it_once(ruled):
    incident, _, phones = await blocked(ruled)
    found = await lift(ruled, incident, phones[0])
    clients = [ruled.client(await ruled.new_key(Role.APPROVER)) for _ in range(4)]
    path = f"/v1/proposals/{found['id']}/approve"
    answers = await asyncio.gather(*(one.post(path) for one in clients))
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    query = f"/v1/audit/entries?subject=incident:{incident}&kind=incident.lifted"
    assert len((await ruled["auditor"].get(query)).json()["entries"]) == 1


async def test_the_answer_is_kept_for_a_repeat(ruled):
    incident, _, phones = await blocked(ruled)
    said = {"json": {"scope": {"imeis": phones[:1]}}, "headers": {"Idempotency-Key": f'"{phones[0]}"'}}
    first, again = [
        await ruled["incident-manager"].post(f"/v1/incidents/{incident}/lift", **said) for _ in range(2)
    ]
    assert (first.status_code, again.status_code, first.json()) == (202, 202, again.json())
    assert again.headers["location"] == first.headers["location"]


async def test_an_administrator_without_anybody_else_acts_alone_and_the_log_says_so(
    cluster, template, tmp_path_factory
):
    """But not by ending the others first."""
    async with serving(cluster, template, tmp_path_factory.mktemp("lone"), "web", ruled=True) as lone:
        await lone.execute("UPDATE api_key SET revoked_at = now(), revoked_by = 'x' WHERE role = 'approver'")
        await proposed(await lone["admin"].post("/v1/partners", json=PARTNER))
        await lone.execute("UPDATE api_key SET revoked_at = now() - interval '73 h' WHERE role = 'approver'")
        added = await lone["admin"].post("/v1/partners", json=PARTNER)
        assert added.status_code == 201
        waived = (await lone["auditor"].get("/v1/audit/entries?kind=approval.waived")).json()["entries"]
        assert [one["body"]["detail"]["deed"] for one in waived] == ["partner-add"]
        ann = {"name": "Ann", "email": "ann@retailer.example", "role": "auditor"}
        person = (await lone["admin"].post("/v1/people", json=ann)).json()["person_id"]
        for state in (
            "issuer = 'https://op', subject = 'ann'",
            "issuer = null, subject = null, ended_at = now(), ended_by = 'x'",
        ):
            await lone.execute(f"UPDATE person SET role = 'approver', {state} WHERE person_id = $1", person)
            await proposed(await lone["admin"].post("/v1/partners", json={**PARTNER, "name": "Ost"}))
        await lone.execute("UPDATE person SET ended_at = now() - interval '73 h'")
        assert (await lone["admin"].post("/v1/partners", json={**PARTNER, "name": "West"})).status_code == 201
        await lone.new_key(Role.APPROVER)
        await proposed(await lone["admin"].post("/v1/partners", json={**PARTNER, "name": "Sud"}))
