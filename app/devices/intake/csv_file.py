"""CSV as warehouses send it: the header names the columns, in any order and under several names.

A line that cannot be split into cells costs that line only, even where a quote is never closed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import BinaryIO, NamedTuple

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.lines import LINE_LIMIT, Lines
from app.devices.intake.rows import Defaults, Reading, Rows

_DELIMITERS = ",;\t|"
_RECORD_LINES = 50
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


class _Header(NamedTuple):
    """What the header line says: how to split a line, and where in it each field stands."""

    line: int
    delimiter: str
    names: list[str]
    imeis: list[int]
    fields: dict[str, int]

    def unread(self) -> list[str]:
        """Names of columns that nothing is read from."""
        read = {*self.imeis, *self.fields.values()}
        return [name for place, name in enumerate(self.names) if place not in read and name.strip()]


def read(source: BinaryIO, defaults: Defaults) -> Iterator[Reading]:
    """A reading per data row; blank rows are none. Raises Invalid `file-empty`, `header-wrong`."""
    lines = Lines(source)
    header = _header(lines)
    readings = _readings(lines, header, Rows(defaults))
    first = next(readings, None)
    if first is None:
        raise Invalid("The file has a header and no rows.", "file-empty")
    row, findings = first
    yield row, [*_ignored(header), *findings]
    yield from readings


def _header(lines: Lines) -> _Header:
    line = next((line for line in lines if line.strip()), None)
    if line is None:
        raise Invalid("The file is empty.", "file-empty")
    if len(line) > LINE_LIMIT:
        raise Invalid(_unusable(line), "header-wrong")
    header = max((_split_header(line, lines.number, delimiter) for delimiter in _DELIMITERS), key=_known)
    if not (header.imeis or {"serial", "gtin"} <= header.fields.keys()):
        raise Invalid(_unusable(line), "header-wrong")
    return header


def _split_header(line: str, number: int, delimiter: str) -> _Header:
    try:
        names = next(csv.reader((line,), delimiter=delimiter))
    except csv.Error:
        names = []
    plain = [re.sub(r"[\s_.#-]+", "", name).casefold() for name in names]
    imeis = [place for place, name in enumerate(plain) if _IMEI.fullmatch(name)]
    fields = {}
    for field, synonyms in _NAMES.items():
        place = next((plain.index(name) for name in synonyms if name in plain), None)
        if place is not None:
            fields[field] = place
    return _Header(number, delimiter, names, imeis, fields)


def _known(header: _Header) -> int:
    return len(header.imeis) + len(header.fields)


def _unusable(line: str) -> str:
    if "\0" in line:
        return "The file holds zero bytes, as UTF-16 without a byte order mark does; save it as UTF-8."
    return (
        f"The first line, '{shown(line)}', is no header that identifies devices."
        f" It needs an IMEI column, or a serial and a GTIN column, as in: {_EXAMPLE}"
    )


def _ignored(header: _Header) -> list[Finding]:
    names = header.unread()
    if not names:
        return []
    listed = shown(", ".join(names), 200)
    sentence = f"Columns that are not read: {listed}."
    return [warning("header", listed, "column-ignored", sentence, header.line)]


def _readings(lines: Lines, header: _Header, rows: Rows) -> Iterator[Reading]:
    delimiter, width = header.delimiter, len(header.names)
    # A missing column is read from an empty cell that each row gets at its end.
    serial = header.fields.get("serial", width)
    imeis = itemgetter(*header.imeis, *[width] * (2 - len(header.imeis)))
    shared = itemgetter(*(header.fields.get(field, width) for field in _SHARED))
    for line in lines:
        number = lines.number
        try:
            plain = '"' not in line and len(line) <= LINE_LIMIT
            cells = line.split(delimiter) if plain else _quoted(line, lines, delimiter)
        except _BadRecord as error:
            yield None, [flaw("line", line, error.code, str(error), number)]
            continue
        if len(cells) == width:
            cells.append("")
            reading = rows.read(number, imeis(cells), cells[serial], shared(cells))
        else:
            reading = None, [_ragged(number, line, len(cells), width)]
        if reading[0] is not None or any(map(str.strip, cells)):
            yield reading


def _ragged(number: int, line: str, count: int, width: int) -> Finding:
    sentence = f"The line has {count} cells where the header has {width}."
    return flaw("line", line, "cells-miscounted", sentence, number)


class _BadRecord(ValueError):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def _quoted(line: str, lines: Lines, delimiter: str) -> list[str]:
    """The cells of a record with quotes, which may go on over some of the following lines."""
    if len(line) > LINE_LIMIT:
        raise _BadRecord("line-too-long", f"The line is longer than {LINE_LIMIT} characters.")
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True))
    except csv.Error:
        return _over_lines(line, lines, delimiter)


def _over_lines(line: str, lines: Lines, delimiter: str) -> list[str]:
    taken = [line]

    def following() -> Iterator[str]:
        yield line + "\n"
        for further in islice(lines, _RECORD_LINES):
            taken.append(further)
            if len(further) > LINE_LIMIT:
                return
            yield further + "\n"

    try:
        return next(csv.reader(following(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        # The lines after a quote that is never closed are rows of their own, not part of a cell.
        lines.give_back(taken[1:])
        sentence = 'A quote is not closed, or text follows one that is; inside a cell a quote is written "".'
        raise _BadRecord("quotes-wrong", sentence) from error
