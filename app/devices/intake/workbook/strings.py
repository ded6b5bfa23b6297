"""The shared strings of a workbook. A column of IMEIs kept as text has each IMEI here, so they are kept in a
temporary file, and those near the ones asked for last in memory.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

from app.core.errors import TooLarge
from app.core.imei import shown
from app.devices.intake.lines import LINE_LIMIT
from app.devices.intake.workbook import markup
from app.devices.intake.workbook.archive import broken

_PAGE = 32
_PAGES_HELD = 2 * 1024**2
_IN_MEMORY = 1024**2
_LONG = 1_024
# XML can hold neither.
_BETWEEN, _ASIDE = "\0", "\1"
_MOST = 2**24
_DIGITS = 8
_LOCAL = markup.names("si", "t", "rPh")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


class Strings:
    """Shared strings by their number. One that is longer than LINE_LIMIT comes cut, but longer."""

    def __init__(self) -> None:
        self._pages = _spool()
        self._long = _spool()
        # Where each page begins; the last one's end.
        self._starts = array("Q", [0])
        self._count = 0
        self._held: dict[int, list[str | _Place]] = {}
        self._held_bytes = 0

    def close(self) -> None:
        self._pages.close()
        self._long.close()

    def load(self, part: str, blocks: Iterable[bytes]) -> None:
        """Takes all strings of the part. Raises Invalid `xlsx-broken`, TooLarge `xlsx-too-large`."""
        items = _Items(part)
        for _ in markup.parse(part, blocks, items):
            whole = len(items.done) - len(items.done) % _PAGE
            self._store(items.done[:whole])
            del items.done[:whole]
        self._store(items.done)

    def _store(self, texts: list[str]) -> None:
        for first in range(0, len(texts), _PAGE):
            kept = [
                text if len(text) <= _LONG else self._aside(text) for text in texts[first : first + _PAGE]
            ]
            page = _BETWEEN.join(kept).encode()
            self._pages.write(page)
            self._starts.append(self._starts[-1] + len(page))
        self._count += len(texts)
        if self._count > _MOST:
            text = f"The workbook has more than {_MOST:,} different texts; send the rows in several files."
            raise TooLarge(text, "xlsx-too-large")

    def _aside(self, text: str) -> str:
        """Keeps a long text by itself, lest its page be long for all others; what stands for it there."""
        kept = text.encode()
        self._long.write(kept)
        return f"{_ASIDE}{self._long.tell() - len(kept)},{len(kept)}"

    def at(self, number: str) -> str:
        """The string that a cell refers to. Raises Invalid `xlsx-broken` where there is none."""
        try:
            index = int(number)
            text = self._held[index // _PAGE][index % _PAGE]
        except (ValueError, LookupError):
            text = self._missed(number)
        return text if isinstance(text, str) else self._fetched(text)

    def _missed(self, number: str) -> str | _Place:
        """The string whose page is not in memory, or has no such string."""
        index = (
            int(number) if len(number) <= _DIGITS and number.isascii() and number.isdigit() else self._count
        )
        if index >= self._count:
            text = f"A cell refers to the shared text {shown(number)}"
            raise broken(f"{text}, and the workbook has {self._count:,} of them")
        return self._load(index // _PAGE)[index % _PAGE]

    def _load(self, page: int) -> list[str | _Place]:
        size = self._starts[page + 1] - self._starts[page]
        if self._held_bytes + size > _PAGES_HELD:
            self._held.clear()
            self._held_bytes = 0
        self._pages.seek(self._starts[page])
        texts = self._pages.read(size).decode().split(_BETWEEN)
        self._held[page] = [_place(text) if text.startswith(_ASIDE) else unescaped(text) for text in texts]
        self._held_bytes += size
        return self._held[page]

    def _fetched(self, place: _Place) -> str:
        self._long.seek(place.start)
        return unescaped(self._long.read(place.size).decode())


class _Place(NamedTuple):
    """Where a long text is kept, in bytes."""

    start: int
    size: int


def _place(text: str) -> _Place:
    start, _, size = text[1:].partition(",")
    return _Place(int(start), int(size))


def _spool() -> SpooledTemporaryFile[bytes]:
    return SpooledTemporaryFile(max_size=_IN_MEMORY)


def unescaped(text: str) -> str:
    """A text of a cell as Excel shows it: `_x000D_` is one character (ECMA-376 part 1, 22.9.2.19)."""
    # What was cut must be seen to be too long.
    if "_x" not in text or len(text) > LINE_LIMIT:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


class _Items:
    """The texts of the part: runs joined, phonetic ones left out."""

    def __init__(self, part: str) -> None:
        self.depth = 0
        self.done: list[str] = []
        self._part = part
        # The pieces of the text that is open, and what it may still be long.
        self._item: list[str] | None = None
        self._left = 0
        self._phonetic = self._taking = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = _LOCAL.get(name)
        if local == "si":
            if self._item is not None:
                raise self._misplaced(local)
            self._item, self._left = [], LINE_LIMIT + 1
        elif local == "t":
            if self._taking:
                raise self._misplaced(local)
            self._taking = True
        else:
            self.depth += 1
            self._phonetic = self._phonetic or local == "rPh"

    def end(self, name: str) -> None:
        local = _LOCAL.get(name)
        if local == "si":
            self.done.append("".join(self._item or ()))
            self._item = None
        elif local == "t":
            self._taking = False
        else:
            self.depth -= 1
            self._phonetic = self._phonetic and local != "rPh"

    def text(self, text: str) -> None:
        if self._left > 0 and self._taking and not self._phonetic and self._item is not None:
            self._item.append(text[: self._left])
            self._left -= len(text)

    def _misplaced(self, local: str) -> Exception:
        return broken(f"The workbook's part {shown(self._part, 80)} has an element {local} inside another")
