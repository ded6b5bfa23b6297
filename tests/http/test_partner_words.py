"""Partners over HTTP: names, countries and spans that are none, and partners that are no more."""

from __future__ import annotations

from typing import Any

import pytest

from .asking import places, problem
from .test_partners import QUIET, SETTINGS, added


def _said(**more: Any) -> dict[str, Any]:
    return {"name": "Words", "adapter": "ceir", "settings": SETTINGS["ceir"], "scope": QUIET, **more}


@pytest.mark.parametrize(
    ("name", "right"),
    [("62", "digits alone"), (" Nord", "neither begin nor end"), ("Nord ", "neither begin nor end")],
)
async def test_a_name_is_no_number_and_has_no_blanks_around_it(admin, name, right):
    body = problem(await admin.post("/v1/partners", json=_said(name=name)), 400)
    assert right in places(body)["/name"]
    assert right in body["detail"]


async def test_a_country_is_one_of_the_standard(admin, manager):
    scope = {**QUIET, "countries": ["FR", "UK", "XX"]}
    found = places(problem(await admin.post("/v1/partners", json=_said(scope=scope)), 400))
    assert found["/scope/countries/1"] == "'UK' is no country's code; GB is"
    assert set(found) == {"/scope/countries/1", "/scope/countries/2"}
    said = {"title": "t", "scope": {"serials": ["A"]}}
    found = places(problem(await manager.post("/v1/incidents", json=said | {"country": "UK"}), 400))
    assert found["/country"] == "'UK' is no country's code; GB is"
    assert (await manager.post("/v1/incidents", json=said | {"country": "GB"})).status_code == 201


async def test_what_was_removed_is_not_changed(admin):
    url = f"/v1/partners/{(await added(admin, 'Gone'))['id']}"
    assert (await admin.delete(url)).status_code == 204
    for said in (
        {"settings": {"password": "anew"}},
        {"limits": {"rate": 1}},
        {"paused": False},
        {"paused": True, "reason": "x"},
        {},
    ):
        problem(await admin.patch(url, json=said), 409, "partner-removed")
    found = (await admin.get(url)).json()
    assert (found["settings"], found["paused"]) == ({}, True)


async def test_told_again_is_what_can_have_been_ordered(admin):
    url = f"/v1/partners/{(await added(admin, 'Spans'))['id']}/replay"
    assert "987654321" in problem(await admin.post(url, json={"incident": 987654321}), 404)["detail"]
    span = {"since": "2026-12-22T04:00:00Z", "until": "2026-12-22T02:00:00Z"}
    assert set(places(problem(await admin.post(url, json=span), 400))) == {"/until"}
    same = {"since": span["since"], "until": span["since"]}
    problem(await admin.post(url, json=same), 400)
    assert (await admin.post(url, json={"since": span["until"], "until": span["since"]})).status_code == 200
