"""Wrong requests: each gets a problem document that says what is wrong and where; none is a fault of ours."""

from __future__ import annotations

import gzip
import json

import pytest

from app.api.openapi import operations
from app.api.routes import application

from .asking import CSV, JSON, places, problem, refusal
from .conftest import MAX_BODY, MAX_UPLOAD

DRAFT = "/v1/incidents"
DEEP = b"[" * 10_000
# Routes that read a JSON body, and one that is in form for each.
BODIES = {
    "draftIncident": ("POST", DRAFT, {"title": "t", "scope": {"serials": ["A"]}}),
    "previewIncident": ("POST", f"{DRAFT}/preview", {"scope": {"serials": ["A"]}}),
    "submitIncident": ("POST", f"{DRAFT}/987654321/submit", {"acknowledged": ["size"]}),
    "addGolden": ("POST", "/v1/golden", {"digits": ["86111111"], "why": "w"}),
    "removeGolden": ("POST", "/v1/golden/remove", {"digits": "86999999", "reason": "r"}),
    "sellDevices": ("POST", "/v1/devices/sold", {"serials": ["A"]}),
    "returnDevices": ("POST", "/v1/devices/returned", {"serials": ["A"]}),
    "eraseDevices": ("POST", "/v1/devices/erase", {"serials": ["A"], "reason": "r"}),
    "approveIncident": ("POST", f"{DRAFT}/987654321/approve", {"frozen": "0" * 64}),
    "breakGlass": ("POST", f"{DRAFT}/987654321/break-glass", {"reason": "r"}),
    "reviewIncident": ("POST", f"{DRAFT}/987654321/review", {"verdict": "upheld", "reason": "r"}),
    "approveProposal": ("POST", "/v1/proposals/987654321/approve", {"digest": "0" * 64}),
    "rejectProposal": ("POST", "/v1/proposals/987654321/reject", {"reason": "r"}),
    "withdrawProposal": ("POST", "/v1/proposals/987654321/withdraw", {"reason": "r"}),
    "addRule": ("POST", "/v1/rules", {"subject": "lift", "approvers": 0}),
    "rejectIncident": ("POST", f"{DRAFT}/987654321/reject", {"reason": "r"}),
    "withdrawIncident": ("POST", f"{DRAFT}/987654321/withdraw", {"reason": "r"}),
    "liftDevices": ("POST", f"{DRAFT}/987654321/lift", {"scope": {"serials": ["A"]}}),
    "askStatuses": ("POST", "/v1/status", {"imeis": ["490154203237518"]}),
    "checkImeiStatus": (
        "POST",
        "/device-authenticity/vwip/check-status",
        {"imei": "490154203237518"},
    ),
    "addPartner": ("POST", "/v1/partners", {"name": "n", "adapter": "ceir", "settings": {}}),
    "changePartner": ("PATCH", "/v1/partners/987654321", {"reason": "r"}),
    "tryPartner": ("POST", "/v1/partners/987654321/try", {}),
    "replayPartner": ("POST", "/v1/partners/987654321/replay", {"which": "refused"}),
    "reportSightings": ("POST", "/v1/sightings", {"sightings": [{"imei": "490154203237518"}]}),
    "moveDevices": ("POST", "/v1/movements", {"moves": [{"to": "", "serials": ["A"]}]}),
    "addPerson": ("POST", "/v1/people", {"name": "", "email": "x", "role": "x"}),
    "changePerson": ("PATCH", "/v1/people/none", {"role": "auditor"}),
    "stepUp": ("POST", "/v1/sessions/current/step-up", {"code": "000000"}),
    "changePassword": ("POST", "/v1/sessions/current/password", {"password": "a", "new_password": "b"}),
    "saveMapping": ("PUT", "/v1/mappings/none", {"columns": {"Handset": "imei"}}),
}
# Those of which the body may be left out.
BARE = {str(one.handler.operation_id) for one in operations(application()) if one.notes.bare}
# What each is refused in.
DIALECTS = {
    str(one.handler.operation_id): one.notes.dialect
    for one in operations(application())
    if one.form is not None
}


def test_every_route_with_a_json_body_is_tried():
    assert set(DIALECTS) == set(BODIES)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "body-empty"),
        (b" \n", "body-empty"),
        (b'{"title":', "body-malformed"),
        (b"{} {}", "body-malformed"),
        (b"\xef\xbb\xbf{}", "body-malformed"),
        (b'{"title": "\xff"}', "body-malformed"),
        (b'{"title": "\\ud800"}', "body-malformed"),
        (b'{"title": NaN}', "body-malformed"),
        (b'{"title": Infinity}', "body-malformed"),
        (b'{"title": 1e999}', "body-malformed"),
        (b'{"title": ' + b"9" * 5_000 + b"}", "body-malformed"),
        (DEEP, "body-malformed"),
        (b'{"a":' * 10_000, "body-malformed"),
        (b'{"title": "\\u0000"}', "body-wrong"),
        (b'{"a\\u0000": 1}', "body-wrong"),
        (b'{"title": 9223372036854775808}', "body-wrong"),
        (b'{"reason": "a", "reason": "b"}', "body-name-twice"),
        (b'{"scope": {"imeis": [], "imeis": []}}', "body-name-twice"),
        (b"null", "body-wrong"),
        (b"[]", "body-wrong"),
        (b'"text"', "body-wrong"),
        (b'{"nobody knows": 1}', "body-wrong"),
    ],
    ids=lambda value: repr(value[:24]),
)
@pytest.mark.parametrize("name", BODIES)
async def test_bodies_that_are_not_in_form(admin, name, body, code):
    method, path, _ = BODIES[name]
    if name in BARE and not body:
        pytest.skip("no body says nothing")
    refusal(await admin.request(method, path, content=body, headers=JSON), 400, code, DIALECTS[name])


@pytest.mark.parametrize("name", BODIES)
async def test_json_is_sent_as_json(admin, name):
    method, path, said = BODIES[name]
    body = json.dumps(said).encode()
    for sent_as in ("text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonx", ""):
        headers = {"content-type": sent_as} if sent_as else {}
        response = await admin.request(method, path, content=body, headers=headers)
        refusal(response, 415, "body-not-json", DIALECTS[name])
        assert response.headers["accept"] == "application/json"
    for sent_as in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
        response = await admin.request(method, path, content=body, headers={"content-type": sent_as})
        assert response.status_code in (200, 201, 400, 404), response.text
        assert "body" not in response.json().get("code", "")


@pytest.mark.parametrize("name", BODIES)
async def test_compressed_bodies_are_refused(admin, name):
    method, path, said = BODIES[name]
    body = gzip.compress(json.dumps(said).encode())
    for encoding in ("gzip", "GZIP", "deflate", "br", "gzip, identity"):
        headers = {**JSON, "content-encoding": encoding}
        response = await admin.request(method, path, content=body, headers=headers)
        refusal(response, 415, "body-compressed", DIALECTS[name])
        assert response.headers["accept-encoding"] == "identity"


FLAWS = [
    ({}, {"/title": "missing", "/scope": "missing"}),
    ({"title": 5, "scope": {"receipts": ["12", 1.5]}}, {
        "/title": "a string, not a whole number",
        "/scope/receipts/0": "a whole number, not a string",
        "/scope/receipts/1": "a whole number, not a number",
    }),
    ({"title": "t", "scope": {"imei": []}}, {"/scope/imei": "there are pallets, receipts, imeis, serials"}),
    ({"title": "t", "scope": [], "a/b~": 1}, {"/a~1b~0": "no field", "/scope": "an object, not a list"}),
    ({"title": "t", "scope": {"serials": None}}, {"/scope/serials": "a list, not null"}),
    ({"title": "t", "scope": {}, "occurred_from": "yesterday"}, {"/occurred_from": "2026-12-22T02:00:00Z"}),
    ({"title": "t", "scope": {}, "occurred_to": 7}, {"/occurred_to": "a time"}),
    ({"title": "t\0", "scope": {"serials": ["a\0"]}}, {"/title": "NUL", "/scope/serials/0": "NUL"}),
    ({"title": "t", "scope": {"receipts": [2**63]}}, {"/scope/receipts/0": "out of range"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "wrong"), FLAWS)
async def test_every_flaw_is_told_with_its_place(manager, said, wrong):
    found = places(problem(await manager.post(DRAFT, json=said), 400, "body-wrong"))
    assert set(found) == set(wrong)
    for place, words in wrong.items():
        assert words in found[place]


async def test_wrong_words_are_told_the_right_ones(admin):
    said = {
        "name": "n",
        "adapter": "ceir",
        "settings": {},
        "scope": {"kinds": ["imei", "fax"]},
        "limits": {"burst": "1"},
    }
    found = places(problem(await admin.post("/v1/partners", json=said), 400, "body-wrong"))
    assert found["/scope/kinds/1"] == "'fax' would be one of imei, serial"
    assert "a whole number" in found["/limits/burst"]


async def test_a_thousand_flaws_are_enough(manager):
    body = problem(await manager.post(DRAFT, json={"title": "t", "scope": {"imeis": [1] * 5_000}}), 400)
    assert len(body["errors"]) == 1_000


@pytest.mark.parametrize("digits", ["３５２０９９０００００００１５", "352099000000０15", "٣٥٢٠٩٩٠٠٠٠٠٠٠١٥"])
async def test_digits_of_other_scripts_are_no_digits(manager, goods_in, digits):
    body = problem(await manager.post(DRAFT, json={"title": "t", "scope": {"imeis": [digits]}}), 400)
    assert "/scope/imeis/0" in places(body)
    receipt = await goods_in.post("/v1/receipts", content=f"imei\n{digits}\n".encode(), headers=CSV)
    assert (receipt.json()["registered"], receipt.json()["rejected"]) == (0, 1)


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_over_the_limit(admin, chunked):
    for path, limit, headers in (
        (DRAFT, MAX_BODY, JSON),
        ("/v1/receipts", MAX_UPLOAD, CSV),
        ("/v1/incidents/987654321/reject", 64 * 1024, JSON),
    ):
        for size in (limit + 1, limit + 500_000):
            body = b" " * size
            content = _parts(body) if chunked else body
            found = problem(await admin.post(path, content=content, headers=headers), 413, "body-too-large")
            assert f"{limit:,} bytes" in found["detail"]
    body = json.dumps({"devices": []}).encode() + b" " * MAX_BODY
    found = problem(await admin.post("/v1/receipts", content=body, headers=JSON), 413, "body-too-large")
    assert "as NDJSON or CSV" in found["detail"]


async def _parts(body: bytes):
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


async def test_a_body_at_the_limit_is_read(admin):
    said = json.dumps(BODIES["draftIncident"][2]).encode()
    body = said + b" " * (MAX_BODY - len(said))
    assert (await admin.post(DRAFT, content=body, headers=JSON)).status_code == 201


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("serial=a&limit=0", {"limit"}),
        ("serial=a&limit=10001", {"limit"}),
        ("serial=a&limit=0&cursor=-1", {"limit", "cursor"}),
        ("serial=a&limit=ten&cursor=x", {"limit", "cursor"}),
        ("serial=a&limit=1e3&cursor=1.0", {"limit", "cursor"}),
        ("serial=a&limit=%31e1&cursor=-0", {"limit", "cursor"}),
        ("receipt=1.0", {"receipt"}),
        ("serial=a&limit=1.5", {"limit"}),
        ("serial=a&limit=", {"limit"}),
        ("serial=a&limit=" + "9" * 5_000, {"limit"}),
        ("serial=a&cursor=9223372036854775808", {"cursor"}),
        ("receipt=0", {"receipt"}),
        ("receipt=" + "9" * 30, {"receipt"}),
        ("serial=a%00", {"serial"}),
        ("serial=%ff", {"serial"}),
        ("serial=a&serial=b", {"serial"}),
        ("seriall=a&limmit=5", {"seriall", "limmit"}),
    ],
)
async def test_queries_that_cannot_be_read(manager, query, wrong):
    found = places(problem(await manager.get(f"/v1/devices?{query}"), 400, "query-wrong"))
    assert set(found) == wrong
    assert all("`" not in words for words in found.values())


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("/v1/receipts", "kind", "arrival, announcement"),
        ("/v1/tacs/imports/1/findings", "verdict", "rejected, updated, warning"),
    ],
)
async def test_a_word_that_is_none_of_a_few_is_told_which_are(manager, path, name, words):
    found = places(problem(await manager.get(path, params={name: "announced"}), 400, "query-wrong"))
    assert found == {name: f"'announced' would be one of {words}"}


async def test_a_form_is_told_which_words_there_are(goods_in):
    sent = {"data": {"kind": "announced"}, "files": {"file": ("goods.csv", b"imei\n")}}
    found = places(problem(await goods_in.post("/v1/receipts", **sent), 400, "form-wrong"))
    assert found == {"kind": "'announced' would be one of arrival, announcement"}


async def test_a_time_whose_plus_came_as_a_space_is_told_how_it_is_written(manager):
    path = "/v1/devices?pallet=340123450000000018&at="
    for moment in ("2026-12-22T02:00:00+01:00", "2026-12-22T02:00:00.5+0100"):
        found = places(problem(await manager.get(path + moment), 400, "query-wrong"))
        assert found["at"].endswith("in a query, + is written %2B")
    assert (await manager.get(path + "2026-12-22T02:00:00%2B01:00")).status_code == 200
    found = places(problem(await manager.get(path + "noon"), 400, "query-wrong"))
    assert "%2B" not in found["at"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_time_that_cannot_be_said_in_utc_is_told_as_one_that_cannot_be_right(
    manager, goods_in, moment
):
    scope = {"pallets": ["340123450000000018"], "as_of": moment}
    many = {"serials": [f"S-{number}" for number in range(20_000)]}
    move = {"to": "", "serials": ["A"]}
    for client, path, said, place in (
        (manager, DRAFT, {"title": "t", "scope": scope}, "/scope/as_of"),
        (manager, DRAFT, {"title": "t", "scope": {**scope, **many}}, "/scope/as_of"),
        (manager, DRAFT, {"title": "t", "scope": many, "occurred_to": moment}, "/occurred_to"),
        (goods_in, "/v1/movements", {"moves": [move, {**move, "at": moment}]}, "/moves/1/at"),
    ):
        found = places(problem(await client.post(path, json=said), 400, "body-wrong"))
        assert set(found) == {place}
        assert "cannot be right; it would be, in UTC, between the years 1 and 9999" in found[place]
    asked = {"pallet": "340123450000000018", "at": moment}
    found = places(problem(await manager.get("/v1/devices", params=asked), 400, "time-impossible"))
    assert "cannot be right" in found["at"]
    found = places(problem(await goods_in.get("/epcis/events", params={"GE_eventTime": moment}), 400))
    assert "cannot be right" in found["GE_eventTime"]


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "-1",
        "+1",
        "01",
        "1_0",
        "%D9%A1",
        "1.0",
        "x",
        "%00",
        "%ff",
        "%2e%2e",
        "9223372036854775808",
        "9" * 5_000,
    ],
)
async def test_numbers_in_paths_have_one_form(admin, number):
    for path in ("/v1/incidents/{}", "/v1/receipts/{}", "/v1/partners/{}", "/v1/incidents/1/refusals/{}"):
        problem(await admin.get(path.format(number)), 404, "no-such-resource")


async def test_paths_that_lead_nowhere(admin, nobody):
    for client in (admin, nobody):
        for path in (
            "/v1",
            "/v2/incidents",
            "/v1/incidents/1/2/3",
            "/schema",
            "/schema/openapi.json",
            "/%00",
            "/%ff",
        ):
            problem(await client.get(path), 404, "no-such-resource")
        problem(await client.get("/" + "a" * 3_000), 404, "no-such-resource")


async def test_methods(admin):
    for method, path in (
        ("DELETE", DRAFT),
        ("PUT", DRAFT),
        ("PUT", "/v1/status"),
        ("POST", "/docs"),
        ("FROB", DRAFT),
    ):
        response = await admin.request(method, path)
        problem(response, 405, "method")
        assert response.headers["allow"]


async def test_a_slash_at_the_end_changes_nothing(manager):
    response = await manager.post(f"{DRAFT}/", json=BODIES["draftIncident"][2])
    assert response.status_code == 201
