"""EPCIS from somebody who means harm: each document is refused or its event fails, and others go on."""

from __future__ import annotations

import json

import pytest

from .asking import JSON, places, problem
from .conftest import Gateway
from .test_epcis import captured, document, event

DEEP = "[" * 978 + "]" * 978


def deep() -> bytes:
    return json.dumps(document(event(**{"my:x": "DEEP"}))).replace('"DEEP"', DEEP).encode()


@pytest.mark.parametrize("behaviour", ["rollback", "proceed"])
async def test_an_event_that_is_nested_deeply_holds_up_nobody(gateway: Gateway, goods_in, behaviour):
    headers = {**JSON, "gs1-capture-error-behaviour": behaviour}
    answer = await goods_in.post("/epcis/capture", content=deep(), headers=headers)
    if behaviour == "rollback":
        found = places(problem(answer, 400, "events-wrong"))
        assert "64 levels" in found["/epcisBody/eventList/0"]
    else:
        assert answer.status_code == 202, answer.text
    assert (await captured(goods_in, event()))["success"]


@pytest.mark.parametrize("depth", [60, 65, 500, 956, 975, 992, 5_000])
async def test_one_event_that_is_nested_deeply(goods_in, depth):
    said = json.dumps(event(**{"my:x": "DEEP"})).replace('"DEEP"', "[" * depth + "]" * depth).encode()
    answer = await goods_in.post("/epcis/events", content=said, headers=JSON)
    if depth < 64:
        assert answer.status_code == 201, answer.text
    else:
        problem(answer, 400, "body-malformed")


@pytest.mark.parametrize(
    "members",
    [
        {"eventID": f"urn:x:{'漢' * 1_990}"},
        {"epcList": [f"urn:x:{'漢' * 1_990}"]},
        {"type": "AggregationEvent", "action": "ADD", "parentID": f"urn:x:{'漢' * 1_990}"},
    ],
    ids=lambda members: next(iter(members)),
)
async def test_identities_that_are_too_long_to_be_found_again(goods_in, members):
    one = event(**members)
    if "parentID" in members:
        one["childEPCs"] = one.pop("epcList")
    found = places(problem(await goods_in.post("/epcis/events", json=one), 400, "events-wrong"))
    assert all("would be a URI" in flaw or "EPC" in flaw for flaw in found.values())


async def test_a_document_of_many_small_parts_is_refused_before_it_is_read(goods_in):
    wide = b'{"my:x": [' + b"[]," * 300_000 + b"0]}"
    problem(await goods_in.post("/epcis/capture", content=wide, headers=JSON), 400, "document-wrong")


async def test_what_is_wrong_inside_an_event_is_the_event_s(goods_in):
    good, twice = event(), json.dumps(event()).replace('"action"', '"type": "ObjectEvent", "action"')
    body = json.dumps(document(good, "TWICE", event(**{"my:x": "a\0b"}))).replace('"TWICE"', twice).encode()
    found = places(
        problem(await goods_in.post("/epcis/capture", content=body, headers=JSON), 400, "events-wrong")
    )
    assert "a name twice" in found["/epcisBody/eventList/1"]
    assert "NUL" in found["/epcisBody/eventList/2/my:x"]
    headers = {**JSON, "gs1-capture-error-behaviour": "proceed"}
    answer = await goods_in.post("/epcis/capture", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert (await captured(goods_in, event()))["success"]
    job = (await goods_in.get(answer.headers["location"])).json()
    assert (job["success"], len(job["errors"])) == (False, 2)
