"""XML of a workbook as events, in memory that does not grow with it. No DTD, so no entity of its own."""

from __future__ import annotations

import codecs
from collections.abc import Container, Iterable, Iterator
from typing import Protocol
from xml.parsers import expat

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake.workbook.archive import broken

# Transitional and strict (ECMA-376).
_MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
# What expat must see whole: a tag with its attributes, or a comment.
_TAG_LIMIT = 262_144
_DEPTH_LIMIT = 64
# A parser keeps every name of an element or attribute that it has ever met.
_NAMES_LIMIT = 4_096


class Events(Protocol):
    """Takes what a parser sees. Names are `namespace name`."""

    # How many elements are open; those that cannot stand in each other need not be counted.
    depth: int

    def start(self, name: str, attributes: dict[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, text: str) -> None: ...


def names(*local: str) -> dict[str, str]:
    """Elements of a workbook by their full names, in both namespaces."""
    return {f"{namespace} {name}": name for name in local for namespace in _MAIN}


def parse(part: str, blocks: Iterable[bytes], events: Events) -> Iterator[None]:
    """Gives the part to `events`, a block at each step. Raises Invalid `xlsx-broken`, `xlsx-doctype`."""
    parser: expat.XMLParserType | None = None
    known: dict[str, str] = {}
    given = 0
    try:
        for block in blocks:
            parser = parser or _parser(part, block, events, known)
            parser.Parse(block, False)
            given += len(block)
            if given - parser.CurrentByteIndex > _TAG_LIMIT or events.depth > _DEPTH_LIMIT:
                raise broken(f"The workbook's part {shown(part, 80)} has tags without end")
            if len(known) > _NAMES_LIMIT:
                raise broken(f"The workbook's part {shown(part, 80)} has elements of too many names")
            yield
        parser = parser or _parser(part, b"", events, known)
        parser.Parse(b"", True)
        yield
    except expat.ExpatError as error:
        raise broken(f"The workbook's part {shown(part, 80)} is not XML ({shown(str(error), 80)})") from error


def _parser(part: str, head: bytes, events: Events, known: dict[str, str]) -> expat.XMLParserType:
    # An encoding that the part declares would be looked up among all of Python's.
    utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    parser = expat.ParserCreate("utf-16" if utf_16 else "utf-8", " ", known)
    parser.buffer_text = True
    parser.StartElementHandler = events.start
    parser.EndElementHandler = events.end
    parser.CharacterDataHandler = events.text

    def refused(*_: object) -> None:
        text = f"The workbook's part {shown(part, 80)} has a document type (DTD), which no workbook has"
        raise Invalid(f"{text}; save it again in Excel and send that.", "xlsx-doctype")

    parser.StartDoctypeDeclHandler = refused
    return parser


class _Wanted:
    def __init__(self, part: str, wanted: Container[str], most: int) -> None:
        self.depth = 0
        self.found: list[dict[str, str]] = []
        self._part, self._wanted, self._most = part, wanted, most

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if name in self._wanted:
            self.found.append(attributes)
            if len(self.found) > self._most:
                text = f"The workbook's part {shown(self._part, 80)} lists more than {self._most:,} things"
                raise broken(text)

    def end(self, name: str) -> None:
        self.depth -= 1

    def text(self, text: str) -> None:
        pass


def attributes(part: str, blocks: Iterable[bytes], wanted: Container[str], most: int) -> list[dict[str, str]]:
    """The attributes of every element that is `wanted` by its full name, at most so many."""
    events = _Wanted(part, wanted, most)
    for _ in parse(part, blocks, events):
        pass
    return events.found
