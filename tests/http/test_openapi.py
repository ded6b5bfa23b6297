"""The OpenAPI document: as stored, valid, whole, and with examples that the gateway takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from litestar.routes import HTTPRoute
from openapi_spec_validator import validate

from app.api import openapi
from app.api.answers import ANSWERS
from app.api.examples import BOUNDARY
from app.api.routes import application

from .asking import decided, drafted, problem
from .conftest import Gateway, serving

ROOT = Path(__file__).parents[2]
APP = application()
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOCUMENT = openapi.document(APP)
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
TYPES = {
    "json": "application/json",
    "jsonld": "application/ld+json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "edi": "application/edifact",
    "form": "application/x-www-form-urlencoded",
    "multipart": f"multipart/form-data; boundary={BOUNDARY}",
}


def test_what_is_stored_is_what_is_served():
    stored = {
        str(path.relative_to(ROOT / "openapi")): path.read_bytes()
        for path in (ROOT / "openapi").rglob("*")
        if path.is_file()
    }
    assert stored == openapi.files(APP), "python -m app.api.openapi openapi writes them anew"


async def test_it_is_served_to_anybody(nobody):
    response = await nobody.get("/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == DOCUMENT


def test_it_is_valid():
    validate(DOCUMENT)


# The framework answers OPTIONS on every other route by itself.
EXPLICIT = {("/epcis/capture", "options")}


def test_it_describes_every_route_and_no_other():
    served = {
        (route.path_format, method.lower())
        for route in APP.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method != "OPTIONS" or (route.path_format, "options") in EXPLICIT
    }
    described = {(path, method) for path, method, _ in OPERATIONS}
    assert served - described == {("/", "get"), ("/docs", "get"), ("/openapi.json", "get")}
    assert described <= served


def test_operations_are_named_once():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and "_" not in name for name in names)


def test_each_operation_says_what_it_does():
    for _, _, operation in OPERATIONS:
        assert operation["summary"]
        assert operation["tags"][0] in [tag["name"] for tag in DOCUMENT["tags"]]
        wanted = {"401", "403"} if "security" not in operation else set()
        assert wanted <= set(operation["responses"])


def test_names_of_schemas_are_plain_and_all_are_used():
    names = set(DOCUMENT["components"]["schemas"])
    assert all(name.isalnum() for name in names)
    assert references(DOCUMENT) == {f"#/components/schemas/{name}" for name in names} | {
        f"#/components/responses/{name}" for name in DOCUMENT["components"]["responses"]
    }


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def test_every_type_of_a_file_is_told_where_it_is_sent_and_where_it_is_given_back():
    paths = DOCUMENT["paths"]
    sent = paths["/v1/receipts"]["post"]["requestBody"]["content"]
    assert {"text/csv", XLSX, "application/edifact", "application/x-ndjson"} <= set(sent)
    given = paths["/v1/receipts/{receipt_id}/rejects"]["get"]["responses"]["200"]["content"]
    assert set(given) == {"text/csv", XLSX, "application/x-ndjson"}


def test_limits_inside_lists_are_told():
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["StatusQuestion"]["properties"]["imeis"]["maxItems"] == 10_000
    assert schemas["Scope"]["additionalProperties"] is False
    assert schemas["Incident"]["properties"]["drafted_at"]["format"] == "date-time"


def examples() -> list[tuple[str, dict[str, Any], Any]]:
    """Each example with its schema."""
    found = []
    for _, _, operation in OPERATIONS:
        contents = operation.get("requestBody", {"content": {}})["content"]
        answers = [answer for status, answer in operation["responses"].items() if status < "300"]
        told = [content for answer in answers for content in answer.get("content", {}).values()]
        for content in [*contents.values(), *told]:
            if "example" in content:
                found.append((operation["operationId"], content["schema"], content["example"]))
    return found


@pytest.mark.parametrize(("name", "schema", "example"), examples())
def test_examples_fit_their_schemas(name, schema, example):
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(example)


@pytest.fixture(scope="module")
async def fresh(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway without a worker: the partners of the examples are nowhere."""
    async with serving(cluster, template, tmp_path_factory.mktemp("fresh"), "web") as gateway:
        yield gateway


async def sent(gateway: Gateway, name: str, path: str) -> Any:
    """What comes of the example that is stored under this name."""
    operation, _, ending = name.rpartition("/")[2].rpartition(".")
    method = next(method for _, method, one in OPERATIONS if one["operationId"] == operation)
    body = (ROOT / "openapi" / "examples" / name).read_bytes()
    headers = {"content-type": TYPES[ending]}
    response = await gateway["admin"].request(method, path, content=body, headers=headers)
    assert response.status_code in (200, 201, 202), response.text
    return response.json() if response.content else {}


async def _privately(send: Callable[[str, str], Awaitable[Any]]) -> None:
    """What is golden, what is sold and forgotten, and people."""
    assert len((await send("addGolden.json", "/v1/golden"))["added"]) == 2
    assert (await send("removeGolden.json", "/v1/golden/remove"))["digits"] == "86111111"
    assert (await send("sellDevices.json", "/v1/devices/sold"))["changed"] == 1
    assert (await send("returnDevices.json", "/v1/devices/returned"))["changed"] == 1
    erased = await send("eraseDevices.json", "/v1/devices/erase")
    assert [one["code"] for one in erased["kept"]] == ["not-sold"]
    person = (await send("addPerson.json", "/v1/people"))["person_id"]
    assert (await send("changePerson.json", f"/v1/people/{person}"))["role"] == "incident-manager"


async def _urgently(gateway: Gateway, send: Callable[[str, str], Awaitable[Any]]) -> None:
    """Rules, and what does without them."""
    assert (await send("addRule.json", "/v1/rules"))["rule_id"]
    own, other = [await drafted(gateway["incident-manager"], serials=[name]) for name in ("OWN", "TRUCK")]
    assert (await send("submitIncident.json", f"/v1/incidents/{own}/submit"))["state"] == "submitted"
    assert (await send("breakGlass.json", f"/v1/incidents/{own}/break-glass"))["state"] == "approved"
    await decided(gateway["incident-manager"], other, "submit")
    await decided(gateway["incident-manager"], other, "break-glass", reason="They are leaving.")
    assert (await send("reviewIncident.json", f"/v1/incidents/{other}/review"))["verdict"] == "upheld"
    await gateway["admin"].post("/v1/rules", json={"subject": "lift", "approvers": 1})
    found = {"json": {"scope": {"serials": ["OWN"]}}}
    for who, verb in (("incident-manager", "reject"), ("admin", "withdraw"), ("incident-manager", "approve")):
        waits = await gateway[who].post(f"/v1/incidents/{own}/lift", **found)
        place = f"{waits.headers['location']}/{verb}"
        ended = await send(f"{verb}Proposal.json", place)
        assert ended["state"] == {"reject": "rejected", "withdraw": "withdrawn", "approve": "done"}[verb]


async def test_every_example_of_a_request_is_taken(fresh):
    left = {path.name for path in (ROOT / "openapi" / "examples").iterdir()}

    async def send(name: str, path: str) -> Any:
        left.discard(name)
        return await sent(fresh, name, path)

    endings = ("json", "ndjson", "csv", "edi", "multipart")
    receipts = [await send(f"registerDevices.{ending}", "/v1/receipts") for ending in endings]
    for ending in ("json", "jsonld"):
        await send(f"captureEvents.{ending}", "/epcis/capture")
        await send(f"captureEvent.{ending}", "/epcis/events")
    assert [receipt["rejected"] for receipt in receipts] == [0, 0, 0, 0, 0]
    assert (await send("importTacs.csv", "/v1/tacs"))["imported"] == 2
    assert (await send("importTacs.multipart", "/v1/tacs"))["source"] == "ours"
    assert (await send("saveMapping.json", "/v1/mappings/ACME"))["name"] == "ACME"
    draft = await send("draftIncident.json", "/v1/incidents")
    assert draft["preview"]["devices"] == 2
    path = f"/v1/incidents/{draft['id']}"
    assert (await send("previewIncident.json", "/v1/incidents/preview"))["devices"] == 2
    await decided(fresh["incident-manager"], draft["id"], "submit")
    assert (await send("approveIncident.json", f"{path}/approve"))["state"] == "approved"
    answers = await send("askStatuses.json", "/v1/status")
    told = ANSWERS["askStatuses"]["results"]
    assert answers["results"] == [{**one, "incidents": []} for one in told]
    assert (await send("reportSightings.json", "/v1/sightings"))["taken"] == 1
    assert (await send("checkImeiStatus.json", "/device-authenticity/vwip/check-status"))[
        "operationalStatus"
    ] == "stolen"
    for ending in ("form", "json"):
        checked = await send(f"checkDevice.{ending}", "/device-check/v1/query")
        assert (checked["blockliststatus"], checked["brandname"]) == ("Yes", "Nordlys")
    assert (await send("liftDevices.json", f"{path}/lift"))["devices"] == 1
    assert (await send("withdrawIncident.json", f"{path}/withdraw"))["state"] == "withdrawn"
    other = await drafted(fresh["incident-manager"], serials=["OTHER"])
    await decided(fresh["incident-manager"], other, "submit")
    assert (await send("rejectIncident.json", f"/v1/incidents/{other}/reject"))["state"] == "rejected"
    await _urgently(fresh, send)
    partner = await send("addPartner.json", "/v1/partners")
    assert (await send("changePartner.json", f"/v1/partners/{partner['id']}"))["paused"] is True
    assert (await send("tryPartner.json", f"/v1/partners/{partner['id']}/try"))["taken"] is False
    replayed = await send("replayPartner.json", f"/v1/partners/{partner['id']}/replay")
    assert replayed == {"block": 0, "release": 0}
    await _privately(send)
    assert (await send("moveDevices.json", "/v1/movements"))["unknown"] == []
    # It must be signed, which tests of partners do; here it is only in form.
    left.discard("confirmDeliveries.json")
    problem(await fresh["nobody"].post(f"/v1/partners/{partner['id']}/confirmations", json={}), 401)
    # They want a session, or hold no invitation or password that is known.
    left -= {
        f"{it}.json"
        for it in ("signIn", "stepUp", "changePassword", "enrol", "confirmEnrolment", "finishSignOn")
    }
    # It holds no key that is known.
    left.discard("issueToken.form")
    assert left == set()
