"""CSV as warehouses send it, with any of the usual delimiters.

A line that cannot be split into cells costs that line only, even where a quote is never closed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import methodcaller
from typing import BinaryIO, NamedTuple

from app.core.errors import Invalid
from app.devices.intake import encoding, table
from app.devices.intake.cells import Finding, warning
from app.devices.intake.columns import Mapped
from app.devices.intake.lines import LINE_LIMIT, Lines
from app.devices.intake.rows import Defaults, Submission
from app.devices.intake.table import Broken, Header, Record

_DELIMITERS = ",;\t|:^~\x1f"
_RECORD_LINES = 50
# So many lines may stand above a header, as in a workbook.
_TITLES = 20
# Characters that are looked at for it, and those of a header that has such lines above it.
_ROOM, _LONGEST_TITLED = 4 * LINE_LIMIT, 4096
# No header names a column like this; rows of a file without header have it.
_DATA = re.compile("[0-9]{8}")
# Excel's own first line, which names the delimiter.
_DECLARED = re.compile(r'"?sep=([^\w"])"?[\s,;]*', re.IGNORECASE)

# With a colon for a delimiter an object would look like a header.
_JSON = re.compile(r"[\[\s]*\{")


def read(source: BinaryIO, defaults: Defaults, mapped: Mapped) -> Submission:
    """A reading per data row; blank rows are none.

    Raises Invalid `file-empty`, `header-wrong`, `columns-wrong`.
    """
    text = encoding.opened(source)
    lines = Lines(text.blocks)
    header, delimiter, notes = _header(lines, mapped)
    notes += text.notes(header.line)
    found = table.submission(header, _records(lines, delimiter), defaults, notes)
    return found._replace(delimiter=delimiter) if delimiter in _DELIMITERS else found


class _Found(NamedTuple):
    """A line as a header: how many lines it takes, and the delimiter under which most of it is understood."""

    header: Header
    over: int
    delimiter: str


def _header(lines: Lines, mapped: Mapped) -> tuple[Header, str, list[Finding]]:
    line = _first(lines)
    delimiters = _DELIMITERS
    if declared := _DECLARED.fullmatch(line):
        delimiters = declared[1] + _DELIMITERS
        line = _first(lines)
    if "\0" in line:
        raise Invalid("The file holds zero bytes where text would be; save it as UTF-8.", "header-wrong")
    if len(line) > LINE_LIMIT or _JSON.match(line):
        raise table.unusable(line)
    number, ahead = lines.number, _continued(line, lines)
    found, notes = _as_header(number, [line, *ahead], delimiters, mapped), list[Finding]()
    if not found.header.identifies:
        # A continued line is among the next ones, too.
        lines.give_back(ahead)
        ahead = _next(lines)
        below = _below(number, ahead, delimiters, mapped)
        if below is not None:
            found, notes = below, [_chosen(below.header)]
    header = found.header
    if not (header.identifies or (header.flaws and header.names)):
        raise table.unusable(line, header.lacking)
    lines.give_back(ahead[header.line - number + found.over - 1 :])
    return header, found.delimiter, notes


def _as_header(number: int, ahead: list[str], delimiters: str, mapped: Mapped) -> _Found:
    tried = [(*_names(ahead, delimiter), delimiter) for delimiter in delimiters]
    found = [_Found(table.header(number, names, mapped), over, mark) for names, over, mark in tried]
    return max(found, key=lambda one: _fit(one.header))


def _next(lines: Lines) -> list[str]:
    """The lines among which a header may stand that has titles above it."""
    ahead, room = list[str](), _ROOM
    for line in islice(lines, _TITLES + _RECORD_LINES):
        ahead.append(line)
        room -= len(line)
        if room < 0:
            break
    return ahead


def _below(number: int, ahead: list[str], delimiters: str, mapped: Mapped) -> _Found | None:
    """The header among the lines after that one, of which the most is understood."""
    places = [
        place
        for place, line in enumerate(ahead[:_TITLES])
        if len(line) <= _LONGEST_TITLED and not _DATA.search(line)
    ]
    tried = (
        _as_header(number + 1 + place, ahead[place : place + 1 + _RECORD_LINES], delimiters, mapped)
        for place in places
    )
    found = [one for one in tried if one.header.identifies]
    return max(found, key=lambda one: _fit(one.header), default=None)


def _chosen(header: Header) -> Finding:
    sentence = f"The header was found in line {header.line}; what stands above it is not read."
    return warning("header", str(header.line), "header-chosen", sentence, header.line)


def _fit(header: Header) -> tuple[bool, int, int]:
    return header.identifies, header.known, len(header.names)


def _first(lines: Lines) -> str:
    line = next((line for line in lines if line.strip()), None)
    if line is None:
        raise Invalid("The file is empty.", "file-empty")
    return line


def _continued(line: str, lines: Lines) -> list[str]:
    """The lines that a header with quotes may go on over."""
    ahead: list[str] = []
    for further in islice(lines, _RECORD_LINES) if '"' in line else ():
        ahead.append(further)
        if len(further) > LINE_LIMIT:
            break
    return ahead


def _names(ahead: list[str], delimiter: str) -> tuple[list[str], int]:
    """The header's names, and how many lines it takes."""
    reader = csv.reader((f"{line}\n" for line in ahead), delimiter=delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return _names_of_one_line(ahead[0], delimiter), 1


def _names_of_one_line(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader((line,), delimiter=delimiter))
    except csv.Error:
        return []


def _records(lines: Lines, delimiter: str) -> Iterator[Record]:
    return chain.from_iterable(_batches(lines, delimiter))


def _batches(lines: Lines, delimiter: str) -> Iterator[Iterable[Record]]:
    while batch := lines.batch():
        first = lines.number - len(batch) + 1
        rows = _a_row_each(batch, delimiter)
        if rows is not None:
            yield enumerate(rows, first)
        else:
            lines.give_back(batch)
            yield _one_by_one(lines, delimiter, len(batch))


def _a_row_each(batch: list[str], delimiter: str) -> Iterable[list[str]] | None:
    """The cells of every line, or nothing where the lines are not a row each and need a closer look."""
    if len(max(batch, key=len)) > LINE_LIMIT:
        return None
    if '"' not in "".join(batch):
        return map(methodcaller("split", delimiter), batch)
    try:
        rows = list(csv.reader(batch, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows if len(rows) == len(batch) else None


def _one_by_one(lines: Lines, delimiter: str, count: int) -> Iterator[Record]:
    last = lines.number + count
    while lines.number < last:
        line = next(lines)
        number = lines.number
        try:
            plain = '"' not in line and len(line) <= LINE_LIMIT
            yield number, line.split(delimiter) if plain else _quoted(line, lines, delimiter)
        except _BadRecord as error:
            yield number, Broken(line, error.code, str(error))


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
