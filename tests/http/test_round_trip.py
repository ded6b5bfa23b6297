"""Dirty files and back: what is given back is fixed by what stands beside it, sent again, and in the end every device
is registered once, as its sender wrote it, and nothing else."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import httpx
import pytest

from app.core import imei

from ..unit import workbooks
from .asking import CSV, problem
from .dirty import FIELDS, FORMULA, HEADER, NOTE, TYPES, WRITTEN, Cells, Number, Sent, as_object, dirty

_numbers = itertools.count(1)

# Which cell a code speaks of, where it names one only.
SPOKEN_OF = {
    "gtin-malformed": "gtin", "pallet-malformed": "pallet", "text-too-long": "model",
    "serial-rounded": "serial", "wrong-type": "serial",
}  # fmt: skip
WHOLE = {"cells-miscounted", "quotes-wrong", "json-malformed"}


class Desk:
    """Somebody who fixes what was given back: reads the two columns, and looks into the sender's papers."""

    def __init__(self, rows: list[Sent]) -> None:
        self._papers = {row.device[NOTE]: row.device for row in rows}

    def fixed(self, cells: Cells, codes: str, sentence: str) -> Cells:
        """The cells with what the columns speak of put right, and everything else as it was given back."""
        found = set(codes.split())
        meant = self._meant(cells[NOTE] if not found & WHOLE else " ".join(cells.values()))
        if found & WHOLE:
            return dict(meant)
        right = dict(cells)
        for code in found:
            self._fix(right, code, sentence, meant)
        return right

    def _fix(self, cells: Cells, code: str, sentence: str, meant: Cells) -> None:
        if code == "imei-check-digit":
            digits, last = re.search(r"IMEI (\d{14})\d fails .* would be (\d)\.", sentence).groups()  # type: ignore[union-attr]
            cells["imei1"] = digits + last
        elif code == "imei-length":
            cells["imei1"] = re.search(r"check digit it would be (\d{15})", sentence)[1]  # type: ignore[index]
        elif code == "imei-not-digits":
            assert "digits of it are lost" in sentence
            cells["imei1"] = meant["imei1"]
        elif code == "text-control":
            assert "U+0007" in sentence
            cells["site"] = cells["site"].replace("\a", "")
        elif code == "cell-error":
            place = HEADER[ord(re.search(r"The cell ([A-Z])[0-9]+ says #REF!", sentence)[1]) - 65]  # type: ignore[index]
            cells[place] = meant[place]
        else:
            cells[SPOKEN_OF[code]] = meant[SPOKEN_OF[code]]

    def _meant(self, text: str) -> Cells:
        (found,) = {note for note in re.findall(r"-N\d+", text) if note in self._papers}
        return self._papers[found]


def csv_fixed(body: bytes, desk: Desk) -> tuple[bytes, int]:
    assert body.startswith(codecs.BOM_UTF8)
    header, *rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))
    assert header == [*FIELDS, f"'{NOTE}", "reject_code", "reject_sentence"]
    assert not [text for row in rows for text in row if text.startswith(FORMULA)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *_rows_fixed(rows, desk)])
    return text.getvalue().encode(), len(rows)


def xlsx_fixed(body: bytes, desk: Desk) -> tuple[bytes, int]:
    header, *rows = workbooks.texts(body)
    assert header == [*FIELDS, NOTE, "reject_code", "reject_sentence"]
    return workbooks.book(workbooks.table(header, *_rows_fixed(rows, desk))), len(rows)


def _rows_fixed(rows: list[list[str]], desk: Desk) -> Iterator[list[str]]:
    for row in rows:
        cells, (code, sentence), more = row[: len(HEADER)], row[len(HEADER) :][:2], row[len(HEADER) + 2 :]
        assert bool(more) == (code == "cells-miscounted" and "" not in cells[-1:])
        right = desk.fixed(dict(zip(HEADER, cells, strict=True)), code, sentence)
        yield [*(right[name] for name in HEADER), code, sentence]


def ndjson_fixed(body: bytes, desk: Desk) -> tuple[bytes, int]:
    lines = body.decode().splitlines()
    return "".join(f"{_object_fixed(text, desk)}\n" for text in lines).encode(), len(lines)


def _object_fixed(text: str, desk: Desk) -> str:
    said = json.loads(text, parse_float=Number)
    code, sentence = said.pop("reject_code"), said.pop("reject_sentence")
    first, second, *_ = [*said.pop("imeis", []), "", ""]
    right = desk.fixed({"imei1": first, "imei2": second, **said}, code, sentence)
    return as_object(Sent(right, right))


FIXED = {"csv": csv_fixed, "ndjson": ndjson_fixed, "xlsx": xlsx_fixed}


async def sent(client: httpx.AsyncClient, body: bytes, form: str) -> dict[str, Any]:
    response = await client.post("/v1/receipts", content=body, headers={"content-type": TYPES[form]})
    assert response.status_code == 201, response.text
    receipt: dict[str, Any] = response.json()
    return receipt


async def registered(client: httpx.AsyncClient, receipt: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The devices that a receipt brought, by what a sender says of one."""
    params = {"receipt": receipt["receipt_id"], "limit": 1000}
    found = (await client.get("/v1/devices", params=params)).json()
    assert found["next"] is None
    return (_told(one["imeis"], one) for one in found["devices"])


def _told(imeis: list[str], said: dict[str, Any]) -> tuple[Any, ...]:
    value = said["unit_value"]
    currency = said["currency"] if value else ""
    names = ("serial", "gtin", "pallet", "site", "owner", "model")
    return (*sorted(imeis), *(said[name] for name in names), str(value or ""), currency)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", ["csv", "ndjson", "xlsx"])
async def test_what_is_given_back_fixed_and_sent_again_is_registered_once(goods_in, form, seed):
    rows = dirty(form, Random(f"{form} {seed}"))
    meant = {row.device[NOTE]: row.device for row in rows}
    expected = sorted(
        _told([one[name] for name in ("imei1", "imei2") if one[name]], one) for one in meant.values()
    )
    file = WRITTEN[form](rows)
    first = await sent(goods_in, file, form)
    spoilt = [row for row in rows if row.codes]
    verdicts = (await goods_in.get(first["rejections_url"], params={"limit": 1000})).json()["rejections"]
    assert {one["code"] for one in verdicts} == {code for row in spoilt for code in row.codes}
    assert (first["rejected"], first["unchanged"]) == (len(spoilt), 3)

    given_back = (await goods_in.get(first["rejects_url"])).content
    fixed, count = FIXED[form](given_back, Desk(rows))
    assert count == len(spoilt)
    second = await sent(goods_in, fixed, form)
    assert (second["rejected"], second["registered"], second["unchanged"]) == (0, count, 0)
    found = [*await registered(goods_in, first), *await registered(goods_in, second)]
    assert sorted(found) == expected

    for body, rejected in ((file, len(spoilt)), (fixed, 0)):
        again = await sent(goods_in, body, form)
        assert (again["registered"], again["updated"], again["rejected"]) == (0, 0, rejected)


async def test_what_is_given_back_and_not_fixed_is_given_back_the_same(goods_in):
    # A line with too few cells is given back with empty ones at its end, which makes it whole.
    rows = [row for row in dirty("csv", Random("unfixed")) if not isinstance(row.line, list)]
    receipt = await sent(goods_in, WRITTEN["csv"](rows), "csv")
    given_back = (await goods_in.get(receipt["rejects_url"])).content
    again = await sent(goods_in, given_back, "csv")
    assert (again["registered"], again["rejected"]) == (0, receipt["rejected"])


async def test_numbers_of_rejected_objects_are_given_back_digit_by_digit(goods_in):
    line = b'{"imeis":[3.5209900176148e+14],"pallet":106141412345678908123,"unit_value":499.90}'
    deep = b'{"a":' * 9_000
    response = await goods_in.post(
        "/v1/receipts", content=b"\n".join([line, deep]), headers={"content-type": TYPES["ndjson"]}
    )
    first, second = (await goods_in.get(response.json()["rejects_url"])).content.splitlines()
    assert first.startswith(line[:-1])
    assert json.loads(second)["text"] == deep.decode()


async def test_a_first_row_is_given_back_although_something_is_said_of_the_whole_file(goods_in):
    receipt = await sent(goods_in, b"imei,colour\n35209907,red\n", "csv")
    rows = [*csv.reader(io.StringIO((await goods_in.get(receipt["rejects_url"])).text.lstrip("\ufeff")))]
    assert [row[:3] for row in rows[1:]] == [["35209907", "red", "imei-length"]]
    assert receipt["warnings"] == 1


async def test_a_csv_that_was_given_back_may_lose_its_two_columns(goods_in):
    number = imei.full(35_209907_900000 + next(_numbers))
    file = f"imei,site,gtin,unit_value\n{number},=PAR1,12,1\n".encode()
    receipt = await sent(goods_in, file, "csv")
    rows = csv.reader(
        io.StringIO((await goods_in.get(receipt["rejects_url"])).text.lstrip("\ufeff"), newline="")
    )
    _, (_, site, *_) = rows
    again = await goods_in.post("/v1/receipts", content=f"imei,site\n{number},{site}\n".encode(), headers=CSV)
    assert again.json()["registered"] == 1
    (found,) = (await goods_in.get("/v1/devices", params={"imei": number})).json()["devices"]
    assert (site, found["site"]) == ("'=PAR1", "=PAR1")


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_cells_that_are_too_many_stand_behind_the_two_columns_until_they_are_gone(goods_in, form):
    first, second = (imei.full(35_209907_900000 + next(_numbers)) for _ in range(2))
    file = f"imei;model;site\n{first};Phone; black;PAR1\n{second};Phone\n".encode()
    receipt = await sent(goods_in, file, "csv")
    for _ in range(2):
        body = (await goods_in.get(receipt["rejects_url"], params={"format": form})).content
        rows = workbooks.texts(body) if form == "xlsx" else lines(body)
        assert [row[3:4] for row in rows] == [["reject_code"], ["cells-miscounted"], ["cells-miscounted"]][
            : len(rows)
        ]
        assert (rows[1][:3], rows[1][5:]) == ([first, "Phone", " black"], ["PAR1"])
        # A row that has too few is made whole by its empty cells.
        receipt = await sent(goods_in, body, form)
        assert receipt["rejected"] == 1
    rows[1][1:] = ["Phone black", "PAR1", *rows[1][3:5]]
    whole = (
        workbooks.book(workbooks.table(*rows)) if form == "xlsx" else "\n".join(map(";".join, rows)).encode()
    )
    assert (await sent(goods_in, whole, form))["registered"] == 1


def lines(body: bytes) -> list[list[str]]:
    return [*csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), delimiter=";")]


TYPED = {"csv": "text/csv", "xlsx": TYPES["xlsx"], "ndjson": "application/x-ndjson"}
ADVICE = (
    "UNB+UNOC:3+A+B+260302:0615+1'UNH+1+DESADV:D:96A:UN'CPS+1'GIN+BJ+340123450000000018'LIN+1++9506000134352:SRV'"
    "GIN+BN+352099001761480'UNT+6+1'UNZ+1+1'"
)


@pytest.mark.parametrize(
    ("file", "kind", "asked", "given"),
    [
        ("imei;site\n123;A,B\n", "text/csv", "", "csv"), ("imei;site\n123;A,B\n", "text/csv", "xlsx", "xlsx"),
        (workbooks.book(workbooks.table(["imei", "site"], ["123", "A,B"])), TYPES["xlsx"], "", "xlsx"),
        (workbooks.book(workbooks.table(["imei", "site"], ["123", "A,B"])), TYPES["xlsx"], "csv", "csv"),
        (ADVICE, "application/edifact", "", "csv"), (ADVICE, "application/edifact", "xlsx", "xlsx"),
        ('{"imei":"123","site":"A,B"}', TYPES["ndjson"], "", "ndjson"),
        ('{"imei":"123","site":"A,B"}', TYPES["ndjson"], "ndjson", "ndjson"),
    ],
)  # fmt: skip
async def test_rejected_rows_come_in_the_format_of_the_file_or_in_another(goods_in, file, kind, asked, given):
    posted = await goods_in.post("/v1/receipts", content=file, headers={"content-type": kind})
    params = {"format": asked} if asked else {}
    response = await goods_in.get(posted.json()["rejects_url"], params=params)
    assert response.headers["content-type"].partition(";")[0] == TYPED[given]
    assert response.headers["content-disposition"].endswith(f'-rejects.{given}"')
    again = await goods_in.post(
        "/v1/receipts", content=response.content, headers={"content-type": TYPED[given]}
    )
    assert (again.status_code, again.json()["rejected"]) == (201, 1)


@pytest.mark.parametrize(
    ("file", "kind", "asked"),
    [("imei\n1\n", "csv", "ndjson"), ("{}", "ndjson", "csv"), ("{}", "ndjson", "xlsx")],
)
async def test_a_format_that_does_not_fit_is_refused_with_the_one_that_does(goods_in, file, kind, asked):
    receipt = await sent(goods_in, file.encode(), kind)
    refused = await goods_in.get(receipt["rejects_url"], params={"format": asked})
    assert f"would be {kind}" in problem(refused, 400, "format-unfit")["detail"]
    problem(await goods_in.get(receipt["rejects_url"], params={"format": "pdf"}), 400)


async def test_a_dispatch_advice_is_given_back_as_rows_that_can_be_fixed(goods_in):
    posted = await goods_in.post(
        "/v1/receipts", content=ADVICE, headers={"content-type": "application/edifact"}
    )
    body = (await goods_in.get(posted.json()["rejects_url"])).content.decode("utf-8-sig")
    header, row = csv.reader(io.StringIO(body, newline=""))
    said = dict(zip(header, row, strict=True))
    assert (said["imei"], said["gtin"], said["pallet"]) == (
        "352099001761480",
        "9506000134352",
        "340123450000000018",
    )
    assert said["reject_code"] == "imei-check-digit"
    right = re.search(r"last digit would be (\d)", said["reject_sentence"])[1]
    receipt = await sent(
        goods_in, body.replace("352099001761480,", f"35209900176148{right},").encode(), "csv"
    )
    assert receipt["registered"] == 1
    (device,) = (await goods_in.get("/v1/devices", params={"imei": f"35209900176148{right}"})).json()[
        "devices"
    ]
    assert device["pallet"] == said["pallet"]
