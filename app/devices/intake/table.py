"""Rows of cells under a header, whatever they were written in: the header names the columns, in any order and
under several names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.rows import Defaults, Reading, Rows, Submission


class Broken(NamedTuple):
    """A line that has no cells, and why."""

    text: str
    code: str
    sentence: str


# A line of the file: its number, and its cells.
Record: TypeAlias = tuple[int, list[str] | Broken]

_IMEI = re.compile(r"imeis?[0-9]*")
# Where two columns mean the same, the name that stands first here wins.
_NAMES = {
    "serial": ("serial", "serialno", "serialnumber", "sn"),
    "gtin": ("gtin", "ean", "upc"),
    "pallet": ("sscc", "pallet", "palletid"),
    "site": ("site", "warehouse", "location"),
    "owner": ("owner", "customer", "principal"),
    "model": ("model", "description"),
    "unit_value": ("unitvalue", "unitprice", "value", "price"),
    "currency": ("currency",),
}
_SHARED = ("gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
_EXAMPLE = "imei1,imei2,serial,gtin,pallet,site,owner,model,unit_value,currency"


class Header(NamedTuple):
    """Where each field stands among the columns."""

    line: int
    names: list[str]
    imeis: list[int]
    fields: dict[str, int]

    @property
    def known(self) -> int:
        """How many columns something is read from."""
        return len(self.imeis) + len(self.fields)

    @property
    def identifies(self) -> bool:
        """Whether a row under it can name a device."""
        return bool(self.imeis) or {"serial", "gtin"} <= self.fields.keys()

    def unread(self) -> list[str]:
        """Names of columns that nothing is read from."""
        read = {*self.imeis, *self.fields.values()}
        return [name for place, name in enumerate(self.names) if place not in read and name.strip()]


def header(line: int, names: list[str]) -> Header:
    """What the columns of that line's names mean."""
    plain = [re.sub(r"[\s_.#-]+", "", name).casefold() for name in names]
    imeis = [place for place, name in enumerate(plain) if _IMEI.fullmatch(name)]
    fields = {}
    for field, synonyms in _NAMES.items():
        place = next((plain.index(name) for name in synonyms if name in plain), None)
        if place is not None:
            fields[field] = place
    return Header(line, names, imeis, fields)


def unusable(line: str) -> Invalid:
    """The refusal of a file whose first line is no header."""
    return Invalid(
        f"The first line, '{shown(line)}', is no header that identifies devices."
        f" It needs an IMEI column, or a serial and a GTIN column, as in: {_EXAMPLE}",
        "header-wrong",
    )


def submission(found: Header, records: Iterable[Record], defaults: Defaults) -> Submission:
    """The rows below the header, read. Raises Invalid `file-empty`."""
    readings = _readings(records, found, Rows(defaults))
    first = next(readings, None)
    if first is None:
        raise Invalid("The file has a header and no rows.", "file-empty")
    return Submission(tuple(found.names), _after(first, _ignored(found), readings))


def _after(first: Reading, notes: list[Finding], rest: Iterator[Reading]) -> Iterator[Reading]:
    row, findings, cells = first
    yield row, [*notes, *findings], cells
    yield from rest


def _ignored(found: Header) -> list[Finding]:
    names = found.unread()
    if not names:
        return []
    listed = shown(", ".join(names), 200)
    sentence = f"Columns that are not read: {listed}."
    return [warning("header", listed, "column-ignored", sentence, found.line)]


def _readings(records: Iterable[Record], found: Header, rows: Rows) -> Iterator[Reading]:
    width = len(found.names)
    # A missing column is read from an empty cell that each row gets at its end.
    serial = found.fields.get("serial", width)
    imeis = itemgetter(*found.imeis, *[width] * (2 - len(found.imeis)))
    shared = itemgetter(*(found.fields.get(field, width) for field in _SHARED))
    for number, cells in records:
        if isinstance(cells, Broken):
            yield None, [flaw("line", cells.text, cells.code, cells.sentence, number)], [cells.text]
        elif len(cells) != width:
            if any(map(str.strip, cells)):
                yield None, [_ragged(number, cells, width)], cells
        else:
            cells.append("")
            row, findings = rows.read(number, imeis(cells), cells[serial], shared(cells))
            cells.pop()
            if row is not None or any(map(str.strip, cells)):
                yield row, findings, cells


def _ragged(number: int, cells: Sequence[str], width: int) -> Finding:
    sentence = f"The line has {len(cells)} cells where the header has {width}."
    return flaw("line", " ".join(cells), "cells-miscounted", sentence, number)
