"""Test IMEIs: they always answer the same, in every way of asking, and nobody can register or declare them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from app.blocklist import lookout
from app.blocklist.specimens import SPECIMENS
from app.core import imei

from .asking import CSV, places, problem, register, stock

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TOLD = re.findall(r"^\| `(00990099\d{7})` \| (\w+) \| ([\w–]+) \| ([\w–-]+) \|$", README, re.MULTILINE)
STOLEN = imei.full(min(SPECIMENS))
IN_5G = {"blocked": "BLACKLISTED", "suspect": "GREYLISTED", "clear": "WHITELISTED", "unknown": None}


def test_the_readme_tells_of_each():
    found = [
        (imei.full(key), it.status, it.reason or "–", it.reference or "–") for key, it in SPECIMENS.items()
    ]
    assert found == TOLD
    assert {status for _, status, _, _ in TOLD} == set(IN_5G)
    assert {reason for _, _, reason, _ in TOLD} == {"stolen", "lost", "fraud", "–"}


@pytest.mark.parametrize(("number", "status", "reason", "reference"), TOLD)
async def test_each_answers_the_same_in_every_way_of_asking(carrier, number, status, reason, reference):
    forms = [number, number[:14], number[:14] + "07", f"urn:gsma:imei:{number[:8]}-{number[8:14]}-0"]
    one_by_one = [(await carrier.get(f"/v1/status/{form}")).json() for form in forms]
    together = (await carrier.post("/v1/status", json={"imeis": forms})).json()["results"]
    since = "2026-01-01T00:00:00Z" if status in ("blocked", "suspect") else None
    version = 1 if status == "blocked" else 0
    held = {name: None if it == "–" else it for name, it in (("reason", reason), ("reference", reference))}
    for form, one, other in zip(forms, one_by_one, together, strict=True):
        assert other == {"imei": form, "status": status, "since": since, "version": version, **held}
        assert one == {**other, "as_of": one["as_of"]}
    core = await carrier.get("/n5g-eir-eic/v1/equipment-status", params={"pei": f"imei-{number[:14]}0"})
    assert core.json().get("status") == (IN_5G[status] or 404)
    shop = await carrier.post("/device-authenticity/vwip/check-status", json={"imei": number})
    assert shop.json()["operationalStatus"] == {"blocked": reason, "clear": "allowed"}.get(status, "unknown")
    assert shop.json().get("reportedDate") == (since if status == "blocked" else None)
    desk = (await carrier.post("/device-check/v1/query", data={"deviceid": number})).json()
    assert (desk["blockliststatus"] == "Yes", desk["generalliststatus"] == "Yes") == (
        status == "blocked",
        status == "suspect",
    )
    assert [entry["date"] for entry in desk["imeihistory"]] == ["2026-01-01 00:00:00.0"] * (
        status == "blocked"
    )


async def test_no_incident_holds_them(manager):
    assert (await manager.get(f"/v1/status/{STOLEN}")).json()["incidents"] == []
    for _, _, _, reference in TOLD:
        found = await manager.get("/v1/incidents", params={"reference": reference})
        assert found.status_code == 200
        assert found.json()["incidents"] == []


@pytest.mark.parametrize("written", [STOLEN, f"{STOLEN[:6]} {STOLEN[6:12]} {STOLEN[12:]}"])
async def test_goods_in_rejects_them_and_takes_the_others(goods_in, written):
    goods = stock(1)
    goods.lines.append(f"{written},,SN-SPECIMEN,08806090000003,,PAR-1,Retailer,Phone X,,")
    receipt = await register(goods_in, goods)
    assert (receipt["registered"], receipt["rejected"]) == (1, 1)
    (found,) = (await goods_in.get(receipt["rejections_url"])).json()["rejections"]
    assert (found["code"], found["value"]) == ("imei-test", written)
    assert "is for tests" in found["sentence"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps({"devices": [{"imeis": [STOLEN]}]})),
        ("application/x-ndjson", json.dumps({"imei": STOLEN})),
        (
            "application/edifact",
            "UNB+UNOC:3+9506000122223:14+9506000111117:14+260302:0615+1'UNH+1+DESADV:D:96A:UN:EAN005'"
            f"BGM+351+SPECIMEN+9'CPS+1'LIN+1++9506000134352:SRV'QTY+12:1'GIN+BN+{STOLEN}'UNT+7+1'UNZ+1+1'",
        ),
    ],
    ids=["json", "ndjson", "desadv"],
)
async def test_whatever_the_file_they_are_rejected(goods_in, kind, body):
    answer = await goods_in.post("/v1/receipts", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["rejected"]) == (201, 1), answer.text
    (found,) = (await goods_in.get(answer.json()["rejections_url"])).json()["rejections"]
    assert found["code"] == "imei-test"


async def test_they_cannot_be_declared_lifted_or_moved(manager, goods_in):
    named = {"imeis": ["490154203237518", STOLEN]}
    declared = problem(await manager.post("/v1/incidents", json={"title": "t", "scope": named}), 400)
    assert {flaw["code"] for flaw in declared["errors"]} == {"imei-test"}
    assert set(places(declared)) == {"/scope/imeis/1"}
    moves = {"moves": [{"to": "340123450000000018", "imeis": [STOLEN]}]}
    moved = problem(await goods_in.post("/v1/movements", json=moves), 400)
    assert {flaw["code"] for flaw in moved["errors"]} == {"imei-test"}


@pytest.mark.parametrize(
    "epc",
    [
        f"urn:gsma:imei:{STOLEN[:8]}-{STOLEN[8:14]}-0",
        f"https://id.gs1.org/8002/{STOLEN}",
        f"https://id.gs1.org/01/09506000134352/21/{STOLEN}",
        f"urn:epc:id:sgtin:9506000.013435.{STOLEN}",
    ],
    ids=["imei", "8002", "serial", "sgtin"],
)
async def test_no_event_brings_them_in(goods_in, epc):
    event = {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "ObjectEvent",
        "action": "OBSERVE",
        "bizStep": "receiving",
        "eventTime": "2026-01-02T03:04:05Z",
        "eventTimeZoneOffset": "+00:00",
        "epcList": [epc],
    }
    refused = problem(await goods_in.post("/epcis/events", json=event), 400)
    assert {flaw["code"] for flaw in refused["errors"]} == {"imei-test"}


async def test_they_are_on_no_list(carrier, goods_in):
    goods = stock(1)
    await goods_in.post("/v1/receipts", content=goods.csv, headers=CSV)
    whole = (await carrier.get("/v1/blocklist")).text
    changes = (await carrier.get("/v1/blocklist/changes", params={"limit": 10_000})).text
    assert "00990099" not in whole + changes


async def test_who_asks_for_them_or_reports_them_is_no_lead(carrier, manager):
    await carrier.post("/v1/status", json={"imeis": [number for number, *_ in TOLD]})
    reports = {"sightings": [{"imei": number} for number, *_ in TOLD]}
    assert (await carrier.post("/v1/sightings", json=reports)).json() == {"taken": 0}
    await asyncio.sleep(2 * lookout.EVERY)
    for number, *_ in TOLD:
        found = await manager.get("/v1/sightings", params={"imei": number})
        assert found.json()["sightings"] == []
