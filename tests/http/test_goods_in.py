"""Goods-in over HTTP: every format, what was rejected and why, and the devices that came of it."""

from __future__ import annotations

import json

from app.core import imei

from .asking import CSV, JSON, problem, register, stock


async def test_csv_is_registered_and_repeats_change_nothing(goods_in):
    goods = stock(3)
    first = await register(goods_in, goods)
    assert (first["rows"], first["registered"], first["unchanged"], first["rejected"]) == (3, 3, 0, 0)
    again = await register(goods_in, goods)
    assert (again["rows"], again["registered"], again["unchanged"]) == (3, 0, 3)
    read = (await goods_in.get(f"/v1/receipts/{first['receipt_id']}")).json()
    assert read["registered"] == 3
    assert read["source"] == "api:csv"


async def test_where_the_receipt_stands(goods_in):
    response = await goods_in.post("/v1/receipts", content=stock(1).csv, headers=CSV)
    assert (await goods_in.get(response.headers["location"])).json()["rows"] == 1
    assert (await goods_in.get(response.json()["rejections_url"])).json()["rejections"] == []
    assert (await goods_in.get(response.json()["warnings_url"])).json()["findings"] == []


async def test_ndjson_and_json_are_registered(goods_in):
    one, two = stock(2), stock(2)
    lines = "".join(json.dumps({"imeis": phone, "pallet": one.pallet}) + "\n" for phone in one.phones)
    response = await goods_in.post(
        "/v1/receipts", content=lines.encode(), headers={"content-type": "application/x-ndjson"}
    )
    assert (response.status_code, response.json()["registered"]) == (201, 2)
    document = {"devices": [{"imeis": phone, "pallet": two.pallet} for phone in two.phones]}
    response = await goods_in.post("/v1/receipts", json=document)
    assert (response.status_code, response.json()["registered"]) == (201, 2)


async def test_what_holds_for_all_rows(goods_in):
    number = stock(1).imeis[0]
    await goods_in.post(
        "/v1/receipts", params={"site": "LYS-2", "owner": "Shop"}, content=f"imei\n{number}\n", headers=CSV
    )
    (device,) = (await goods_in.get("/v1/devices", params={"imei": number})).json()["devices"]
    assert (device["site"], device["owner"], device["status"]) == ("LYS-2", "Shop", "clear")


async def test_bad_rows_cost_themselves_only(goods_in):
    goods = stock(2)
    wrong = goods.imeis[0][:14] + str((int(goods.imeis[0][14]) + 1) % 10)
    goods.lines += [f"{wrong},,S-1,,,,,,,", "350000000000000,,S-2,12,,,,,abc,EUR"]
    receipt = await register(goods_in, goods)
    assert (receipt["registered"], receipt["rejected"]) == (2, 2)
    found = (await goods_in.get(receipt["rejections_url"])).json()["rejections"]
    first = found[0]
    assert (first["line"], first["code"], first["value"]) == (4, "imei-check-digit", wrong)
    assert f"its last digit would be {goods.imeis[0][14]}" in first["sentence"]
    assert {one["code"] for one in found if one["line"] == 5} == {"gtin-malformed", "imei-check-digit"}


async def test_warnings_are_on_rows_that_stand(goods_in):
    key = 4_000000_000000 + int(stock(1).imeis[0][8:14])
    response = await goods_in.post("/v1/receipts", content=f"imei\n{imei.full(key)}\n", headers=CSV)
    assert (response.json()["registered"], response.json()["warnings"]) == (1, 1)
    (found,) = (await goods_in.get(response.json()["warnings_url"])).json()["findings"]
    assert found["code"] == "imei-reporting-body"


async def test_rejections_come_in_pages(goods_in):
    body = "imei\n" + "".join(f"{number}\n" for number in range(7))
    url = (await goods_in.post("/v1/receipts", content=body, headers=CSV)).json()["rejections_url"]
    lines, cursor = [], "0"
    while cursor:
        page = (await goods_in.get(url, params={"limit": 3, "cursor": cursor})).json()
        lines += [one["line"] for one in page["rejections"]]
        cursor = page["next"]
    assert lines == [2, 3, 4, 5, 6, 7, 8]


async def test_devices_come_in_pages(goods_in, manager):
    goods = stock(5)
    receipt = await register(goods_in, goods)
    found, cursor, pages = [], "0", 0
    while cursor:
        page = (
            await manager.get("/v1/devices", params={"pallet": goods.pallet, "limit": 2, "cursor": cursor})
        ).json()
        found += [tuple(device["imeis"]) for device in page["devices"]]
        cursor, pages = page["next"], pages + 1
    assert (found, pages) == (goods.phones, 3)
    by_receipt = (await manager.get("/v1/devices", params={"receipt": receipt["receipt_id"]})).json()
    assert len(by_receipt["devices"]) == 5
    serial = by_receipt["devices"][0]["serial"]
    assert len((await manager.get("/v1/devices", params={"serial": serial})).json()["devices"]) == 1


async def test_receipts_come_in_pages_the_newest_first(goods_in, manager):
    kinds = ("arrival", "announcement", "arrival", "arrival")
    made = []
    for kind in kinds:
        said = {"supplier": "Pages Ltd", "kind": kind}
        answer = await goods_in.post("/v1/receipts", params=said, content=stock(1).csv, headers=CSV)
        made.append(answer.json()["receipt_id"])

    async def pages(**wanted):
        found, cursor = [], "0"
        while cursor:
            page = (await manager.get("/v1/receipts", params={**wanted, "limit": 2, "cursor": cursor})).json()
            found, cursor = found + page["receipts"], page["next"]
        return found

    of_all = await pages()
    assert [one["receipt_id"] for one in of_all[:4]] == made[::-1]
    assert len(of_all) > 4
    assert [one["receipt_id"] for one in await pages(supplier="Pages Ltd")] == made[::-1]
    (announced,) = await pages(supplier="Pages Ltd", kind="announcement")
    read = (await manager.get(f"/v1/receipts/{made[1]}")).json()
    assert announced == read
    assert {one["kind"] for one in await pages(kind="announcement")} == {"announcement"}
    assert await pages(supplier="pages ltd") == []


async def test_a_submission_that_is_unusually_large_says_how_it_is_confirmed(goods_in):
    said = {"supplier": "Sizes Ltd"}
    await goods_in.post("/v1/receipts", params=said, content=stock(1).csv, headers=CSV)
    goods = stock(1001)
    refused = await goods_in.post("/v1/receipts", params=said, content=goods.csv, headers=CSV)
    detail = problem(refused, 409, "size-unusual")["detail"]
    assert "more than 1,000 rows, and nothing was registered" in detail
    assert "The largest of the latest ones of Sizes Ltd had 1 row, and up to 1,000 pass unasked." in detail
    assert detail.endswith("send it again with confirm= and its number of rows.")
    taken = await goods_in.post(
        "/v1/receipts", params={**said, "confirm": 1001}, content=goods.csv, headers=CSV
    )
    assert taken.json()["registered"] == 1001


async def test_a_serial_is_looked_for_with_its_gtin(goods_in, manager):
    rows = "serial,gtin\nPAIR-1,09506000134352\nPAIR-1,09521234543213\n"
    await goods_in.post("/v1/receipts", content=rows, headers=CSV)
    for serial, devices in (
        ("PAIR-1", 2),
        ("(01)09521234543213(21)PAIR-1", 1),
        ("(01)09521234543213(21)X", 0),
    ):
        found = (await manager.get("/v1/devices", params={"serial": serial})).json()["devices"]
        assert len(found) == devices
        assert {one["serial"] for one in found} <= {"PAIR-1"}


async def test_the_dock_says_which_pallets_are_meant(goods_in):
    one, two = stock(1), stock(2)
    announced = {"kind": "announcement"}
    for goods in (one, two):
        await goods_in.post("/v1/receipts", params=announced, content=goods.csv, headers=CSV)
    one.lines, two.lines = [two.lines[0].replace(two.pallet, one.pallet)], two.lines[1:]
    for goods in (one, two):
        await register(goods_in, goods)
    seen = (await goods_in.get(f"/v1/pallets/{one.pallet}")).json()
    (surplus,) = seen["surplus"]
    assert (surplus["pallet"], surplus["announced_for"]) == (one.pallet, two.pallet)
    (elsewhere,) = (await goods_in.get(f"/v1/pallets/{two.pallet}")).json()["elsewhere"]
    assert (elsewhere["pallet"], elsewhere["announced_for"]) == (one.pallet, two.pallet)


async def test_a_device_is_looked_for_in_one_way(manager):
    problem(await manager.get("/v1/devices"), 400, "one-filter")
    problem(
        await manager.get("/v1/devices", params={"serial": "A", "imei": "490154203237518"}), 400, "one-filter"
    )


async def test_nothing_at_a_number_that_no_receipt_has(goods_in):
    for place in ("", "/rejections", "/warnings"):
        problem(await goods_in.get(f"/v1/receipts/999999{place}"), 404, "missing")


async def test_a_document_that_is_half_wrong_registers_its_other_half(goods_in):
    good = stock(1)
    document = {"devices": [{"imeis": [12]}, {"imeis": good.imeis[:1]}, {"serial": ["x"]}]}
    answer = (await goods_in.post("/v1/receipts", content=json.dumps(document), headers=JSON)).json()
    assert (answer["rows"], answer["registered"], answer["rejected"]) == (3, 1, 2)


async def test_a_wrong_price_keeps_no_device_out_and_a_later_row_fills_it_in(goods_in):
    number = stock(1).imeis[0]
    for value, expected in (("1.299", ("registered", 1, None)), ("1.299,00 €", ("updated", 0, "1299.00"))):
        response = await goods_in.post(
            "/v1/receipts", content=f"imei;price\n{number};{value}\n".encode(), headers=CSV
        )
        became, warnings, worth = expected
        assert (response.json()[became], response.json()["warnings"]) == (1, warnings), response.text
        (device,) = (await goods_in.get("/v1/devices", params={"imei": number})).json()["devices"]
        assert device["unit_value"] == worth


async def test_a_supplier_with_a_mapping_may_send_another_file_unless_the_mapping_is_asked_for(goods_in):
    columns = {"columns": {"Handset": "imei", "Case": "pallet"}}
    assert (await goods_in.put("/v1/mappings/Sender", json=columns)).status_code in (200, 201)

    async def sent(header: str, **params: str):
        body = f"{header}\n{stock(1).imeis[0]}\n"
        return await goods_in.post("/v1/receipts", params=params, content=body, headers=CSV)

    for header, warnings in (("Handset", 1), ("imei", 0)):
        receipt = (await sent(header, supplier="Sender")).json()
        assert (receipt["registered"], receipt["warnings"]) == (1, warnings), receipt
    refused = problem(await sent("imei", mapping="Sender", supplier="Sender"), 400, "columns-wrong")
    assert len(refused["errors"]) == 2
