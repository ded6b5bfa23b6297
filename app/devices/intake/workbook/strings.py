"""The shared strings of a workbook. A column of IMEIs kept as text has each IMEI here, so they are kept in a
temporary file, and those near the ones asked for last in memory.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from tempfile import SpooledTemporaryFile

from app.core.errors import TooLarge
from app.core.imei import shown
from app.devices.intake.lines import LINE_LIMIT
from app.devices.intake.workbook import markup
from app.devices.intake.workbook.archive import broken

_PAGE = 32
_PAGES_HELD = 2 * 1024**2
_IN_MEMORY = 1024**2
_MOST = 2**24
_LOCAL = markup.names("si", "t", "rPh")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


class Strings:
    """Shared strings by their number. One that is longer than LINE_LIMIT comes cut, but longer."""

    def __init__(self) -> None:
        self._spool = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by `close`)
        # Where each page of the file begins; the last one's end.
        self._starts = array("Q", [0])
        self._count = 0
        self._held: dict[int, list[str]] = {}
        self._held_bytes = 0

    def close(self) -> None:
        self._spool.close()

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
            # XML cannot hold the separator.
            page = "\0".join(texts[first : first + _PAGE]).encode()
            self._spool.write(page)
            self._starts.append(self._starts[-1] + len(page))
        self._count += len(texts)
        if self._count > _MOST:
            text = f"The workbook has more than {_MOST:,} different texts; send the rows in several files."
            raise TooLarge(text, "xlsx-too-large")

    def at(self, number: str) -> str:
        """The string that a cell refers to. Raises Invalid `xlsx-broken` where there is none."""
        try:
            index = int(number)
        except ValueError:
            index = -1
        if not 0 <= index < self._count:
            raise broken(
                f"A cell refers to the shared text {shown(number)}, and the workbook has {self._count:,} of them"
            )
        page, place = divmod(index, _PAGE)
        return (self._held.get(page) or self._load(page))[place]

    def _load(self, page: int) -> list[str]:
        size = self._starts[page + 1] - self._starts[page]
        if self._held_bytes + size > _PAGES_HELD:
            self._held.clear()
            self._held_bytes = 0
        self._spool.seek(self._starts[page])
        text = self._spool.read(size).decode()
        texts = text.split("\0")
        self._held[page] = texts = [unescaped(text) for text in texts] if "_x" in text else texts
        self._held_bytes += size
        return texts


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
        self._item: str | None = None
        self._phonetic = self._taking = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = _LOCAL.get(name)
        if local == "si":
            if self._item is not None:
                raise self._misplaced(local)
            self._item = ""
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
            self.done.append(self._item or "")
            self._item = None
        elif local == "t":
            self._taking = False
        else:
            self.depth -= 1
            self._phonetic = self._phonetic and local != "rPh"

    def text(self, text: str) -> None:
        if self._taking and not self._phonetic and self._item is not None:
            self._item = (self._item + text)[: LINE_LIMIT + 1]

    def _misplaced(self, local: str) -> Exception:
        return broken(f"The workbook's part {shown(self._part, 80)} has an element {local} inside another")
