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
