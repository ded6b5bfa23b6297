"""XLSX as Excel and other programs write it: a row is numbered as in Excel, and a cell says what Excel shows.

Numbers are taken as the file has them, for an identifier must not pass through a float. Memory does not grow
with the number of rows; shared texts wait in a temporary file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import ROUND_HALF_UP, Context
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake import amounts, table
from app.devices.intake.cells import Finding, warning
from app.devices.intake.columns import Mapped
from app.devices.intake.lines import LINE_LIMIT
from app.devices.intake.rows import Defaults, Submission
from app.devices.intake.table import Broken, Header, Noted, Record
from app.devices.intake.workbook import sheet, styles
from app.devices.intake.workbook.archive import Archive
from app.devices.intake.workbook.contents import Contents, Sheet, contents
from app.devices.intake.workbook.sheet import Cell, Line
from app.devices.intake.workbook.strings import Strings, unescaped

HEADER_ROWS = 20
# Each row is spread to the header's width.
HEADER_WIDTH = 512

_BOOLEANS = {"1": "TRUE", "0": "FALSE"}
_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[Ee][+-]?[0-9]{1,3})?")
_AS_SHOWN = Context(prec=15, rounding=ROUND_HALF_UP)
_FAULTS = ("e", sheet.UNCALCULATED)
_NUMBERS = ("n", sheet.DATE)
# What stands in a serial's column and is none.
_NO_SERIAL = {sheet.DATE: "a date", "d": "a date", "b": "TRUE or FALSE"}


def read(source: BinaryIO, defaults: Defaults, mapped: Mapped) -> Submission:
    """A reading per row below the header that is not empty. The source can seek.

    Raises Invalid `format-unknown`, `xlsx-broken`, `xlsx-doctype`, `header-wrong`, `file-empty` and TooLarge
    `xlsx-too-large`; what is broken further down, when the readings come there.
    """
    with ExitStack() as stack:
        archive = Archive(source)
        listed = contents(archive)
        strings = stack.enter_context(closing(Strings()))
        if listed.strings:
            strings.load(listed.strings, archive.blocks(listed.strings))
        dates = (
            styles.dates(listed.styles, archive.blocks(listed.styles)) if listed.styles in archive else None
        )
        found = _table(archive, listed, strings, mapped, dates or frozenset())
        notes = _notes(archive, listed, found)
        records = _records(found, strings, stack.pop_all())
        return table.submission(found.header, records, defaults, notes)


class _Table(NamedTuple):
    sheet: Sheet
    header: Header
    lines: Iterator[Line]


def _table(
    archive: Archive, listed: Contents, strings: Strings, mapped: Mapped, dates: frozenset[str]
) -> _Table:
    """The first visible sheet with a header, and the lines below it."""
    empty = True
    for one in listed.sheets:
        lines = sheet.lines(one.part, archive.blocks(one.part), dates)
        for line in lines:
            empty = False
            if line.number > HEADER_ROWS:
                break
            header = table.header(line.number, _names(line, strings), mapped)
            if header.identifies:
                return _Table(one, _narrow(header), lines)
    if empty:
        raise Invalid("The workbook has no visible sheet with a row in it.", "file-empty")
    raise table.headless(
        f"No visible sheet has a header that identifies devices in its first {HEADER_ROWS} rows.",
        sorted(mapped.optional),
    )


def _names(line: Line, strings: Strings) -> list[str]:
    """The row as a header: the texts of its cells, or none where they are too long for one."""
    names = [""] * (line.cells[-1][0] + 1)
    left = LINE_LIMIT
    for cell in line.cells:
        name = _text(cell, strings)
        left -= len(name)
        if left < 0:
            return []
        names[cell[0]] = name
    while names and not names[-1].strip():
        names.pop()
    return names


def _narrow(header: Header) -> Header:
    most = HEADER_WIDTH + len(header.verdict)
    if len(header.names) > most:
        sentence = f"The header goes on to column {sheet.letters(len(header.names) - 1)}"
        last = sheet.letters(most - 1)
        raise Invalid(f"{sentence}; {last} may be its last. Remove what is not read.", "header-wrong")
    return header


def _notes(archive: Archive, listed: Contents, found: _Table) -> list[Finding]:
    """What a person should know of the choice: where the devices are read from, and where they are not."""
    notes, line, name = [], found.header.line, shown(found.sheet.name)
    if found.sheet.place or line > 1:
        sentence = f"The devices are read from the sheet '{name}', whose header is in row {line}."
        notes.append(warning("header", name, "sheet-chosen", sentence, line))
    others = [one for one in listed.sheets if one is not found.sheet]
    filled = [one.name for one in others if any(sheet.lines(one.part, archive.blocks(one.part)))]
    if filled:
        names = shown(", ".join(filled), 200)
        sentence = f"Sheets that are not read: {names}. Send what they list in files of their own."
        notes.append(warning("header", names, "sheet-ignored", sentence, line))
    return notes


def _records(found: _Table, strings: Strings, opened: ExitStack) -> Iterator[Record]:
    width = len(found.header.names)
    amount, serial = (found.header.fields.get(field, width) for field in ("unit_value", "serial"))
    known = {*found.header.imeis, *found.header.fields.values()}
    with opened:
        for number, cells in found.lines:
            texts, left, faults, odd = [""] * width, LINE_LIMIT, [], None
            for cell in cells:
                place, kind, text = cell
                if left < 0 or (place >= width and not _widened(texts, place, found.header)):
                    break
                left -= len(text)
                if place == serial and kind in _NO_SERIAL:
                    odd = cell
                    continue
                if kind in _NUMBERS:
                    texts[place] = _as_shown(text) if place == amount else text
                    continue
                texts[place] = text = strings.at(text) if kind == "s" else _text(cell, strings)
                left -= len(text)
                if kind in _FAULTS and place in known:
                    faults.append(cell)
            if left < 0 or faults:
                yield number, _broken(number, texts, faults)
            elif odd:
                yield number, Noted(texts, _no_serial(number, odd))
            elif any(texts):
                yield number, texts


def _widened(texts: list[str], place: int, header: Header) -> bool:
    """Whether a cell beyond the header counts: columns without a name are not read, but a row that was given back
    for having too many cells must not lose them and pass."""
    if not header.came_with_more(texts):
        return False
    texts += [""] * (place + 1 - len(texts))
    return True


def _text(cell: Cell, strings: Strings) -> str:
    _, kind, text = cell
    if kind == "s":
        return strings.at(text)
    if kind in ("str", "inlineStr"):
        return unescaped(text)
    return _BOOLEANS.get(text, text) if kind == "b" else text


def _broken(number: int, texts: list[str], faults: list[Cell]) -> Broken:
    if not faults:
        text = "".join(texts)[: LINE_LIMIT + 1]
        return Broken(text, "line-too-long", f"The row is longer than {LINE_LIMIT} characters.")
    code = "cell-error" if any(kind == "e" for _, kind, _ in faults) else "cell-uncalculated"
    said = " ".join(text for _, _, text in faults)
    return Broken(said, code, " ".join(_fault(number, fault) for fault in faults), texts)


def _no_serial(number: int, odd: Cell) -> Finding:
    place, kind, text = odd
    sentence = (
        f"The cell {sheet.letters(place)}{number} holds {_NO_SERIAL[kind]} where the serial would be, so the serial is"
        " left open. In the spreadsheet, format the column as text and enter it anew."
    )
    return warning("serial", text, "serial-no-text", sentence, number)


def _fault(number: int, fault: Cell) -> str:
    place, kind, text = fault
    name = f"The cell {sheet.letters(place)}{number}"
    if kind == sheet.UNCALCULATED:
        return f"{name} has a formula without its result; open the file in Excel and save it."
    return f"{name} says {shown(text)}, an error in place of a value; correct it, or empty the cell."


@lru_cache(maxsize=256)
def _as_shown(number: str) -> str:
    """An amount as Excel shows it, with 15 digits and no exponent: 499.98999999999995 is 499.99."""
    if not _NUMBER.fullmatch(number):
        return number
    return amounts.plainly(f"{_AS_SHOWN.create_decimal(number):f}")
