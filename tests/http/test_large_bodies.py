"""Bodies that are large: who may not send them is told before they are read, and they are read but once."""

from __future__ import annotations

import json

import pytest

from app.api import notes
from app.api.openapi import operations
from app.api.routes import application

from .asking import JSON, places, problem, refusal, stock
from .test_bad_input import BODIES, DIALECTS, DRAFT
from .test_roles import MAY

LARGE = 100_000


def draft(scope: str) -> bytes:
    return b'{"title": "Large", "scope": {%s, "receipts": [%s]}}' % (scope.encode(), b"1, " * 30_000 + b"1")


def test_every_route_with_a_json_body_says_what_its_sender_needs():
    found = {
        str(one.handler.operation_id)
        for one in operations(application())
        if one.form and not notes.of(one.handler).needs
    }
    # Whoever is signed in may, in a few words.
    assert found == {"stepUp", "changePassword"}


@pytest.mark.parametrize("name", BODIES)
async def test_who_may_not_is_told_before_the_body_is_read(gateway, name):
    method, path, _ = BODIES[name]
    for role in gateway.keys.keys() - MAY[name]:
        for body in (b"{", b"x" * LARGE):
            response = await gateway[role].request(method, path, content=body, headers=JSON)
            refusal(response, 403, "permission-missing", DIALECTS[name])


@pytest.mark.parametrize("value", ["[" + "{}," * 200_000 + "{}]", "[" * LARGE], ids=["wide", "deep"])
async def test_a_flood_of_what_nobody_asked_for_is_refused_at_its_first_word(manager, value):
    body = b'{"title": "t", "zzz": %s}' % value.encode()
    found = problem(await manager.post(DRAFT, content=body, headers=JSON), 400, "body-wrong")
    assert [error["detail"] for error in found["errors"]] == ["there is no field 'zzz' here"]


@pytest.mark.parametrize(
    ("scope", "place", "words"),
    [
        ('"imeis": ["A", 5]', "/scope/imeis/1", "a string, not a whole number"),
        ('"serials": ["A", "a\\u0000"]', "/scope/serials/1", "NUL"),
        ('"imei": []', "/scope", "there is no field 'imei' here"),
        ('"imeis": [], "receipts": [1, 9223372036854775808]', "/scope/receipts/1", "9223372036854775807"),
        ('"imeis": [], "receipts": [0]', "/scope/receipts/0", "at least 1"),
    ],
)
async def test_the_first_flaw_of_a_large_body_is_told_with_its_place(manager, scope, place, words):
    found = places(problem(await manager.post(DRAFT, content=draft(scope), headers=JSON), 400, "body-wrong"))
    assert list(found) == [place]
    assert words in found[place]


async def test_a_name_that_stands_twice_in_a_large_body(manager):
    for scope in ('"imeis": [], "imeis": []', '"serials": ["A:", "\\u003a"], "serials": [":::"]'):
        problem(await manager.post(DRAFT, content=draft(scope), headers=JSON), 400, "body-name-twice")


async def test_colons_in_a_large_body_are_no_names(manager):
    scope = '"serials": ["A:B", "\\u003a", "\\\\u003a", "\\u003A:", "C\\\\:"]'
    answer = await manager.post(DRAFT, content=draft(scope), headers=JSON)
    assert answer.status_code == 201, answer.text
    read = (await manager.get(answer.headers["location"])).json()
    assert read["scope"]["serials"] == ["A:B", ":", "\\u003a", "::", "C\\:"]


async def test_an_incident_of_tens_of_thousands(manager):
    numbers = stock(20_000).imeis
    body = json.dumps({"title": "Large", "scope": {"imeis": numbers}}).encode()
    answer = await manager.post(DRAFT, content=body, headers=JSON)
    assert answer.status_code == 201, answer.text
    assert answer.json()["preview"]["identifiers"] == 40_000
    listed = (await manager.get(DRAFT, params={"limit": 1})).json()["incidents"][0]
    assert listed["named"] == {"pallets": 0, "receipts": 0, "imeis": 40_000, "serials": 0}
    assert (listed["devices"], listed["identifiers"]) == (0, 40_000)
    assert not {"scope", "preview"} & listed.keys()
