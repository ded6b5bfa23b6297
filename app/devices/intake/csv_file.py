"""CSV as warehouses send it, with any of the usual delimiters.

A line that cannot be split into cells costs that line only, even where a quote is never closed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from app.core.errors import Invalid
from app.devices.intake import table
from app.devices.intake.lines import LINE_LIMIT, Lines
from app.devices.intake.rows import Defaults, Submission
from app.devices.intake.table import Broken, Header, Record

_DELIMITERS = ",;\t|"
_RECORD_LINES = 50


def read(source: BinaryIO, defaults: Defaults) -> Submission:
    """A reading per data row; blank rows are none. Raises Invalid `file-empty`, `header-wrong`."""
    lines = Lines(source)
    header, delimiter = _header(lines)
    return table.submission(header, _records(lines, delimiter), defaults)


def _header(lines: Lines) -> tuple[Header, str]:
    line = next((line for line in lines if line.strip()), None)
    if line is None:
        raise Invalid("The file is empty.", "file-empty")
    if "\0" in line:
        text = "The file holds zero bytes, as UTF-16 without a byte order mark does; save it as UTF-8."
        raise Invalid(text, "header-wrong")
    if len(line) > LINE_LIMIT:
        raise table.unusable(line)
    tried = [(table.header(lines.number, _names(line, delimiter)), delimiter) for delimiter in _DELIMITERS]
    header, delimiter = max(tried, key=lambda found: found[0].known)
    if not header.identifies:
        raise table.unusable(line)
    return header, delimiter


def _names(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader((line,), delimiter=delimiter))
    except csv.Error:
        return []


def _records(lines: Lines, delimiter: str) -> Iterator[Record]:
    for line in lines:
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
