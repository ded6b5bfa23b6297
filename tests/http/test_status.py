"""What carriers ask, in our form."""

from __future__ import annotations

import asyncio

import pytest

from .asking import CSV, decided, drafted, places, problem, register, statuses, stock


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
