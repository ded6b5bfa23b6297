"""Goods-in files as they come: rows that mean a device each, with what spoils or disguises their cells."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from app.core import imei

from ..unit import workbooks

FIELDS = ["imei1", "imei2", "serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency"]
NOTE = "=note"
HEADER = [*FIELDS, NOTE]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_numbers = itertools.count(1)

Cells = dict[str, str]


class Number(str):
    """A cell that a workbook holds as a number."""


class Fault(str):
    """A cell that a workbook holds as an error."""


class Raw(str):
    """A whole line that is no row."""


@dataclass
class Sent:
    """A row of the file: the device that it means, its cells as they are sent, and what is wrong with it."""

    device: Cells
    cells: Cells
    codes: set[str] = field(default_factory=set)
    line: Raw | list[str] | None = None


def device(random: Random) -> Cells:
    """One that no other test has, with texts that a spreadsheet would calculate."""
    number = next(_numbers)
    first, second = (imei.full(35_209907_000000 + 2 * number + place) for place in (0, 1))
    bare = random.random() < 0.2
    return {
        "imei1": "" if bare else first,
        "imei2": "" if bare or random.random() < 0.3 else second,
        "serial": random.choice(["", "=", "+", "-", "@", "-"]) + f"RT{number:05d}",
        "gtin": "08806090000003",
        "pallet": "106141412345678908",
        "site": random.choice(["PAR1", "=PAR1", "+33 1", "-1", "@dock", "'s-Hertogenbosch", "--", "=1+1;2"]),
        "owner": random.choice(["", "ACME", "@ACME", "=cmd|' /C calc'!A0"]),
        "model": random.choice(["Phone X", "+Phone", 'A "quoted", one', "-5°", "two words", "=A1"]),
        "unit_value": random.choice(["499.90", "5.00", ""]),
        "currency": "EUR",
        NOTE: f"-N{number}",
    }


Spoiler = Callable[[Sent], None]


def cell(name: str, code: str, change: Callable[[str], str]) -> Spoiler:
    def spoil(row: Sent) -> None:
        row.cells[name] = change(row.cells[name])
        row.codes.add(code)

    return spoil


def line(code: str, change: Callable[[Sent], Raw | list[str]]) -> Spoiler:
    def spoil(row: Sent) -> None:
        row.line = change(row)
        row.codes = {code}

    return spoil


def _wrong_digit(digits: str) -> str:
    return f"{digits[:14]}{(int(digits[14]) + 1) % 10}"


def _quoted(row: Sent) -> Raw:
    return Raw(f'"{row.device["imei1"]}"x,{row.device[NOTE]}')


# What makes a cell look different, and another text of none.
DISGUISES: list[Callable[[str], str]] = [
    lambda text: f"'{text}" if text.startswith(FORMULA) else text,
    lambda text: f'="{text}"' if text.isalnum() else text,
    lambda text: f"\t{text}",
    lambda text: f"\n{text}",
    lambda text: f" {text} ",
]
ANYWHERE: list[Spoiler] = [
    cell("imei1", "imei-check-digit", _wrong_digit),
    cell("imei1", "imei-length", lambda digits: digits[:14]),
    cell("imei1", "imei-not-digits", lambda digits: f"{int(digits):.5E}"),
    cell("gtin", "gtin-malformed", lambda gtin: "9.50600013435E+12"),
    cell("pallet", "pallet-malformed", lambda sscc: f"+{sscc[:17]}"),
    cell("model", "text-too-long", lambda model: f"{model}{'-' * 200}"),
]
SPOILERS: dict[str, list[Spoiler]] = {
    "csv": [
        *ANYWHERE,
        cell("site", "text-control", lambda site: f"{site}\a"),
        line("cells-miscounted", lambda row: [row.cells[name] for name in HEADER if name != "imei2"]),
        line("cells-miscounted", lambda row: [*(row.cells[name] for name in HEADER), "=1"]),
        line("quotes-wrong", _quoted),
    ],
    "ndjson": [
        *ANYWHERE,
        cell("site", "text-control", lambda site: f"{site}\a"),
        cell("serial", "wrong-type", lambda _: Number("3.5209900176148e+14")),
        line("json-malformed", lambda row: Raw(f'{{"note": "{row.device[NOTE]}", "imei')),
    ],
    "xlsx": [
        *ANYWHERE,
        cell("serial", "serial-rounded", lambda _: Number("1.23456E+11")),
        cell("site", "cell-error", lambda _: Fault("#REF!")),
    ],
}


def dirty(form: str, random: Random) -> list[Sent]:
    """Rows of which each spoiler spoils some; some are whole, some come twice."""
    rows = [_row(random, [spoiler]) for spoiler in SPOILERS[form] for _ in range(2)]
    rows += [_row(random, random.sample(ANYWHERE[3:], 2)) for _ in range(4)]
    whole = [_row(random, []) for _ in range(10)]
    rows += [*whole, *(Sent(row.device, dict(row.cells)) for row in whole[:3])]
    random.shuffle(rows)
    return rows


def _row(random: Random, spoilers: list[Spoiler]) -> Sent:
    meant = device(random)
    if spoilers and not meant["imei1"]:
        meant["imei1"] = imei.full(35_209908_000000 + next(_numbers))
    row = Sent(meant, dict(meant))
    for name in random.sample(FIELDS, 4):
        if meant[name]:
            row.cells[name] = random.choice(DISGUISES)(meant[name])
    for spoiler in spoilers:
        _spoil(row, spoiler)
    return row


def _spoil(row: Sent, spoiler: Spoiler) -> None:
    """A cell that is spoilt wears no disguise."""
    disguised, row.cells = row.cells, dict(row.device)
    spoiler(row)
    for name, text in row.device.items():
        if row.cells[name] == text:
            row.cells[name] = disguised[name]


def as_csv(rows: list[Sent]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for row in rows:
        if isinstance(row.line, Raw):
            text.write(f"{row.line}\r\n")
        else:
            writer.writerow(row.line or [row.cells[name] for name in HEADER])
    return text.getvalue().encode()


def as_object(row: Sent) -> str:
    said: dict[str, Any] = {name: text for name, text in row.cells.items() if not name.startswith("imei")}
    said["imeis"] = [row.cells[name] for name in ("imei1", "imei2") if row.cells[name]]
    return "{" + ", ".join(f"{json.dumps(name)}: {_json(value)}" for name, value in said.items()) + "}"


def _json(value: Any) -> str:
    return str(value) if isinstance(value, Number) else json.dumps(value)


def as_ndjson(rows: list[Sent]) -> bytes:
    return "".join(f"{row.line or as_object(row)}\n" for row in rows).encode()


def as_xlsx(rows: list[Sent]) -> bytes:
    sheet = [workbooks.row(1, *(workbooks.text(f"{_column(name)}1", name) for name in HEADER))]
    for number, row in enumerate(rows, 2):
        cells = (_cell(f"{_column(name)}{number}", row.cells[name]) for name in HEADER if row.cells[name])
        sheet.append(workbooks.row(number, *cells))
    return workbooks.book("".join(sheet))


def _column(name: str) -> str:
    return chr(65 + HEADER.index(name))


def _cell(place: str, value: str) -> str:
    if isinstance(value, Number | Fault):
        kind = "n" if isinstance(value, Number) else "e"
        return f'<c r="{place}" t="{kind}"><v>{value}</v></c>'
    return workbooks.text(place, value)


WRITTEN = {"csv": as_csv, "ndjson": as_ndjson, "xlsx": as_xlsx}
TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
