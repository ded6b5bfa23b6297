"""Which formats of a workbook's cells are dates: a date is a number, and its format alone says so."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.devices.intake.workbook import markup

# Excel's own formats, which no workbook lists (ECMA-376 part 1, 18.8.30).
_DATES = frozenset(map(str, (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59))))
# What a format says of other things than digits and dates: texts, single characters, colours and conditions.
_ASIDE = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
_OF_DATE = re.compile("[dmyhs]", re.IGNORECASE)
# Excel's own limits.
_LONGEST, _MOST = 255, 65_490
_LOCAL = markup.names("numFmt", "cellXfs", "xf")


def dates(part: str, blocks: Iterable[bytes]) -> frozenset[str]:
    """The numbers of the formats that show a date or a time, as cells name them. Raises Invalid `xlsx-broken`."""
    formats = _Formats()
    for _ in markup.parse(part, blocks, formats):
        pass
    return frozenset(
        str(place) for place, number in enumerate(formats.of_cells) if number in formats.of_dates
    )


class _Formats:
    def __init__(self) -> None:
        self.depth = 0
        self.of_cells: list[str] = []
        self.of_dates = set(_DATES)
        self._in_cells = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        local = _LOCAL.get(name)
        if local == "numFmt":
            if _OF_DATE.search(_ASIDE.sub("", attributes.get("formatCode", "")[:_LONGEST])):
                self.of_dates.add(attributes.get("numFmtId", ""))
        elif local == "cellXfs":
            self._in_cells = True
        elif local == "xf" and self._in_cells and len(self.of_cells) < _MOST:
            self.of_cells.append(attributes.get("numFmtId", ""))

    def end(self, name: str) -> None:
        self.depth -= 1
        self._in_cells = self._in_cells and _LOCAL.get(name) != "cellXfs"

    def text(self, text: str) -> None:
        pass
