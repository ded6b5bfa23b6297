"""The rows of a sheet, as its XML has them: cells at their places, with their types, and nothing resolved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from app.core.errors import Invalid, TooLarge
from app.core.imei import shown
from app.devices.intake.lines import LINE_LIMIT
from app.devices.intake.workbook import markup
from app.devices.intake.workbook.archive import BLOCK, broken

ROW_LIMIT, COLUMN_LIMIT = 1_048_576, 16_384
# As many blocks may one row go on for.
_ROW_BLOCKS = 16
# The type of a cell whose formula was never calculated.
UNCALCULATED = "f"
# The type of a number that is shown as a date.
DATE = "date"

_LOCAL = markup.names("row", "c", "v", "t", "f", "rPh")
_LETTERS = re.compile("[A-Z]{1,3}")

# Its column from 0, its type as in the XML (`n` where none is given) or one of the two above, and its text.
Cell: TypeAlias = tuple[int, str, str]


class Line(NamedTuple):
    """A row that is not empty: Excel's number, and its cells that are not, in order."""

    number: int
    cells: list[Cell]


def lines(part: str, blocks: Iterable[bytes], dates: frozenset[str] = frozenset()) -> Iterator[Line]:
    """The rows as they come; `dates` are the formats of dates. Raises Invalid `xlsx-broken`, `xlsx-doctype`."""
    rows = _Rows(dates)
    for _ in markup.parse(part, blocks, rows):
        yield from rows.done
        rows.done.clear()
        rows.settle()


def letters(place: int) -> str:
    """What Excel calls a column: 0 is A, 26 is AA."""
    text, rest = "", place + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        text = chr(65 + digit) + text
    return text


def _place(column: str) -> int:
    place = 0
    for letter in column:
        place = 26 * place + ord(letter) - 64
    return place - 1


class _Rows:
    def __init__(self, dates: frozenset[str]) -> None:
        self.depth = 0
        self.done: list[Line] = []
        self._dates = dates
        self._pieces: list[str] = []
        self.text = self._pieces.append
        self._number = self._row_blocks = 0
        self._written = ""
        self._in_row = self._in_value = self._phonetic = self._formula = False
        # The column of the cell before; no cell may come where no row is open.
        self._place = COLUMN_LIMIT
        self._kind = self._value = ""
        self._cells: list[Cell] = []
        self._places: dict[str, int] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = _LOCAL.get(name)
        if local == "v" or local == "t":  # noqa: PLR1714 (half the time of the cells)
            if self._in_value:
                raise self._wrong("has a value inside another")
            self._in_value = True
            self._pieces.clear()
        elif local == "c":
            reference = attributes.get("r", "")
            place = self._places.get(reference.removesuffix(self._written))
            if place is None:
                place = self._referred(reference)
            if self._kind or not self._place < place < COLUMN_LIMIT:
                raise self._wrong(
                    f"has a cell '{shown(reference)}' that is there already, or out of its place"
                )
            self._place, self._kind = place, attributes.get("t") or "n"
            if self._kind == "n" and attributes.get("s") in self._dates:
                self._kind = DATE
        elif local == "row":
            self._open_row(attributes)
        else:
            self.depth += 1
            self._formula = self._formula or local == "f"
            self._phonetic = self._phonetic or local == "rPh"

    def end(self, name: str) -> None:
        local = _LOCAL.get(name)
        if local == "v":
            self._in_value = False
            if self._kind and self._kind != "inlineStr":
                self._value = "".join(self._pieces)
        elif local == "c":
            if self._value:
                self._cells.append((self._place, self._kind, self._value))
                self._value = ""
            elif self._formula and self._kind in ("n", DATE):
                self._cells.append((self._place, UNCALCULATED, ""))
            self._kind, self._formula = "", False
        elif local == "t":
            self._in_value = False
            if self._kind == "inlineStr" and not self._phonetic:
                self._value += "".join(self._pieces)
        elif local == "row":
            self._close_row()
        else:
            self.depth -= 1
            self._phonetic = self._phonetic and local != "rPh"

    def settle(self) -> None:
        """Holds what is kept within bounds, after each block."""
        if not self._in_row:
            self._pieces.clear()
        self._row_blocks += self._in_row
        if self._row_blocks > _ROW_BLOCKS:
            text = f"Row {self._number} of the sheet is larger than {_ROW_BLOCKS * BLOCK:,} bytes"
            raise TooLarge(f"{text}; a row may hold {LINE_LIMIT:,} characters.", "xlsx-too-large")

    def _open_row(self, attributes: dict[str, str]) -> None:
        written = attributes.get("r") or str(self._number + 1)
        number = int(written) if len(written) <= 7 and written.isascii() and written.isdigit() else 0
        if self._in_row or not self._number < number <= ROW_LIMIT:
            text = f"After row {self._number} of the sheet comes a row '{shown(written)}', or inside of it"
            raise broken(f"{text}; rows ascend to {ROW_LIMIT:,}")
        self._number, self._written, self._in_row = number, written, True
        self._place, self._row_blocks = -1, 0

    def _close_row(self) -> None:
        if self._cells:
            self.done.append(Line(self._number, self._cells))
            self._cells = []
        self._place, self._in_row = COLUMN_LIMIT, False

    def _referred(self, reference: str) -> int:
        if not reference:
            return self._place + 1
        column = reference.removesuffix(self._written)
        if not _LETTERS.fullmatch(column) or column == reference:
            raise self._wrong(f"has a cell that calls itself '{shown(reference)}'")
        place = self._places[column] = _place(column)
        return place

    def _wrong(self, what: str) -> Invalid:
        return broken(f"Row {self._number} of the sheet {what}")
