"""TAC databases, read: a stream of bytes becomes TACs with brand and model, and findings.

Three forms, told apart by their content: the CSV of Osmocom's TAC DB, the GSMA's device database with its pipes, and
a CSV `tac,brand,model`. Pure; knows no TAC by itself. A record is one line: a quote that is not closed costs that line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import BinaryIO, NamedTuple, TypeAlias
from unicodedata import category

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake import cells, encoding
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.lines import LINE_LIMIT, Lines

_DELIMITERS = ("|", ",", ";", "\t")
_HEADER_WITHIN = 5
_NAMES_KEPT = 4_096
_EXAMPLE = "tac,brand,model"
# Where several columns mean the same, the first of them that says something in a line is read.
_TAC = ("tac", "typeallocationcode")
_BRAND = ("brand", "brandname", "manufacturer")
_MODEL = ("model", "marketingname", "modelname")
_SAYS_NOTHING = frozenset(
    ("", "-", "--", "na", "n/a", "none", "null", "unknown", "notknown", "not known", "not available",
     "not applicable")
)  # fmt: skip
_BINARY = {
    b"PK\x03\x04": "an XLSX workbook, or another ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel (XLS)",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "gzipped",
}
_SPACING = str.maketrans("", "", " -/\u00a0")


class TacFormat(StrEnum):
    """Whose form a file has."""

    OSMOCOM = "osmocom"
    GSMA = "gsma"
    CSV = "csv"


class TacRow(NamedTuple):
    """What one line says; brand or model is '' where it does not say."""

    line: int
    tac: int
    brand: str
    model: str


# The answer to one data line: what it says, or None and a finding that rejects it; warnings come with either.
TacReading: TypeAlias = tuple[TacRow | None, Sequence[Finding]]


class TacFile(NamedTuple):
    """A file that is being read. The title is what stands above its header, such as its licence."""

    format: TacFormat
    title: str
    readings: Iterator[TacReading]


class _Header(NamedTuple):
    delimiter: str
    names: list[str]
    tac: int | None
    fac: int | None
    brand: list[int]
    model: list[int]

    @property
    def format(self) -> TacFormat:
        if "name" in self.names:
            return TacFormat.OSMOCOM
        gsma = {"marketingname", "manufacturer"} <= set(self.names)
        return TacFormat.GSMA if gsma else TacFormat.CSV


def read(source: BinaryIO) -> TacFile:
    """The form, the title, and a reading per data line, in constant memory; blank lines are none.

    A TAC is 8 digits, as IMEIs have carried it since 2003. Of an older IMEI those are its TAC of 6 digits and its
    Final Assembly Code (FAC) of 2: a line may give them together or in a column `FAC`; a TAC of 6 digits without
    its FAC is rejected, for which of the hundred it means would be a guess. Of 7 digits, a spreadsheet has lost
    the leading zero: it is put back, with a warning.

    Raises Invalid `file-empty`, `header-wrong`, `format-unknown`.
    """
    _refuse_binary(source)
    lines = Lines(encoding.opened(source).blocks)
    header, title = _header(lines)
    readings = _readings(lines, header)
    first = next(readings, None)
    if first is None:
        raise Invalid("The file has a header and no lines below it.", "file-empty")
    return TacFile(header.format, title, _after(first, readings))


def _refuse_binary(source: BinaryIO) -> None:
    if not source.seekable():
        return
    start = source.tell()
    head = source.read(4)
    source.seek(start)
    what = next((what for mark, what in _BINARY.items() if head.startswith(mark)), "")
    if what:
        raise Invalid(
            f"The file is {what}; a TAC database would be text. Save it as CSV with a header, as in: {_EXAMPLE}",
            "format-unknown",
        )


def _after(first: TacReading, rest: Iterator[TacReading]) -> Iterator[TacReading]:
    yield first
    yield from rest


def _header(lines: Lines) -> tuple[_Header, str]:
    above: list[str] = []
    for line in islice((line for line in lines if line.strip()), _HEADER_WITHIN):
        tried = [_columns(line, delimiter) for delimiter in _DELIMITERS] if len(line) <= LINE_LIMIT else []
        found = next((header for header in tried if header.tac is not None), None)
        if found and not (found.brand or found.model):
            raise _no_header(f"The header '{shown(line, 100)}' has neither a brand nor a model")
        if found:
            return found, shown(" ".join(above), cells.TEXT_LIMIT)
        above.append(line.strip())
    if not above:
        raise Invalid("The file is empty.", "file-empty")
    raise _no_header(f"None of the first lines, '{shown(above[0])}' and so on, is a header with a TAC column")


def _no_header(what: str) -> Invalid:
    return Invalid(f"{what}. It would be text with a header, as in: {_EXAMPLE}", "header-wrong")


def _columns(line: str, delimiter: str) -> _Header:
    names = [re.sub(r"[\s_.()#-]+", "", name).casefold() for name in _cells(line, delimiter) or ()]
    brand, model = _places(names, _BRAND), _places(names, _MODEL)
    named = [place for place, name in enumerate(names) if name == "name"]
    if len(named) == 2 and not brand and not model:
        brand, model = named[:1], named[1:]
    return _Header(
        delimiter, names, next(iter(_places(names, _TAC)), None), next(iter(_places(names, ("fac",))), None),
        brand, model,
    )  # fmt: skip


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    return [names.index(name) for name in wanted if name in names]


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line; None where its quotes are wrong. Between pipes a quote is a sign of inches."""
    if delimiter == "|" or '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _readings(lines: Lines, header: _Header) -> Iterator[TacReading]:
    width = len(header.names)
    for line in lines:
        if not line.strip():
            continue
        row = _cells(line, header.delimiter) if len(line) <= LINE_LIMIT else None
        if row is None:
            yield None, [_unsplit(line, lines.number)]
        elif not _fits(row, width):
            sentence = f"The line has {len(row)} cells where the header has {width}."
            yield None, [flaw("line", line, "cells-miscounted", sentence, lines.number)]
        elif (plain := _flawless(lines.number, row, header)) is not None:
            yield plain, ()
        elif any(map(str.strip, row)):
            yield _read(lines.number, row, header)


def _fits(row: Sequence[str], width: int) -> bool:
    return len(row) == width or (len(row) == width + 1 and not row[-1].strip())


def _unsplit(line: str, number: int) -> Finding:
    if len(line) > LINE_LIMIT:
        sentence = f"The line is longer than {LINE_LIMIT:,} characters."
        return flaw("line", line, "line-too-long", sentence, number)
    sentence = 'A quote is not closed on this line; inside a cell a quote is written "".'
    return flaw("line", line, "quotes-wrong", sentence, number)


def _flawless(number: int, row: Sequence[str], header: _Header) -> TacRow | None:
    """What a line says, or None where it needs a closer look."""
    assert header.tac is not None
    digits = row[header.tac]
    if not (len(digits) == 8 and digits.isascii() and digits.isdigit() and digits != "00000000"):
        return None
    brand, model = _first_name(row, header.brand), _first_name(row, header.model)
    if brand is None or model is None or not (brand or model):
        return None
    return TacRow(number, int(digits), brand, model)


def _first_name(row: Sequence[str], places: Sequence[int]) -> str | None:
    for place in places:
        name = _plain_name(row[place])
        if name != "":
            return name
    return ""


@lru_cache(maxsize=_NAMES_KEPT)
def _plain_name(cell: str) -> str | None:
    """The name in a cell, '' where it says nothing, None where it needs a closer look."""
    name = cell.strip()
    if name.casefold() in _SAYS_NOTHING:
        return ""
    return name if len(name) <= cells.TEXT_LIMIT and name.isprintable() else None


def _read(number: int, row: Sequence[str], header: _Header) -> TacReading:
    found: list[Finding] = []
    assert header.tac is not None
    tac = _tac(row[header.tac], row[header.fac] if header.fac is not None else "", found)
    brand = _name("brand", row, header.brand, found)
    model = _name("model", row, header.model, found)
    if not (brand or model or found):
        sentence = "The line names neither a brand nor a model; it would name one of them."
        found.append(flaw("brand", row[header.tac], "tac-says-nothing", sentence))
    if found:
        found = [finding._replace(line=number) for finding in found]
    if tac is None or any(finding.rejected for finding in found):
        return None, found
    return TacRow(number, tac, brand, model), found


def _name(field: str, row: Sequence[str], places: Sequence[int], found: list[Finding]) -> str:
    for place in places:
        name = _plain_name(row[place])
        if name is None:
            name = cells.text(field, _seen(row[place].strip()), found)
        if name:
            return name
    return ""


def _seen(name: str) -> str:
    """A name without what makes two names look alike: tabs for spaces, and characters of no width."""
    return "".join(char for char in re.sub(r"[\r\n\t]+", " ", name) if category(char) != "Cf")


def _tac(value: str, fac: str, found: list[Finding]) -> int | None:
    digits = value.strip().translate(_SPACING)
    if len(digits) == 6 and len(fac.strip()) == 2:
        digits += fac.strip()
    if not (digits.isascii() and digits.isdigit()):
        found.append(flaw("tac", value, "tac-not-digits", _why_not_digits(value, digits)))
        return None
    if len(digits) == 7:
        sentence = (
            f"TAC {digits} has 7 digits: a spreadsheet has dropped a leading zero; it is read as 0{digits}."
        )
        found.append(warning("tac", value, "tac-zero-restored", sentence))
    elif len(digits) != 8:
        found.append(_wrong_length(value, digits))
        return None
    if not int(digits):
        found.append(
            flaw("tac", value, "tac-placeholder", f"TAC {digits} stands for 'none'; leave the line out.")
        )
        return None
    return int(digits)


def _why_not_digits(value: str, digits: str) -> str:
    if not digits:
        return "The TAC is empty; it would be 8 digits."
    if re.fullmatch(r"[0-9](?:[.,][0-9]+)?E\+?[0-9]+|[0-9]+[.,]0+", digits, re.IGNORECASE):
        return f"A spreadsheet has turned the TAC into the number {shown(value)}; export the column as text."
    return f"'{shown(value)}' is not a TAC; it would be 8 digits 0-9."


def _wrong_length(value: str, digits: str) -> Finding:
    if len(digits) == 6:
        sentence = (
            f"{digits} is a TAC of 6 digits, as before 2003; with the 2 digits of the Final Assembly Code (FAC) behind"
            f" it, it would be 8, such as {digits}10."
        )
        return flaw("tac", value, "tac-without-fac", sentence)
    more = f", the first 8 of the IMEI: {digits[:8]}" if len(digits) in (14, 15, 16) else ""
    sentence = f"'{shown(value)}' has {len(digits)} digits; a TAC has 8{more}."
    return flaw("tac", value, "tac-length", sentence)
