"""Wrong goods-in files: what can be read is registered, and every line that cannot is told."""

from __future__ import annotations

import gzip
import json

import pytest

from .asking import CSV, JSON, places, problem, stock

DEEP = b"[" * 100_000


async def test_a_file_that_is_no_text_says_what_would_be(goods_in):
    for body, code in (
        (b"PK\x03\x04 a spreadsheet", "xlsx-broken"),
        (gzip.compress(b"imei\n490154203237518\n")[:-1], "gzip-broken"),
        (b"\xd0\xcf\x11\xe0 an old one", "format-unknown"),
        (b"%PDF-1.7", "format-unknown"),
    ):
        problem(await goods_in.post("/v1/receipts", content=body), 400, code)


@pytest.mark.parametrize("query", ["site=a%00", "site=" + "a" * 201, "owner=a%0Ab", "currency=eurx"])
async def test_defaults_that_no_row_could_have(goods_in, query):
    body = problem(await goods_in.post(f"/v1/receipts?{query}", content=stock(1).csv, headers=CSV), 400)
    assert set(places(body)) == {query.partition("=")[0]}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "file-empty"),
        (b"\n\n", "file-empty"),
        (b"imei1,serial\n", "file-empty"),
        (b"colour,size\nred,5\n", "header-wrong"),
        (b"x" * 1_000_000, "header-wrong"),
        (b"," * 1_000_000 + b"\n1\n", "header-wrong"),
        (b"\0" * 1_000, "header-wrong"),
        ("imei\n490154203237518\n".encode("utf-32-le"), "header-wrong"),
    ],
    ids=lambda value: repr(value[:16]),
)
async def test_files_that_cannot_be_read_at_all(goods_in, body, code):
    problem(await goods_in.post("/v1/receipts", content=body, headers=CSV), 400, code)


@pytest.mark.parametrize(
    "body",
    [
        b'imei,serial\n"490154203237518,A\n490154203237526,B\n',
        b"imei,serial\n4.90154E+14,A\n",
        b'imei,serial\n490154203237518,"=HYPERLINK(""x"")\n',
        b"imei,serial\n490154203237518,a\0b\n",
        b"imei,serial\n490154203237518,\xff\xfe\n490154203237526,\xc3\xa9\n",
        b"imei,serial\n" + b"9" * 500_000 + b",A\n",
        b"imei\n90154203237518\n",
    ],
)
async def test_rows_that_cannot_be_read_are_told_by_line(goods_in, body):
    response = await goods_in.post("/v1/receipts", content=body, headers=CSV)
    assert response.status_code == 201, response.text
    found = (await goods_in.get(response.json()["rejections_url"])).json()["rejections"]
    assert found
    assert {one["line"] for one in found} <= {2, 3}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"devices": 5}',
        b'{"devices": []}',
        b'{"devices": ' + DEEP,
        b"\xff",
        b'{"devices": [NaN]}',
    ],
)
async def test_documents_that_cannot_be_read_at_all(goods_in, body):
    problem(await goods_in.post("/v1/receipts", content=body, headers=JSON), 400)


async def test_lines_that_are_no_json_cost_themselves_only(goods_in):
    good = stock(1).imeis[0]
    lines = [
        b"{",
        b"\xff",
        b'"x"',
        DEEP,
        b'{"imeis": NaN}',
        b'{"serial": "\\u0000", "gtin": "08806090000003"}',
    ]
    body = b"\n".join([*lines, json.dumps({"imeis": [good]}).encode()])
    response = await goods_in.post(
        "/v1/receipts", content=body, headers={"content-type": "application/x-ndjson"}
    )
    answer = response.json()
    assert (answer["rows"], answer["registered"], answer["rejected"]) == (7, 1, 6)
