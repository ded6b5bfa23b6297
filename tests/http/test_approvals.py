"""How many people it takes to block: more where more is at stake, never who submitted, and in an emergency one, whom
another one reviews."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.access import keys
from app.access.roles import Role
from app.core.clock import utc_now

from .asking import decided, drafted, problem, register, statuses, stock
from .conftest import Gateway, serving
from .signing_in import a_browser, signed_in, somebody


@pytest.fixture(scope="module")
async def strict(cluster, template, tmp_path_factory) -> Any:
    """A gateway of its own, for rules hold for everybody."""
    async with serving(cluster, template, tmp_path_factory.mktemp("strict"), "web") as gateway:
        yield gateway


async def approver_of(gateway: Gateway, *groups: str) -> httpx.AsyncClient:
    made = await gateway.new_key(Role.APPROVER)
    async with gateway.connected() as conn:
        await keys.set_groups(conn, made.key_id, groups)
    return gateway.client(made)


async def submitted(gateway: Gateway, count: int = 1, site: str = "") -> tuple[int, list[str]]:
    """An incident about as many phones, and their IMEIs."""
    goods = stock(count)
    await register(gateway["goods-in"], goods)
    said = {"title": "Night", "site": site, "scope": {"pallets": [goods.pallet]}}
    incident = (await gateway["incident-manager"].post("/v1/incidents", json=said)).json()["id"]
    await decided(gateway["incident-manager"], incident, "submit")
    return incident, [phone[0] for phone in goods.phones]


async def rule(gateway: Gateway, **said: Any) -> None:
    answer = await gateway["admin"].post("/v1/rules", json={"subject": "block", **said})
    assert answer.status_code == 201, answer.text


async def test_a_large_theft_takes_two_more_and_a_small_one_one(strict):
    await rule(strict, approvers=2, least_devices=3, sites=["LARGE"])
    small, _ = await submitted(strict, 2, "LARGE")
    assert (await decided(strict["approver"], small, "approve"))["state"] == "approved"
    large, phones = await submitted(strict, 3, "LARGE")
    found = await decided(strict["approver"], large, "approve")
    assert (found["state"], len(found["assents"]), found["demand"]["approvers"]) == ("submitted", 1, 2)
    assert await statuses(strict["carrier"], phones) == ["suspect"] * 3
    again = await decided(strict["approver"], large, "approve")
    assert (again["state"], len(again["assents"])) == ("submitted", 1)
    problem(await strict["incident-manager"].post(f"/v1/incidents/{large}/approve"), 403)
    found = await decided(strict["admin"], large, "approve")
    assert (found["state"], len(found["assents"])) == ("approved", 2)
    assert await statuses(strict["carrier"], phones) == ["blocked"] * 3


async def test_who_submitted_is_none_of_several(strict):
    await rule(strict, approvers=2, sites=["SELF"])
    goods = stock(1)
    await register(strict["goods-in"], goods)
    said = {"title": "Night", "site": "SELF", "scope": {"pallets": [goods.pallet]}}
    incident = (await strict["admin"].post("/v1/incidents", json=said)).json()["id"]
    await decided(strict["admin"], incident, "submit")
    await decided(strict["approver"], incident, "approve")
    problem(await strict["admin"].post(f"/v1/incidents/{incident}/approve"), 403, "second-person")


async def test_value_counts_and_what_has_none_may_be_worth_anything(strict):
    await rule(strict, approvers=2, least_value="1000", currency="EUR", sites=["VALUE"])
    for count, state in ((2, "approved"), (3, "submitted")):
        incident, _ = await submitted(strict, count, "VALUE")
        assert (await decided(strict["approver"], incident, "approve"))["state"] == state
    said = {"title": "Night", "site": "VALUE", "scope": {"serials": ["NEVER REGISTERED"]}}
    unknown = (await strict["incident-manager"].post("/v1/incidents", json=said)).json()["id"]
    await decided(strict["incident-manager"], unknown, "submit")
    assert (await decided(strict["approver"], unknown, "approve"))["state"] == "submitted"


async def test_approvers_come_from_different_groups(strict):
    await rule(strict, approvers=2, groups=["security"], distinct_groups=True, sites=["GROUPS"])
    incident, _ = await submitted(strict, 1, "GROUPS")
    people = [await approver_of(strict, *groups) for groups in ((), ("stock",), ("stock",), ("security",))]
    states = [(await decided(one, incident, "approve"))["state"] for one in people]
    assert states == ["submitted"] * 3 + ["approved"]


async def test_whom_it_still_takes_is_said(strict):
    await rule(strict, approvers=2, groups=["security"], distinct_groups=True, sites=["SAID"])
    incident, _ = await submitted(strict, 1, "SAID")
    path = f"/v1/incidents/{incident}"
    assert (await strict["approver"].get(path)).json()["lacking"] == "somebody of security"
    found = await decided(await approver_of(strict, "security"), incident, "approve")
    assert found["lacking"] == "1 person more of another group"
    done = await decided(await approver_of(strict, "stock"), incident, "approve")
    assert (done["state"], done["lacking"]) == ("approved", "")


async def test_a_rule_of_a_site_holds_for_its_goods_whatever_the_incident_says(strict):
    await rule(strict, approvers=2, sites=["PAR-1"])
    incident, _ = await submitted(strict, 1, "ELSEWHERE")
    assert (await decided(strict["approver"], incident, "approve"))["state"] == "submitted"
    await strict.execute("UPDATE approval_rule SET ended_at = now(), ended_by = 'x' WHERE sites = '{PAR-1}'")


async def test_a_key_is_none_where_people_are_wanted(strict):
    await rule(strict, approvers=1, people_only=True, sites=["PEOPLE"])
    incident, _ = await submitted(strict, 1, "PEOPLE")
    problem(await strict["approver"].post(f"/v1/incidents/{incident}/approve"), 403, "people-only")


async def test_a_person_counts_where_people_are_wanted(strict):
    await rule(strict, approvers=1, people_only=True, groups=["security"], sites=["PERSON"])
    incident, phones = await submitted(strict, 1, "PERSON")
    async with a_browser(strict) as browser:
        await signed_in(await somebody(strict, groups=["security"]), browser)
        assert (await decided(browser, incident, "approve"))["state"] == "approved"
    assert await statuses(strict["carrier"], phones) == ["blocked"]


async def test_a_rule_that_came_meanwhile_counts_as_well(strict):
    incident, _ = await submitted(strict, 1, "LATER")
    await rule(strict, approvers=2, sites=["LATER"])
    assert (await decided(strict["approver"], incident, "approve"))["state"] == "submitted"


async def test_a_rule_that_ended_meanwhile_counts_still(strict):
    await rule(strict, approvers=2, sites=["EASED"])
    incident, _ = await submitted(strict, 1, "EASED")
    await strict.execute("UPDATE approval_rule SET ended_at = now(), ended_by = 'x' WHERE sites = '{EASED}'")
    assert (await decided(strict["approver"], incident, "approve"))["state"] == "submitted"


async def test_people_are_wanted_from_now_on_and_what_a_key_said_counts_no_more(strict):
    await rule(strict, approvers=2, sites=["SINCE"])
    incident, _ = await submitted(strict, 1, "SINCE")
    await decided(strict["approver"], incident, "approve")
    await rule(strict, approvers=1, people_only=True, sites=["SINCE"])
    async with a_browser(strict) as one, a_browser(strict) as other:
        await signed_in(await somebody(strict), one)
        assert (await decided(one, incident, "approve"))["lacking"] == "1 person more"
        await signed_in(await somebody(strict), other)
        assert (await decided(other, incident, "approve"))["state"] == "approved"


async def test_a_shorter_time_counts_from_now_on(strict):
    incident, _ = await submitted(strict, 1, "HASTE")
    await strict.execute(
        "UPDATE incident SET submitted_at = now() - interval '2 h' WHERE incident_id = $1", incident
    )
    await rule(strict, approvers=1, hours=1, sites=["HASTE"])
    problem(await strict["approver"].post(f"/v1/incidents/{incident}/approve"), 409, "approval-over")


async def test_who_is_let_in_no_longer_has_approved_nothing(strict):
    await rule(strict, approvers=2, sites=["GONE"])
    incident, _ = await submitted(strict, 1, "GONE")
    made = await strict.new_key(Role.APPROVER)
    await decided(strict.client(made), incident, "approve")
    async with strict.connected() as conn:
        await keys.revoke(conn, made.key_id, "tests", utc_now())
    found = await decided(strict["approver"], incident, "approve")
    assert (found["state"], len(found["assents"])) == ("submitted", 1)
    assert (await decided(strict["admin"], incident, "approve"))["state"] == "approved"


async def test_what_is_approved_is_what_was_seen(strict):
    incident, _ = await submitted(strict)
    path = f"/v1/incidents/{incident}/approve"
    other = problem(await strict["approver"].post(path, json={"frozen": "0" * 64}), 409, "frozen-differs")
    frozen = (await strict["approver"].get(f"/v1/incidents/{incident}")).json()["frozen"]
    assert frozen in other["detail"]
    found = await strict["approver"].post(path, json={"frozen": frozen})
    assert found.json()["state"] == "approved"


async def test_two_who_give_the_last_word_at_once_block_once(strict):
    await rule(strict, approvers=2, sites=["RACE"])
    incident, _ = await submitted(strict, 2, "RACE")
    people = [await approver_of(strict) for _ in range(4)]
    answers = await asyncio.gather(*(one.post(f"/v1/incidents/{incident}/approve") for one in people))
    assert sorted({one.status_code for one in answers}) in ([200], [200, 409])
    path = f"/v1/audit/entries?subject=incident:{incident}&kind=incident.approved"
    assert len((await strict["auditor"].get(path)).json()["entries"]) == 1


async def test_approvals_count_for_so_long_and_a_new_submission_begins_anew(strict):
    await rule(strict, approvers=2, hours=1, sites=["TIME"])
    incident, phones = await submitted(strict, 1, "TIME")
    await decided(strict["approver"], incident, "approve")
    path = f"/v1/incidents/{incident}"
    problem(await strict["incident-manager"].post(f"{path}/submit"), 409, "incident-state")
    await strict.execute(
        "UPDATE incident SET approve_until = now() - interval '1 s' WHERE incident_id = $1", incident
    )
    problem(await strict["admin"].post(f"{path}/approve"), 409, "approval-over")
    assert await statuses(strict["carrier"], phones) == ["suspect"]
    found = await decided(strict["incident-manager"], incident, "submit")
    assert (found["assents"], found["round"]) == ([], 2)
    assert await statuses(strict["carrier"], phones) == ["suspect"]
    assert (await decided(strict["admin"], incident, "approve"))["state"] == "submitted"
    assert (await decided(strict["approver"], incident, "approve"))["state"] == "approved"


async def test_a_new_submission_holds_what_is_named_now(strict):
    """What was sold meanwhile is let go of, what came is held, and all of it once."""
    incident, phones = await submitted(strict, 3)
    path = f"/v1/incidents/{incident}"
    await strict.execute(
        "UPDATE incident SET approve_until = now() - interval '1 s' WHERE incident_id = $1", incident
    )
    await strict["goods-in"].post("/v1/devices/sold", json={"imeis": phones[:1]})
    found = await decided(strict["incident-manager"], incident, "submit")
    assert (found["devices"], found["round"]) == (2, 2)
    assert await statuses(strict["carrier"], phones) == ["clear", "suspect", "suspect"]
    problem(
        await strict["approver"].post(f"{path}/approve", json={"frozen": "0" * 64}), 409, "frozen-differs"
    )
    await decided(strict["approver"], incident, "reject", reason="A mistake.")
    assert await statuses(strict["carrier"], phones) == ["clear"] * 3


async def test_an_emergency_blocks_at_once_and_is_reviewed_by_another(strict):
    manager, path = strict["incident-manager"], "/v1/incidents"
    incident, phones = await submitted(strict)
    found = await decided(manager, incident, "break-glass", reason="the trucks are leaving")
    assert found["state"] == "approved"
    assert await statuses(strict["carrier"], phones) == ["blocked"]
    alerts = (await manager.get("/v1/alerts")).json()["alerts"]
    assert [one["kind"] for one in alerts if one["subject"] == f"incident:{incident}"] == ["break-glass"]
    second, _ = await submitted(strict)
    reason = {"reason": "and these"}
    problem(await manager.post(f"{path}/{second}/break-glass", json=reason), 403, "glass-unreviewed")
    verdict = {"verdict": "upheld", "reason": "seen on camera"}
    problem(await manager.post(f"{path}/{incident}/review", json=verdict), 403)
    found = await decided(strict["approver"], incident, "review", **verdict)
    assert (found["verdict"], found["state"]) == ("upheld", "approved")
    problem(
        await strict["approver"].post(f"{path}/{incident}/review", json=verdict), 409, "nothing-to-review"
    )
    await decided(manager, second, "break-glass", **reason)
    found = await decided(strict["approver"], second, "review", verdict="reversed", reason="a mistake")
    assert (found["verdict"], found["state"]) == ("reversed", "withdrawn")


async def test_who_broke_the_glass_does_not_review_it(strict):
    """Also one who may both submit and approve."""
    incident, phones = await submitted(strict)
    await decided(strict["admin"], incident, "break-glass", reason="the trucks are leaving")
    verdict = {"verdict": "upheld", "reason": "mine"}
    problem(
        await strict["admin"].post(f"/v1/incidents/{incident}/review", json=verdict), 403, "second-person"
    )
    await decided(strict["approver"], incident, "review", verdict="reversed", reason="a mistake")
    assert await statuses(strict["carrier"], phones) == ["clear"]


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"subject": "block", "approvers": 0}, "/approvers"),
        ({"subject": "block", "approvers": 1, "least_value": "5"}, "/currency"),
        ({"subject": "lift", "approvers": 1, "currency": "EUR"}, "/currency"),
        ({"subject": "lift", "approvers": 1, "sites": []}, "/sites"),
        ({"subject": "lift", "approvers": 1, "groups": [""]}, "/groups"),
    ],
)
async def test_a_rule_that_is_none(strict, said, where):
    body = problem(await strict["admin"].post("/v1/rules", json=said), 400, "rule-wrong")
    assert [error["pointer"] for error in body["errors"]] == [where]


async def test_a_draft_is_submitted_once_while_others_approve_it(strict):
    incident = await drafted(strict["incident-manager"], serials=["ONCE"])
    await decided(strict["incident-manager"], incident, "submit")
    problem(await strict["incident-manager"].post(f"/v1/incidents/{incident}/submit"), 409, "incident-state")
