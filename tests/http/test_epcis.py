"""EPCIS over HTTP: capture and its job, single events, headers, problem types, limits, and who may."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest

from app.api import openapi
from app.api.routes import application
from app.epcis.document import STANDARD_CONTEXT

from .asking import JSON, problem
from .conftest import MAX_EVENTS, MAX_FILE, Gateway

SCHEMAS = openapi.document(application())["components"]
_numbers = itertools.count(1)
SSCC = "https://id.gs1.org/00/106141412345678908"
VERSIONS = {"gs1-epcis-version": "2.0", "gs1-cbv-version": "2.0"}


def event(**members: Any) -> dict[str, Any]:
    """An event that no other test has."""
    number = next(_numbers)
    return {
        "type": "ObjectEvent", "eventID": f"urn:x:http:{number}", "action": "OBSERVE",
        "eventTime": "2025-12-21T10:00:00+01:00", "eventTimeZoneOffset": "+01:00",
        "epcList": [f"urn:gsma:imei:35209901-{number:06d}-0"], **members,
    }  # fmt: skip


def document(*events: Any) -> dict[str, Any]:
    return {
        "@context": [STANDARD_CONTEXT], "type": "EPCISDocument", "schemaVersion": "2.0",
        "creationDate": "2026-12-21T10:05:00Z", "epcisBody": {"eventList": list(events)},
    }  # fmt: skip


async def captured(client: httpx.AsyncClient, *events: Any, **headers: str) -> dict[str, Any]:
    """The job of these events, once it is finished."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post("/epcis/capture", json=document(*events), headers=named)
    assert (response.status_code, response.content) == (202, b""), response.text
    async with asyncio.timeout(20):
        while (job := (await client.get(response.headers["location"])).json())["running"]:
            await asyncio.sleep(0.02)
    return dict(job)


def exception(response: httpx.Response, status: int, kind: str, code: str | None = None) -> dict[str, Any]:
    """A refusal as EPCIS has it: its type, and the versions in the headers."""
    body = problem(response, status, code)
    assert body["type"] == f"epcisException:{kind}"
    assert {name: response.headers.get(name) for name in VERSIONS} == VERSIONS
    return body


def listed(response: httpx.Response) -> list[dict[str, Any]]:
    """The events of an answer, which must be a whole EPCISQueryDocument."""
    assert response.status_code == 200, response.text
    assert response.headers["gs1-epc-format"] == "Never_Translates"
    body = response.json()
    form = {"$ref": "#/components/schemas/EpcisQueryDocument", "components": SCHEMAS}
    jsonschema.Draft202012Validator(form).validate(body)
    assert (body["type"], body["schemaVersion"], body["@context"]) == (
        "EPCISQueryDocument",
        "2.0",
        [STANDARD_CONTEXT],
    )
    events: list[dict[str, Any]] = body["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    form = {"$ref": "#/components/schemas/EpcisEvent", "components": SCHEMAS}
    for one in events:
        jsonschema.Draft202012Validator(form).validate(one)
    return events


async def query(client: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    return listed(await client.get("/epcis/events", params=wanted))


async def test_events_are_captured_and_answered_as_they_came(goods_in, auditor):
    one, two = event(), event(type="AggregationEvent", action="ADD", parentID=SSCC, childEPCs=["urn:x:c"])
    del two["epcList"]
    job = await captured(goods_in, one, two)
    assert job["captureErrorBehaviour"] == "rollback"
    assert (job["success"], job["errors"]) == (True, [])
    assert job["createdAt"] < job["finishedAt"]
    found = await query(auditor, EQ_eventID=f"{one['eventID']}|{two['eventID']}")
    assert [
        {**sent, "recordTime": kept["recordTime"]} for sent, kept in zip((one, two), found, strict=True)
    ] == found


@pytest.mark.parametrize(
    "media", ["application/json", "application/ld+json", "application/json; charset=utf-8"]
)
async def test_media_types(goods_in, media):
    body = json.dumps(document(event()))
    response = await goods_in.post("/epcis/capture", content=body, headers={"content-type": media})
    assert response.status_code == 202
    assert {name: response.headers.get(name) for name in VERSIONS} == VERSIONS


async def test_other_media_types_are_not_taken(goods_in):
    for path in ("/epcis/capture", "/epcis/events"):
        response = await goods_in.post(path, content="<x/>", headers={"content-type": "application/xml"})
        exception(response, 415, "UnsupportedMediaTypeException", "body-not-json")


async def test_flaws_are_all_named_at_once(goods_in):
    bad = event(action="GIVE", epcList=["urn:gsma:imei:49015420-323751-7"])
    response = await goods_in.post("/epcis/capture", json=document(event(), bad, {"type": "x"}))
    body = exception(response, 400, "ValidationException", "events-wrong")
    at = "/epcisBody/eventList"
    assert {error["pointer"] for error in body["errors"]} == {
        f"{at}/1/action",
        f"{at}/1/epcList/0",
        f"{at}/2/type",
    }
    assert "its last digit would be 8" in body["errors"][1]["detail"] + body["errors"][0]["detail"]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"type":"EPCISDocument","type":"x"}', '"\\u0000"'])
async def test_bodies_that_are_no_documents(goods_in, body):
    for path in ("/epcis/capture", "/epcis/events"):
        exception(await goods_in.post(path, content=body, headers=JSON), 400, "ValidationException")


async def test_proceed_keeps_the_good_and_names_the_bad(goods_in):
    good, bad = event(), event(eventTime="noon")
    job = await captured(goods_in, bad, good, gs1_capture_error_behaviour="proceed")
    assert (job["success"], job["captureErrorBehaviour"]) == (False, "proceed")
    (error,) = job["errors"]
    assert (error["type"], error["status"]) == ("epcisException:ValidationException", 400)
    assert [flaw["pointer"] for flaw in error["errors"]] == ["/epcisBody/eventList/0/eventTime"]
    assert len(await query(goods_in, EQ_eventID=f"{good['eventID']}|{bad['eventID']}")) == 1


async def test_an_event_that_has_not_happened_is_refused(goods_in):
    good, ahead = event(), event(eventTime="2126-12-21T10:00:00+01:00")
    body = exception(
        await goods_in.post("/epcis/events", json=ahead), 400, "ValidationException", "events-wrong"
    )
    assert [flaw["pointer"] for flaw in body["errors"]] == ["/eventTime"]
    response = await goods_in.post("/epcis/capture", json=document(good, ahead))
    exception(response, 400, "ValidationException", "events-wrong")
    job = await captured(goods_in, good, ahead, gs1_capture_error_behaviour="proceed")
    (error,) = job["errors"]
    assert [flaw["pointer"] for flaw in error["errors"]] == ["/epcisBody/eventList/1/eventTime"]
    assert len(await query(goods_in, EQ_eventID=f"{good['eventID']}|{ahead['eventID']}")) == 1


async def test_a_behaviour_that_is_none(goods_in):
    headers = {"gs1-capture-error-behaviour": "all"}
    response = await goods_in.post("/epcis/capture", json=document(event()), headers=headers)
    exception(response, 400, "ValidationException", "error-behaviour")


async def test_the_same_document_again_changes_nothing(goods_in):
    one = event()
    first, second = await captured(goods_in, one), await captured(goods_in, one)
    assert first["captureID"] != second["captureID"]
    assert second["success"] is True
    assert len(await query(goods_in, EQ_eventID=one["eventID"])) == 1
    job = await captured(goods_in, {**one, "action": "ADD"})
    assert (job["success"], job["errors"][0]["code"]) == (False, "event-differs")


@pytest.mark.parametrize(
    "headers",
    [
        {"GS1-EPCIS-Version": "1.2"},
        {"GS1-EPCIS-Version": "two"},
        {"GS1-CBV-Version": "1.2"},
        {"GS1-EPCIS-Min": "2.1"},
        {"GS1-EPCIS-Max": "1.2"},
        {"GS1-CBV-Min": "3"},
        {"GS1-EPCIS-Min": "x"},
        {"GS1-EPC-Format": "Always_EPC_URN"},
        {"Accept": "application/xml"},
        {"Accept": "application/json;q=0"},
    ],
)
async def test_what_is_not_spoken_here(goods_in, headers):
    for path in ("/epcis/events", "/epcis/capture", "/epcis/capture/1"):
        exception(await goods_in.get(path, headers=headers), 406, "NotAcceptableException")
    response = await goods_in.post("/epcis/capture", json=document(event()), headers=headers)
    exception(response, 406, "NotAcceptableException")


@pytest.mark.parametrize(
    "headers",
    [
        {"GS1-EPCIS-Version": "2.0.1"},
        {"GS1-EPCIS-Min": "1.2", "GS1-EPCIS-Max": "2.0"},
        {"GS1-EPCIS-Min": "2.0.0", "GS1-CBV-Max": "3.1"},
        {"GS1-EPC-Format": "No_Preference"},
        {"Accept": "text/html, application/ld+json;q=0.9"},
    ],
)
async def test_what_is_spoken_here(goods_in, headers):
    response = await goods_in.get("/epcis/events", headers=headers)
    assert response.status_code == 200
    assert {name: response.headers.get(name) for name in VERSIONS} == VERSIONS


async def test_what_capture_takes_is_told(goods_in):
    response = await goods_in.options("/epcis/capture")
    assert (response.status_code, response.content) == (204, b"")
    told = {
        "allow": "GET, OPTIONS, POST", "gs1-epcis-capture-limit": str(MAX_EVENTS),
        "gs1-epcis-capture-file-size-limit": str(MAX_FILE), "gs1-capture-error-behaviour": "all",
        "gs1-epc-format": "Never_Translates", "gs1-epcis-min": "2.0", "gs1-epcis-max": "2.0",
        "gs1-cbv-min": "2.0", "gs1-cbv-max": "2.0", **VERSIONS,
    }  # fmt: skip
    assert {name: response.headers.get(name) for name in told} == told


async def test_limits(goods_in):
    response = await goods_in.post("/epcis/capture", json=document(*[event()] * (MAX_EVENTS + 1)))
    exception(response, 413, "CaptureLimitExceededException", "capture-limit")
    assert response.headers["gs1-epcis-capture-limit"] == str(MAX_EVENTS)
    for path in ("/epcis/capture", "/epcis/events"):
        response = await goods_in.post(path, json=event(**{"my:note": "x" * MAX_FILE}))
        exception(response, 413, "CaptureLimitExceededException", "body-too-large")
        assert response.headers["gs1-epcis-capture-file-size-limit"] == str(MAX_FILE)
    assert (await captured(goods_in, *[event() for _ in range(MAX_EVENTS)]))["success"] is True


async def test_one_event_is_stored_when_the_answer_comes(goods_in):
    one = event(readPoint={"id": "https://id.gs1.org/414/9506000134369"})
    response = await goods_in.post("/epcis/events", json=one)
    assert (response.status_code, response.content) == (201, b"")
    kept = (await goods_in.get(response.headers["location"])).json()
    assert kept == {"@context": [STANDARD_CONTEXT], **one, "recordTime": kept["recordTime"]}
    again = await goods_in.post("/epcis/events", json=one)
    assert (again.status_code, again.headers["location"]) == (201, response.headers["location"])
    response = await goods_in.post("/epcis/events", json={**one, "action": "ADD"})
    exception(response, 409, "ResourceAlreadyExistsException", "event-differs")


@pytest.mark.parametrize(
    "event_id",
    [
        "ni:///sha-256;df7bb3c352fef055578554f09f5e2aa41782150ced7bd0b8af24dd3ccb30ba69?ver=CBV2.0",
        "https://wms.example/events//7/%2F/é",
        "urn:uuid:404d95fc-9457-4a51-bd6a-0bba133845a8",
        "urn:x:a+b#c",
    ],
)
async def test_identities_of_every_form_stand_at_their_place(goods_in, event_id):
    response = await goods_in.post("/epcis/events", json=event(eventID=event_id))
    assert response.status_code == 201, response.text
    assert (await goods_in.get(response.headers["location"])).json()["eventID"] == event_id
    assert (await goods_in.get(f"/epcis/events/{quote(event_id, safe='')}")).json()["eventID"] == event_id


async def test_a_refusal_under_a_key_is_the_same_refusal(goods_in):
    said = event()
    assert (await goods_in.post("/epcis/events", json=said)).status_code == 201
    other = said | {"action": "ADD"}
    bare = await goods_in.post("/epcis/events", json=other)
    told = [
        await goods_in.post("/epcis/events", json=other, headers={"idempotency-key": "event-differs"})
        for _ in range(2)
    ]
    assert told[1].headers["idempotency-replayed"] == "true"
    for answer in (bare, *told):
        exception(answer, 409, "ResourceAlreadyExistsException", "event-differs")
        assert (answer.json(), answer.headers.get_list("gs1-epcis-version")) == (bare.json(), ["2.0"])


async def test_an_event_without_identity_gets_one(goods_in):
    one = event()
    del one["eventID"]
    response = await goods_in.post("/epcis/events", json=one)
    assert response.headers["location"].startswith("/epcis/events/urn:uuid:")
    again = await goods_in.post("/epcis/events", json=dict(reversed(one.items())))
    assert again.headers["location"] == response.headers["location"]


async def test_what_is_not_there(goods_in):
    exception(await goods_in.get("/epcis/events/urn:x:none"), 404, "NoSuchResourceException", "missing")
    exception(await goods_in.get("/epcis/capture/987654321"), 404, "NoSuchResourceException", "missing")


async def test_who_may(gateway, nobody, carrier, auditor):
    exception(await nobody.get("/epcis/events"), 401, "SecurityException", "key-missing")
    exception(await nobody.options("/epcis/capture"), 401, "SecurityException", "key-missing")
    exception(await carrier.get("/epcis/capture"), 403, "SecurityException", "permission-missing")
    exception(
        await auditor.post("/epcis/events", json=event()), 403, "SecurityException", "permission-missing"
    )
    response = await auditor.post("/epcis/capture", content=b"{", headers=JSON)
    exception(response, 403, "SecurityException", "permission-missing")


@pytest.fixture(scope="module")
async def filled(gateway: Gateway) -> tuple[str, list[str]]:
    """A parent that only the events of this fixture have, and their identities in order."""
    parent = "urn:epc:id:sscc:0614141.1999999999"
    events = []
    for _ in range(25):
        one = event(type="AggregationEvent", action="ADD", parentID=parent)
        one["childEPCs"] = one.pop("epcList")
        events.append(one)
    await captured(gateway["goods-in"], *events)
    return parent, [one["eventID"] for one in events]


async def pages(client: httpx.AsyncClient, response: httpx.Response) -> AsyncIterator[httpx.Response]:
    """This page and those after it, as their links lead."""
    yield response
    while "next" in response.links:
        assert response.headers["gs1-next-page-token-expires"] > "2026"
        response = await client.get(response.links["next"]["url"])
        yield response
    assert "gs1-next-page-token-expires" not in response.headers


@pytest.mark.parametrize("size", [1, 7, 24, 25, 26])
async def test_pages_have_no_gap_and_no_repeat(goods_in, filled, size):
    parent, wanted = filled
    first = await goods_in.get("/epcis/events", params={"MATCH_parentID": parent, "perPage": size})
    found = []
    async for page in pages(goods_in, first):
        found.append([one["eventID"] for one in listed(page)])
        await goods_in.post("/epcis/events", json=event())
    assert [one for page in found for one in page] == wanted
    assert all(len(page) == size for page in found[:-1])
    assert found[-1]


async def test_jobs_come_newest_first_in_pages(goods_in):
    made = [(await captured(goods_in, event()))["captureID"] for _ in range(5)]
    first = await goods_in.get("/epcis/capture", params={"perPage": 2})
    found = []
    async for page in pages(goods_in, first):
        found += [job["captureID"] for job in page.json()]
        await captured(goods_in, event())
    assert found[:5] == made[::-1]
    assert found == sorted(found, key=int, reverse=True)
    assert len(set(found)) == len(found)


async def test_the_log_tells_of_every_capture(goods_in, auditor):
    job = await captured(goods_in, event())
    found = (await auditor.get("/v1/audit/entries", params={"subject": f"capture:{job['captureID']}"})).json()
    assert [entry["body"]["kind"] for entry in found["entries"]] == ["capture.accepted", "capture.finished"]
