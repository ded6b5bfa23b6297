"""What shops, insurers and operators ask by CAMARA DeviceAuthenticity: its words, its errors, its correlator."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.access.roles import Role
from app.api.dialects.camara import _WORDS, DIALECT
from app.api.problems import Problem
from app.blocklist.standing import ReasonClass

from .asking import JSON, decided, stock
from .published import ERROR_INFO, IMEI_STATUS, fits, told

CHECK = "/device-authenticity/vwip/check-status"
MINE = {"x-correlator": "b4333c46-49c0-4f62-80d7-f0ef930f1c46"}
SOME = {"imei": "490154203237525"}


def refused(response: httpx.Response, status: int, code: str, correlator: str | None = None) -> str:
    """What a refusal in CAMARA's form says to people; it has a correlator in any case."""
    body = told(response, status, ERROR_INFO)
    assert (body["status"], body["code"]) == (status, code), body
    assert response.headers["x-correlator"] == (correlator or response.headers["x-request-id"])
    return str(body["message"])


async def checked(client: httpx.AsyncClient, number: str) -> dict[str, Any]:
    response = await client.post(CHECK, json={"imei": number}, headers=MINE)
    assert response.headers["x-correlator"] == MINE["x-correlator"]
    body = told(response, 200, IMEI_STATUS)
    assert body["imei"] == number
    return body


async def blocked_for(manager: Any, approver: Any, number: str, kind: str) -> None:
    said = {"title": "t", "kind": kind, "scope": {"imeis": [number]}}
    incident = (await manager.post("/v1/incidents", json=said)).json()["id"]
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")


@pytest.mark.parametrize(
    ("kind", "word"), [("theft", "stolen"), ("robbery", "stolen"), ("loss", "lost"), ("fraud", "fraud")]
)
async def test_what_is_blocked_is_what_the_reason_says(carrier, manager, approver, kind, word):
    number, before = stock(1).imeis[0], datetime.now(UTC)
    await blocked_for(manager, approver, number, kind)
    body = await checked(carrier, number)
    assert body["operationalStatus"] == word
    assert (
        before <= datetime.fromisoformat(body["reportedDate"]) <= datetime.fromisoformat(body["lastChecked"])
    )


def test_every_class_of_reasons_has_a_word():
    assert set(_WORDS) == set(ReasonClass)


async def test_what_nobody_blocked_has_no_date(carrier, ladder):
    """What is suspect is nobody's to buy, and nobody's to bar: `allowed` it is never."""
    for status, word in (("clear", "allowed"), ("suspect", "unknown"), ("unknown", "unknown")):
        body = await checked(carrier, ladder[status])
        assert (body["operationalStatus"], "reportedDate" in body) == (word, False)
        age = datetime.now(UTC) - datetime.fromisoformat(body["lastChecked"])
        assert timedelta(0) <= age < timedelta(minutes=1)


async def test_what_is_released_is_allowed_again(carrier, goods_in, manager, approver):
    known = stock(1)
    await goods_in.post("/v1/receipts", content=known.csv, headers={"content-type": "text/csv"})
    number = known.imeis[0]
    said = {"title": "t", "scope": {"imeis": [number]}}
    incident = (await manager.post("/v1/incidents", json=said)).json()["id"]
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    assert (await checked(carrier, number))["operationalStatus"] == "stolen"
    await decided(approver, incident, "lift", scope={"imeis": [number]})
    assert (await checked(carrier, number))["operationalStatus"] == "allowed"


async def test_the_check_digit_is_not_judged(carrier, ladder):
    for last in "0123456789":
        assert (await checked(carrier, ladder["blocked"][:14] + last))["operationalStatus"] == "stolen"


async def test_what_a_body_says_besides_is_passed_over(carrier):
    """The schema closes nothing."""
    answer = await carrier.post(CHECK, json={**SOME, "phoneNumber": "+33600000000", "device": {"a": []}})
    assert told(answer, 200, IMEI_STATUS)["operationalStatus"] == "unknown"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"{}", "'imei' is missing"),
        (b"[]", "an object"),
        (b'{"imei": null}', "a string"),
        (b'{"imei": {}}', "a string"),
        (b'{"imei": 490154203237518}', "a string"),
        (b'{"imei": "12345"}', "15 digits"),
        (b'{"imei": "1234567890123456"}', "15 digits"),
        (b'{"imei": "12345678901234A"}', "15 digits"),
        (b'{"imei": "123456789 12345"}', "15 digits"),
        (b'{"imei": "12345-678901234"}', "15 digits"),
        (b'{"imei": "490154203237518\\n"}', "15 digits"),
        ('{"imei": "４９０１５４２０３２３７５１８"}'.encode(), "15 digits"),
        (b'{"imei": "490154203237518", "imei": "490154203237518"}', "twice"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_bodies_that_are_not_in_form(carrier, body, words):
    response = await carrier.post(CHECK, content=body, headers={**JSON, **MINE})
    assert words in refused(response, 400, "INVALID_ARGUMENT", MINE["x-correlator"])


async def test_a_query_is_not_looked_for(carrier):
    response = await carrier.post(f"{CHECK}?imei=1", json=SOME, headers=MINE)
    assert "imei" in refused(response, 400, "INVALID_ARGUMENT", MINE["x-correlator"])


async def test_who_may_not_ask_is_told_so_in_its_form(gateway, nobody, goods_in):
    missing = await nobody.post(CHECK, json=SOME, headers=MINE)
    refused(missing, 401, "UNAUTHENTICATED", MINE["x-correlator"])
    assert missing.headers["www-authenticate"].startswith("Bearer")
    for wrong in ("Bearer x", "Bearer imei_k_aaaaaaaa_" + "a" * 43):
        answer = await nobody.post(CHECK, json=SOME, headers={**MINE, "authorization": wrong})
        refused(answer, 401, "UNAUTHENTICATED", MINE["x-correlator"])
    forbidden = await goods_in.post(CHECK, content=b"{", headers={**JSON, **MINE})
    refused(forbidden, 403, "PERMISSION_DENIED", MINE["x-correlator"])


async def test_its_scope_is_enough_and_no_other_is(gateway, nobody):
    key = gateway.keys["carrier"]
    form = {"grant_type": "client_credentials", "client_id": key[5:15], "client_secret": key}
    for scope, status in (("device-authenticity:check-status", 200), ("status:read n5g-eir-eic", 403)):
        made = (await nobody.post("/oauth2/token", data={**form, "scope": scope})).json()
        headers = {**MINE, "authorization": f"Bearer {made['access_token']}"}
        answer = await nobody.post(CHECK, json=SOME, headers=headers)
        if status == 200:
            told(answer, 200, IMEI_STATUS)
        else:
            refused(answer, 403, "PERMISSION_DENIED", MINE["x-correlator"])
            assert 'scope="device-authenticity:check-status"' in answer.headers["www-authenticate"]


async def test_what_is_not_there_is_refused_in_its_form(carrier):
    for path in (
        f"{CHECK}/x",
        "/device-authenticity/v9/check-status",
        "/device-authenticity/vwip",
        "/device-authenticity/",
    ):
        refused(await carrier.post(path, json=SOME, headers=MINE), 404, "NOT_FOUND", MINE["x-correlator"])
    answer = await carrier.get(CHECK, headers=MINE)
    refused(answer, 405, "METHOD_NOT_ALLOWED", MINE["x-correlator"])
    assert answer.headers["allow"] == "OPTIONS, POST"
    options = await carrier.options(CHECK, headers=MINE)
    assert (options.status_code, options.headers["x-correlator"]) == (204, MINE["x-correlator"])


async def test_bodies_that_are_not_taken(carrier):
    answer = await carrier.post(CHECK, data={"imei": "490154203237518"}, headers=MINE)
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE", MINE["x-correlator"])
    assert answer.headers["accept"] == "application/json"
    answer = await carrier.post(CHECK, content=b"x", headers={**JSON, **MINE, "content-encoding": "gzip"})
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE", MINE["x-correlator"])
    large = b'{"imei": "490154203237518"' + b" " * 65_536 + b"}"
    answer = await carrier.post(CHECK, content=large, headers={**JSON, **MINE})
    assert "65,536 bytes" in refused(answer, 413, "CONTENT_TOO_LARGE", MINE["x-correlator"])


async def test_a_quota_that_is_used_up(gateway):
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 1 WHERE key_id = $1", made.key_id)
    headers = {"authorization": f"Bearer {made.key}", **MINE}
    async with gateway.bare() as client:
        told(await client.post(gateway.url + CHECK, json=SOME, headers=headers), 200, IMEI_STATUS)
        answer = await client.post(gateway.url + CHECK, json=SOME, headers=headers)
    refused(answer, 429, "TOO_MANY_REQUESTS", MINE["x-correlator"])
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["ratelimit"].startswith('"default";r=0')


@pytest.mark.parametrize(
    "correlator", ["a", "aZ09-_:;./<>{}", "x" * 256], ids=["one letter", "every sign", "as long as may be"]
)
async def test_a_correlator_is_echoed_as_it_is(carrier, correlator):
    answer = await carrier.post(CHECK, json=SOME, headers={"x-correlator": correlator})
    assert (answer.status_code, answer.headers["x-correlator"]) == (200, correlator)
    refused(
        await carrier.post(CHECK, json={}, headers={"X-Correlator": correlator}),
        400,
        "INVALID_ARGUMENT",
        correlator,
    )


@pytest.mark.parametrize("sent", [{}, {"x-correlator": ""}], ids=["none", "empty"])
async def test_without_a_correlator_one_is_made(carrier, sent):
    answers = [await carrier.post(CHECK, json=SOME, headers=sent) for _ in range(2)]
    made = [answer.headers["x-correlator"] for answer in answers]
    assert [answer.headers["x-request-id"] for answer in answers] == made
    assert made[0] != made[1]
    assert re.fullmatch(r"[a-zA-Z0-9_:;./<>{}-]{1,256}", made[0])


@pytest.mark.parametrize(
    "correlator",
    [b"a b", b"x" * 257, b"caf\xc3\xa9", b"a,b", b'"a"', b"a\tb", b"(a)"],
    ids=["a space", "too long", "accents", "a comma", "quotes", "a tab", "brackets"],
)
async def test_a_malformed_correlator_is_refused_and_not_echoed(carrier, correlator):
    answer = await carrier.post(CHECK, json=SOME, headers={"x-correlator": correlator})
    assert "x-correlator" in refused(answer, 400, "INVALID_ARGUMENT")


async def test_two_correlators_are_none(carrier):
    sent = [("x-correlator", "a"), ("x-correlator", "b")]
    refused(await carrier.post(CHECK, json=SOME, headers=sent), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "INTERNAL"), (503, "UNAVAILABLE"), (408, "REQUEST_TIMEOUT"), (507, "INTERNAL")],
)
def test_every_failure_has_a_code(status, code):
    request: Any = None
    body = DIALECT.refusal(request, Problem("t", status, "Something failed.", "c"))
    said = {"status": status, "code": code, "message": "Something failed."}
    assert {name: getattr(body, name) for name in ("status", "code", "message")} == said
    fits(said, ERROR_INFO)
