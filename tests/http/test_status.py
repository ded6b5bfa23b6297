"""What carriers ask, in our form and in 3GPP's, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from .asking import CSV, PROBLEM, decided, drafted, places, problem, register, statuses, stock

PEI = "/n5g-eir-eic/v1/equipment-status"


@pytest.fixture
async def ladder(goods_in, manager, approver) -> dict[str, str]:
    """An IMEI of each status."""
    known = stock(3)
    await register(goods_in, known)
    numbers = [phone[0] for phone in known.phones]
    found = {"blocked": numbers[0], "suspect": numbers[1], "clear": numbers[2], "unknown": stock(1).imeis[0]}
    for status in ("blocked", "suspect"):
        incident = await drafted(manager, imeis=[found[status]])
        await decided(manager, incident, "submit")
        if status == "blocked":
            await decided(approver, incident, "approve")
    return found


async def test_each_status_in_each_length(carrier, ladder):
    for status, number in ladder.items():
        for asked in (number[:14], number, number[:14] + "0", number[:14] + "07", f"urn:gsma:imei:{number}"):
            answer = (await carrier.get(f"/v1/status/{asked}")).json()
            assert (answer["imei"], answer["status"]) == (asked, status)
            assert (answer["since"] is not None) == (status in ("blocked", "suspect"))


async def test_answers_come_in_the_order_asked(carrier, ladder):
    order = ["unknown", "blocked", "clear", "blocked", "suspect"]
    assert await statuses(carrier, [ladder[status] for status in order]) == order
    assert await statuses(carrier, []) == []


async def test_many_at_once_each_get_their_own(carrier, ladder):
    asked = [*ladder.items()] * 50
    answers = await asyncio.gather(*(carrier.get(f"/v1/status/{number}") for _, number in asked))
    assert [answer.json()["status"] for answer in answers] == [status for status, _ in asked]


async def test_what_is_no_identifier_is_named_by_its_place(carrier):
    body = problem(await carrier.post("/v1/status", json={"imeis": ["490154203237518", "12", "x"]}), 400)
    assert set(places(body)) == {"/imeis/1", "/imeis/2"}


@pytest.mark.parametrize(
    "asked", ["1", "4901542032375", "49015420323751801", "３５２０９９０００００００１", "%00", "%ff", "-"]
)
async def test_malformed_identifiers_are_refused(carrier, asked):
    problem(await carrier.get(f"/v1/status/{asked}"), 400, "imei-malformed")


async def test_ten_thousand_are_taken_and_one_more_is_not(carrier):
    many = ["490154203237518"] * 10_000
    assert len(await statuses(carrier, many)) == 10_000
    body = problem(await carrier.post("/v1/status", json={"imeis": [*many, many[0]]}), 400)
    assert "at most 10,000" in places(body)["/imeis"]


async def test_devices_without_an_imei_are_asked_for_by_gtin_and_serial(carrier, goods_in, manager, approver):
    """A tablet that is registered, one that nobody registered, and a phone by its serial."""
    known, gtin = stock(2), "08806090000003"
    tablets = [f"TAB-{known.pallet}-{number}" for number in range(2)]
    lines = "".join(f"{tablet},{gtin}\n" for tablet in tablets)
    await goods_in.post("/v1/receipts", content=f"serial,gtin\n{lines}".encode(), headers=CSV)
    await register(goods_in, known)
    phone = known.lines[0].split(",")[2]
    stranger = f"(01)09521234543213(21)X-{known.pallet}"
    incident = await drafted(
        manager, serials=[f"(01){gtin}(21){tablets[0]}", stranger], imeis=[known.phones[0][1]]
    )
    await decided(manager, incident, "submit")
    await decided(approver, incident, "approve")
    wanted = {
        f"(01){gtin}(21){tablets[0]}": "blocked",
        f"https://id.gs1.org/01/{gtin}/21/{phone}": "blocked",
        stranger: "blocked",
        f"(01){gtin}(21){tablets[1]}": "clear",
        f"(01)09521234543213(21){tablets[0]}": "unknown",
        tablets[0]: "unknown",
    }
    for serial, status in wanted.items():
        answer = (await carrier.get("/v1/status", params={"serial": serial})).json()
        assert (answer["serial"], answer["status"]) == (serial, status)
    many = (await carrier.post("/v1/status", json={"serials": list(wanted)})).json()
    assert {row["serial"]: row["status"] for row in many["serials"]} == wanted


async def test_a_serial_that_cannot_be_right_is_refused(carrier):
    problem(await carrier.get("/v1/status"), 400, "serial-missing")
    problem(await carrier.get("/v1/status", params={"serial": " "}), 400, "serial-malformed")
    body = problem(await carrier.post("/v1/status", json={"serials": ["A", ""]}), 400, "serial-malformed")
    assert set(places(body)) == {"/serials/1"}
    both = {"imeis": ["490154203237518"] * 9_999, "serials": ["A"] * 2}
    problem(await carrier.post("/v1/status", json=both), 400, "too-many")


async def test_3gpp_says_it_in_its_words(carrier, ladder):
    words = {"blocked": "BLACKLISTED", "suspect": "GREYLISTED", "clear": "WHITELISTED"}
    for status, word in words.items():
        number = ladder[status]
        for pei in (f"imei-{number}", f"imei-{number[:14]}0", f"imeisv-{number[:14]}07"):
            response = await carrier.get(PEI, params={"pei": pei, "supi": "imsi-001010000000001"})
            assert (response.status_code, response.json()) == (200, {"status": word})


async def test_3gpp_unknown_equipment(carrier, ladder):
    for pei in (f"imei-{ladder['unknown']}", "mac-00-00-5E-00-53-00", "anything"):
        response = await carrier.get(PEI, params={"pei": pei})
        assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
        assert response.json()["cause"] == "ERROR_EQUIPMENT_UNKNOWN"


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        ({}, "MANDATORY_QUERY_PARAM_MISSING"),
        ({"pei": ""}, "MANDATORY_QUERY_PARAM_INCORRECT"),
        ({"pei": "imei-12"}, "MANDATORY_QUERY_PARAM_INCORRECT"),
        ({"pei": "imei-３５２０９９０００００００１５"}, "MANDATORY_QUERY_PARAM_INCORRECT"),
    ],
)
async def test_3gpp_wrong_questions(carrier, params, cause):
    response = await carrier.get(PEI, params=params)
    assert (response.status_code, response.headers["content-type"]) == (400, PROBLEM)
    body = response.json()
    assert (body["cause"], body["status"]) == (cause, 400)
    assert body["invalidParams"][0]["param"] == "query pei"


async def test_a_5g_core_speaks_http_2(gateway, ladder):
    headers = {"authorization": f"Bearer {gateway.keys['carrier']}"}
    async with httpx.AsyncClient(
        base_url=gateway.url, http1=False, http2=True, headers=headers, trust_env=False
    ) as core:
        asked = [core.get(PEI, params={"pei": f"imei-{ladder['blocked']}"}) for _ in range(20)]
        for response in await asyncio.gather(*asked):
            assert response.http_version == "HTTP/2"
            assert response.json() == {"status": "BLACKLISTED"}
