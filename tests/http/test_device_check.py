"""What shops and repair desks ask in the style of the GSMA's Device Check: lists, blocks and their ends, the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.access.roles import Role

from .asking import CSV, JSON, decided, register, stock
from .conftest import Gateway, serving
from .published import DEVICE_CHECK, DEVICE_CHECK_REFUSAL, told

CHECK = "/device-check/v1/query"
FORM = {"content-type": "application/x-www-form-urlencoded"}
INSERT = ("Block Insert", "0011", "Stolen or Lost")
REMOVE = ("Block Remove", "0014", "Lost and Found")


def refused(response: httpx.Response, status: int, code: str) -> str:
    body = told(response, status, DEVICE_CHECK_REFUSAL)
    assert (body["errorcode"], body["refcode"]) == (code, response.headers["x-request-id"])
    return str(body["errordesc"])


async def checked(client: httpx.AsyncClient, number: str, **more: str) -> dict[str, Any]:
    return told(await client.post(CHECK, data={"deviceid": number, **more}), 200, DEVICE_CHECK)


def lists(body: dict[str, Any]) -> tuple[str, str]:
    """Whether it is on the block list, and on the general list."""
    assert body["blackliststatus"] == body["blockliststatus"]
    assert body["greyliststatus"] == body["generalliststatus"]
    return body["blockliststatus"], body["generalliststatus"]


def history(body: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(entry["action"], entry["reasoncode"], entry["reasoncodedesc"]) for entry in body["imeihistory"]]


async def declared(manager: Any, number: str, kind: str = "theft") -> int:
    said = {"title": "t", "kind": kind, "scope": {"imeis": [number]}}
    incident: int = (await manager.post("/v1/incidents", json=said)).json()["id"]
    await decided(manager, incident, "submit")
    return incident


async def stolen(manager: Any, approver: Any, number: str, kind: str = "theft") -> int:
    incident = await declared(manager, number, kind)
    await decided(approver, incident, "approve")
    return incident


async def test_each_status_is_on_its_list(carrier, ladder):
    wanted = {
        "blocked": ("Yes", "No"),
        "suspect": ("No", "Yes"),
        "clear": ("No", "No"),
        "unknown": ("No", "No"),
    }
    for status, on in wanted.items():
        number = ladder[status]
        for asked in (number[:14], number, number[:14] + "0", number[:14] + "07"):
            body = await checked(carrier, asked, partnerid="Acme")
            assert (lists(body), body["deviceid"], body["partnerid"]) == (on, number[:14], "Acme")
        assert history(body) == ([INSERT] if status == "blocked" else [])


async def test_a_form_and_json_are_answered_alike(carrier, ladder):
    said = {"deviceid": ladder["blocked"], "partnerid": "Réparations & Cie", "branchid": "7"}
    by_form = told(await carrier.post(CHECK, data=said), 200, DEVICE_CHECK)
    assert told(await carrier.post(CHECK, json=said), 200, DEVICE_CHECK) == by_form
    assert by_form["partnerid"] == "Réparations & Cie"


async def test_what_is_held_is_quoted_by_its_reference(carrier, ladder):
    for status, number in ladder.items():
        response = await carrier.post(CHECK, data={"deviceid": number})
        ours = (await carrier.get(f"/v1/status/{number}")).json()["reference"]
        assert (ours is not None) == (status in ("blocked", "suspect"))
        assert told(response, 200, DEVICE_CHECK)["refcode"] == (ours or response.headers["x-request-id"])


async def test_every_block_is_remembered_with_its_end(carrier, manager, approver):
    number, before = stock(1).imeis[0], datetime.now(UTC).replace(microsecond=0)
    first = await stolen(manager, approver, number)
    assert history(await checked(carrier, number)) == [INSERT]
    await decided(approver, first, "lift", scope={"imeis": [number]})
    assert history(await checked(carrier, number)) == [INSERT, REMOVE]
    second = await stolen(manager, approver, number, "loss")
    body = await checked(carrier, number)
    assert (lists(body), history(body)) == (("Yes", "No"), [INSERT, REMOVE, INSERT])
    await decided(manager, second, "withdraw", reason="It was in another bay.")
    body = await checked(carrier, number)
    assert (lists(body), history(body)) == (("No", "No"), [INSERT, REMOVE, INSERT, REMOVE])
    dates = [datetime.fromisoformat(entry["date"]).replace(tzinfo=UTC) for entry in body["imeihistory"]]
    assert dates == sorted(dates)
    assert before <= dates[0] <= dates[-1] <= datetime.now(UTC) + timedelta(seconds=1)


async def test_what_was_only_suspected_leaves_no_trace(carrier, manager, approver):
    number = stock(1).imeis[0]
    rejected = await declared(manager, number)
    assert lists(await checked(carrier, number)) == ("No", "Yes")
    await decided(approver, rejected, "reject", reason="Nothing is missing.")
    withdrawn = await declared(manager, number)
    await decided(manager, withdrawn, "withdraw", reason="Nothing is missing.")
    body = await checked(carrier, number)
    assert (lists(body), history(body)) == (("No", "No"), [])


async def test_two_incidents_at_once_are_one_block(carrier, manager, approver):
    """Nobody learns from the history how many incidents there were."""
    number = stock(1).imeis[0]
    first = await stolen(manager, approver, number)
    second = await stolen(manager, approver, number)
    await decided(approver, first, "lift", scope={"imeis": [number]})
    body = await checked(carrier, number)
    assert (lists(body), history(body)) == (("Yes", "No"), [INSERT])
    await decided(approver, second, "lift", scope={"imeis": [number]})
    assert history(await checked(carrier, number)) == [INSERT, REMOVE]


async def test_no_incident_and_no_owner_is_told(carrier, goods_in, manager, approver):
    known = stock(1)
    await register(goods_in, known)
    number = known.imeis[0]
    said = {
        "title": "Paris, dock 4", "site": "PAR-1", "police_reference": "PV 2026/1234", "country": "FR",
        "scope": {"imeis": [number]},
    }  # fmt: skip
    incident = (await manager.post("/v1/incidents", json=said)).json()["id"]
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    text = (await carrier.post(CHECK, data={"deviceid": number})).text
    for secret in ("Paris", "PAR-1", "PV 2026", '"FR"', "Retailer", known.pallet, "SN0", "499"):
        assert secret not in text


async def test_brand_and_model_come_from_the_tac(carrier, admin, ladder):
    tac = "35210077"
    file = f"tac,brand,model\n{tac},Nordlys,Phone X\n".encode()
    assert (await admin.post("/v1/tacs?source=check", content=file, headers=CSV)).status_code == 201
    body = await checked(carrier, f"{tac}0000019")
    names = ("manufacturer", "brandname", "marketingname", "modelname")
    assert [body[name] for name in names] == ["Nordlys", "Nordlys", "Phone X", "Phone X"]
    body = await checked(carrier, "35210078000001")
    assert [body[name] for name in names] == [""] * 4


@pytest.fixture(scope="module")
async def named(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway that says whose it is, and which codes it uses for fraud."""
    settings = {
        "device_check_by": "Retailer SA",
        "device_check_country": "France",
        "device_check_fraud_codes": "1234,1235",
    }
    async with serving(cluster, template, tmp_path_factory.mktemp("named"), "web", **settings) as gateway:
        yield gateway


async def test_who_blocks_and_the_codes_of_fraud_are_settings(named, carrier, gateway):
    number = stock(1).imeis[0]
    for which, codes, by, country in (
        (named, ["1234", "1235"], "Retailer SA", "France"),
        (gateway, ["", ""], "", ""),
    ):
        incident = await stolen(which["incident-manager"], which["approver"], number, "fraud")
        await decided(which["approver"], incident, "lift", scope={"imeis": [number]})
        body = await checked(which["carrier"], number)
        entries = body["imeihistory"]
        assert [entry["reasoncode"] for entry in entries] == codes
        assert [entry["reasoncodedesc"] for entry in entries] == ["Fraud", "Fraud cleared"]
        assert {(entry["by"], entry["Country"]) for entry in entries} == {(by, country)}


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", FORM, "body-wrong"),
        (b"partnerid=x", FORM, "body-wrong"),
        (b"deviceid=", FORM, "imei-malformed"),
        (b"deviceid=1", FORM, "imei-malformed"),
        (b"deviceid=49015420323751801", FORM, "imei-malformed"),
        (b"deviceid=A00000009296F4", FORM, "imei-malformed"),
        (b"deviceid=490154203237518&deviceid=490154203237518", FORM, "form-name-twice"),
        (b"deviceid=%ff", FORM, "form-not-text"),
        (b"deviceid=\xff", FORM, "form-not-text"),
        (b"deviceid=490154203237518&partnerid=" + b"x" * 101, FORM, "body-wrong"),
        (b"", JSON, "body-empty"),
        (b"{", JSON, "body-malformed"),
        (b"[]", JSON, "body-wrong"),
        (b'{"deviceid": 490154203237518}', JSON, "body-wrong"),
        (b'{"deviceid": "490154203237518", "deviceid": "1"}', JSON, "body-name-twice"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_bodies_that_are_not_in_form(carrier, body, headers, code):
    assert len(refused(await carrier.post(CHECK, content=body, headers=headers), 400, code)) > 20


async def test_who_may_not_ask_is_told_so_in_its_form(nobody, goods_in):
    answer = await nobody.post(CHECK, data={"deviceid": "490154203237518"})
    refused(answer, 401, "key-missing")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    forbidden = await goods_in.post(CHECK, content=b"\xff", headers=FORM)
    assert "status:read" in refused(forbidden, 403, "permission-missing")


async def test_what_is_not_there_is_refused_in_its_form(carrier):
    for path in ("/device-check/", "/device-check/v1", "/device-check/v2/query", f"{CHECK}/1"):
        refused(await carrier.post(path, data={"deviceid": "490154203237518"}), 404, "no-such-resource")
    answer = await carrier.get(CHECK)
    refused(answer, 405, "method")
    assert answer.headers["allow"] == "OPTIONS, POST"
    refused(await carrier.post(f"{CHECK}?deviceid=1", json={}), 400, "query-wrong")


async def test_bodies_that_are_not_taken(carrier):
    answer = await carrier.post(CHECK, content=b"490154203237518", headers={"content-type": "text/plain"})
    refused(answer, 415, "body-not-json")
    assert answer.headers["accept"] == "application/x-www-form-urlencoded, application/json"
    zipped = {**FORM, "content-encoding": "gzip"}
    refused(await carrier.post(CHECK, content=b"x", headers=zipped), 415, "body-compressed")
    for headers in (FORM, JSON):
        large = await carrier.post(CHECK, content=b"x" * 65_537, headers=headers)
        assert "65,536 bytes" in refused(large, 413, "body-too-large")


async def test_a_quota_that_is_used_up(gateway):
    made = await gateway.new_key(Role.CARRIER)
    await gateway.execute("UPDATE api_key SET quota = 1 WHERE key_id = $1", made.key_id)
    headers = {"authorization": f"Bearer {made.key}"}
    asked = {"deviceid": "490154203237518"}
    async with gateway.bare() as client:
        told(await client.post(gateway.url + CHECK, data=asked, headers=headers), 200, DEVICE_CHECK)
        answer = await client.post(gateway.url + CHECK, data=asked, headers=headers)
    refused(answer, 429, "quota-exhausted")
    assert int(answer.headers["retry-after"]) > 0
