"""Those who keep a copy of the block list: the whole of it, and what changes, in order and at once."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import time
from typing import Any

import pytest

from .asking import decided, places, problem, register, stock

CHANGES = "/v1/blocklist/changes"


@pytest.fixture
def declare(manager, approver):
    """Declares IMEIs stolen; `until` the first person or the second."""

    async def declared(imeis: list[str], until: str = "approve", kind: str = "theft", **scope: Any) -> int:
        said = {"title": "Night of 22 December", "kind": kind, "scope": {"imeis": imeis, **scope}}
        incident: int = (await manager.post("/v1/incidents", json=said)).json()["id"]
        await decided(manager, incident, "submit")
        if until == "approve":
            await decided(approver, incident, "approve")
        return incident

    return declared


async def follow(client, cursor: str | None = None, **params: Any) -> dict[str, Any]:
    if cursor is not None:
        params["cursor"] = cursor
    response = await client.get(CHANGES, params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.fixture
async def here(carrier) -> str:
    """The cursor of those who have read everything that other tests left."""
    page = await follow(carrier, limit=10_000)
    while page["reached"] < page["as_of"]:
        page = await follow(carrier, page["cursor"], limit=10_000)
    cursor: str = page["cursor"]
    return cursor


def listed(text: str) -> dict[str, str]:
    rows = map(json.loads, text.splitlines())
    return {row["imei"]: row["status"] for row in rows if "imei" in row}


def said(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change["imei"], change["status"]) for change in page["changes"]]


async def test_changes_come_in_order_and_one_by_one(carrier, declare, manager, here):
    first, second = stock(2).imeis[:2]
    incident = await declare([first])
    await declare([second], until="submit")
    await decided(manager, incident, "withdraw", reason="found")
    page = await follow(carrier, here)
    assert said(page) == [
        (first[:14], "suspect"), (first[:14], "blocked"), (second[:14], "suspect"), (first[:14], "clear"),
    ]  # fmt: skip
    positions = [change["position"] for change in page["changes"]]
    assert positions == list(range(positions[0], positions[0] + 4))
    assert page["reached"] == page["as_of"] == positions[-1]
    cursor, one_by_one = here, []
    for _ in range(4):
        step = await follow(carrier, cursor, limit=1)
        one_by_one += step["changes"]
        cursor = step["cursor"]
    assert one_by_one == page["changes"]
    assert (await follow(carrier, cursor))["changes"] == []


async def test_who_waits_hears_at_once(carrier, declare, here):
    waiting = asyncio.create_task(follow(carrier, here, wait=30))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await declare([stock(1).imeis[0]], until="submit")
    assert len((await asyncio.wait_for(waiting, 5))["changes"]) == 1


async def test_who_waits_in_vain_is_told_so(carrier, here):
    began = time.monotonic()
    page = await follow(carrier, here, wait=1)
    assert (page["changes"], page["cursor"]) == ([], here)
    assert time.monotonic() - began >= 1


async def test_answers_say_as_of_when(carrier, declare, here):
    number = stock(1).imeis[0]
    before = (await carrier.get(f"/v1/status/{number}")).json()["as_of"]
    await declare([number])
    answer = (await carrier.get(f"/v1/status/{number}")).json()
    assert answer["as_of"] == before + 2 == (await follow(carrier, here))["as_of"]
    assert (answer["reason"], answer["version"]) == ("stolen", 1)
    change = (await follow(carrier, here))["changes"][-1]
    assert (change["reference"], change["at"]) == (answer["reference"], answer["since"])


async def test_the_incident_that_is_quoted_is_one_that_holds_it(carrier, manager, declare, here):
    number = stock(1).imeis[0]
    first = await declare([number])
    quoted = (await carrier.get(f"/v1/status/{number}")).json()
    second = await declare([number], kind="fraud")
    assert (await carrier.get(f"/v1/status/{number}")).json()["reference"] == quoted["reference"]
    seen = (await manager.get(f"/v1/status/{number}")).json()
    assert seen["incidents"] == [first, second]
    found = await manager.get("/v1/incidents", params={"reference": quoted["reference"].lower()})
    assert [one["id"] for one in found.json()["incidents"]] == [first]
    await decided(manager, first, "withdraw", reason="wrong list")
    now = (await carrier.get(f"/v1/status/{number}")).json()
    assert (now["status"], now["reason"], "incidents" in now) == ("blocked", "fraud", False)
    assert now["reference"] != quoted["reference"]
    assert (await follow(carrier, here))["changes"][-1]["reason"] == "fraud"


@pytest.mark.parametrize("cursor", ["x", "YmxvY2tsaXN0Oi0x", "YmxvY2tsaXN0OjAx", "é", ""])
async def test_what_is_no_cursor_is_refused(carrier, cursor):
    problem(await carrier.get(CHANGES, params={"cursor": cursor}), 400, "query-wrong")


async def test_a_cursor_from_elsewhere_is_gone(carrier):
    refused = await carrier.get(CHANGES, params={"cursor": "YmxvY2tsaXN0Ojk5OTk5OTk5OTk5"})
    said = problem(refused, 410, "cursor-gone")["detail"]
    assert "There is no position 99999999999 here" in said
    assert "Read the whole list" in said


async def test_the_same_as_cloudevents(carrier, declare, here):
    await declare([stock(1).imeis[0]])
    page = await follow(carrier, here)
    kind = "application/cloudevents-batch+json"
    response = await carrier.get(CHANGES, params={"cursor": here}, headers={"accept": kind})
    assert response.headers["content-type"] == kind
    assert [event["data"] for event in response.json()] == page["changes"]
    assert {event["specversion"] for event in response.json()} == {"1.0"}
    assert [event["id"] for event in response.json()] == [
        str(change["position"]) for change in page["changes"]
    ]
    assert page["cursor"] in response.headers["link"]


async def test_the_whole_list_in_each_form(carrier, goods_in, declare):
    known = stock(2)
    await register(goods_in, known)
    blocked, suspect = sorted(phone[0] for phone in known.phones)
    await declare([blocked])
    await declare([suspect], until="submit")
    await declare([], serials=['(01)09521234543213(21)A"\\,1'])
    answer = await carrier.get("/v1/blocklist")
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in answer.text.splitlines()]
    held = {row["imei"]: row for row in rows if "imei" in row}
    units = [(row["serial"], row["gtin"]) for row in rows if "serial" in row]
    assert units[-1] == ('A"\\,1', "09521234543213")
    assert held[blocked[:14]]["status"] == "blocked"
    assert held[suspect[:14]]["status"] == "suspect"
    assert list(held) == sorted(held)
    table = (await carrier.get("/v1/blocklist", params={"format": "csv"})).text.splitlines()
    assert table[0] == "imei,serial,gtin,status,since,reason,reference,version"
    cells = list(csv.DictReader(table))
    assert [row["imei"] for row in cells if row["imei"]] == list(held)
    assert [(row["serial"], row["gtin"]) for row in cells if row["serial"]] == units
    assert cells[-1]["status"] == "blocked"
    since = held[blocked[:14]]["since"][:10].replace("-", "")
    told = (await carrier.get("/v1/blocklist", params={"format": "operator"})).text.splitlines()
    assert told[0] == "imei,block_date,reasons"
    assert f"{blocked[:14]},{since},stolen" in told
    assert not any(line.startswith(suspect[:14]) for line in told)


async def test_a_copy_that_follows_is_the_list(carrier, declare, manager):
    """The whole list, and what changed since, come to the list as it is then."""
    numbers = stock(6).imeis
    incident = await declare(numbers[:3])
    answer = await carrier.get("/v1/blocklist")
    copy = listed(answer.text)
    cursor = answer.links["changes"]["url"].rpartition("=")[2]
    await declare(numbers[3:5])
    await decided(manager, incident, "withdraw", reason="found")
    for imei, status in said(await follow(carrier, cursor)):
        copy[imei] = status
    assert {imei: status for imei, status in copy.items() if status != "clear"} == listed(
        (await carrier.get("/v1/blocklist")).text
    )


async def test_what_one_has_is_not_sent_again(carrier, declare):
    await declare([stock(1).imeis[0]])
    first = await carrier.get("/v1/blocklist")
    tag = {"if-none-match": first.headers["etag"]}
    assert (await carrier.get("/v1/blocklist", headers=tag)).status_code == 304
    await declare([stock(1).imeis[0]])
    assert (await carrier.get("/v1/blocklist", headers=tag)).status_code == 200


async def test_it_comes_compressed_where_that_is_asked_for(carrier, declare):
    await declare(stock(3).imeis)
    plain = await carrier.get("/v1/blocklist", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with carrier.stream("GET", "/v1/blocklist", headers={"accept-encoding": "gzip"}) as response:
        raw = b"".join([piece async for piece in response.aiter_raw()])
    assert gzip.decompress(raw).decode() == plain.text
    assert response.headers["etag"] != plain.headers["etag"]


async def test_a_download_goes_on_where_it_broke_off(carrier, declare):
    await declare(stock(5).imeis)
    whole = (await carrier.get("/v1/blocklist")).text.splitlines()
    last = json.loads(whole[2])["imei"]
    assert (await carrier.get("/v1/blocklist", params={"after": last})).text.splitlines() == whole[3:]
    nobodys = await carrier.get("/v1/blocklist", params={"after": "(01)09521234543213(21)never listed"})
    assert "after" in places(problem(nobodys, 400, "serial-unknown"))


async def test_a_day_that_is_not_over_is_not_told(carrier, gateway):
    problem(await carrier.get("/v1/blocklist/days/2999-01-01"), 409, "day-not-over")
    problem(await carrier.get("/v1/blocklist/days/yesterday"), 404, "no-day")


PATHS = (CHANGES, "/v1/blocklist", "/v1/blocklist/days/2026-01-01", "/v1/blocklist/filter")


async def test_who_may_not(goods_in):
    for path in PATHS:
        problem(await goods_in.get(path), 403, "permission-missing")


@pytest.mark.parametrize("path", PATHS)
async def test_a_token_for_statuses_alone_reads_no_list(gateway, nobody, path):
    form = {
        "grant_type": "client_credentials",
        "client_secret": gateway.keys["carrier"],
        "scope": "status:read",
    }
    form["client_id"] = form["client_secret"].removeprefix("imei_")[:10]
    token = (await nobody.post("/oauth2/token", data=form)).json()["access_token"]
    refused = await nobody.get(path, headers={"authorization": f"Bearer {token}"})
    assert "blocklist:read" in problem(refused, 403, "scope-missing")["detail"]


async def test_a_spreadsheet_takes_no_serial_for_a_formula(carrier, declare):
    gtin = "08806090000003"
    serials = [f"{sign}CMD{stock(1).pallet[-6:]}" for sign in "=+-@"]
    await declare([], serials=[f"(01){gtin}(21){serial}" for serial in serials])
    lines = (await carrier.get("/v1/blocklist", params={"format": "csv"})).text.splitlines()
    assert {line.split(",")[1] for line in lines if "CMD" in line} == {f'"\'{serial}"' for serial in serials}
    exact = (await carrier.get("/v1/blocklist")).text
    assert all(f'"serial":"{serial}"' in exact for serial in serials)
