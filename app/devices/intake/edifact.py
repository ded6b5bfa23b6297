"""UN/EDIFACT, syntax 1 to 4 (ISO 9735): a stream of bytes becomes the segments of its messages, in constant memory.

UNA names the separators; without it they are the usual ones, or the control characters of level B. The envelope
(UNB, UNG, UNH and their ends) is held against its own counts and references. Knows no message type. A segment's
number counts the terminators in the file, so a UNA is segment 1.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO, NamedTuple

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake.envelope import Envelope, Segment, broken
from app.devices.intake.lines import LINE_LIMIT

_BLOCK = 262_144
_BETWEEN = b" \t\r\n\x1a"
_TAG = re.compile(r"[A-Z][A-Z0-9]{2}")
# What the syntax identifier says of the characters (ISO 9735, 0001); UNOX changes them on the way and is not read.
_ENCODINGS = {
    "UNOA": "ascii", "UNOB": "ascii", "UNOC": "iso8859-1", "UNOD": "iso8859-2", "UNOE": "iso8859-5",
    "UNOF": "iso8859-7", "UNOG": "iso8859-3", "UNOH": "iso8859-4", "UNOI": "iso8859-6", "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9", "UNOW": "utf-8", "UNOY": "utf-8",
}  # fmt: skip


class _Marks(NamedTuple):
    """The characters that separate; '' for one that is not in use."""

    component: str
    element: str
    release: str
    repetition: str
    terminator: str


_USUAL = _Marks(":", "+", "?", "*", "'")
_LEVEL_B = _Marks("\x1f", "\x1d", "", "", "\x1c")


def segments(source: BinaryIO) -> Iterator[Segment]:
    """Every segment from a UNH to its UNT. Bytes outside the character set come as lone surrogates.

    Raises Invalid `file-empty`, `edifact-malformed`, `edifact-counts`, `edifact-references`, `edifact-test`.
    """
    envelope = Envelope()
    for segment in _all_segments(source):
        if envelope.admits(segment):
            yield segment
    envelope.close()


def _all_segments(source: BinaryIO) -> Iterator[Segment]:
    head = _head(source)
    before = 1 if head.startswith(b"UNA") else 0
    marks = _una(head) if before else _default(head)
    numbered = enumerate(_pieces(head[9 * before :], source, marks, before), before + 1)
    number, first = next(numbered, (before + 1, b""))
    unb = _segment(number, first.decode("ascii", "surrogateescape"), marks._replace(repetition=""))
    encoding = _encoding(unb)
    # Before syntax 4 the fifth character of UNA was kept free, and a * in data is a *.
    marks = marks if unb.get(0, 1) == "4" else marks._replace(repetition="")
    yield unb
    for number, piece in numbered:
        yield _segment(number, piece.decode(encoding, "surrogateescape"), marks)


def _head(source: BinaryIO) -> bytes:
    head = b""
    while len(head) < 1024 and (more := source.read(_BLOCK)):
        head += more
    head = head.removeprefix(codecs.BOM_UTF8).lstrip(_BETWEEN)
    if not head:
        raise Invalid("The file is empty.", "file-empty")
    if not head.startswith((b"UNA", b"UNB")):
        said = shown(head[:20].decode("ascii", "replace"))
        text = f"The file begins with '{said}'; an EDIFACT interchange begins with UNA or UNB."
        raise Invalid(text, "edifact-malformed")
    return head


def _una(head: bytes) -> _Marks:
    named = head[3:9].decode("ascii", "replace").ljust(6, "\0")
    marks = _Marks(named[0], named[1], named[3].strip(" "), named[4].strip(" "), named[5])
    used = [mark for mark in marks if mark]
    if len(set(used)) < len(used) or any(mark.isalnum() or mark in "\0\ufffd" for mark in used):
        text = f"The UNA segment names '{shown(named)}'; its six characters would differ, as in UNA:+.? '"
        raise Invalid(text, "edifact-malformed")
    return marks


def _default(head: bytes) -> _Marks:
    return _LEVEL_B if head[3:4] == b"\x1d" else _USUAL


def _encoding(unb: Segment) -> str:
    if unb.tag != "UNB":
        raise broken(unb, "an interchange begins with UNB")
    level, version = unb.get(0), unb.get(0, 1)
    if level not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise broken(unb, f"the syntax '{shown(level)}' is not read; it would be one of {known}")
    if version not in ("1", "2", "3", "4"):
        raise broken(unb, f"the syntax version '{shown(version)}' is not read; it would be 1, 2, 3 or 4")
    return _ENCODINGS[level]


def _pieces(head: bytes, source: BinaryIO, marks: _Marks, before: int) -> Iterator[bytes]:
    """The segments as bytes, without their terminators and what stands between them."""
    terminator, release = marks.terminator.encode(), marks.release.encode()
    between = _BETWEEN.replace(terminator, b"")
    by_line = terminator == b"\n"
    count, rest = before, b""
    for block in chain([head], iter(partial(source.read, _BLOCK), b"")):
        *whole, rest = _unreleased((rest + block).split(terminator), terminator, release)
        for piece in whole:
            # Where a line feed ends segments, a carriage return may come before it, and blank lines are none.
            stripped = piece.strip(between) if by_line else piece.lstrip(between)
            if stripped or not by_line:
                count += 1
                yield _bounded(stripped, count)
        _bounded(rest, count + 1)
    if rest.strip(_BETWEEN):
        text = f"The file ends inside segment {count + 1}; it was cut off, and would end with UNZ."
        raise Invalid(text, "edifact-malformed")


def _bounded(piece: bytes, number: int) -> bytes:
    if len(piece) > LINE_LIMIT:
        text = f"Segment {number} is longer than {LINE_LIMIT} bytes; its terminator may be missing."
        raise Invalid(text, "edifact-malformed")
    return piece


def _unreleased(pieces: list[bytes], terminator: bytes, release: bytes) -> list[bytes]:
    """The pieces, joined again where the terminator between them was released."""
    if not release or not any(piece.endswith(release) for piece in pieces[:-1]):
        return pieces
    whole: list[bytes] = []
    held: list[bytes] = []
    for piece in pieces[:-1]:
        held.append(piece)
        if (len(piece) - len(piece.rstrip(release))) % 2 == 0:
            whole.append(terminator.join(held))
            held = []
    return [*whole, terminator.join([*held, pieces[-1]])]


def _segment(number: int, text: str, marks: _Marks) -> Segment:
    released = marks.release and marks.release in text
    (tag, *_), *elements = _split_released(text, marks) if released else _split(text, marks)
    segment = Segment(number, tag, elements, text + marks.terminator)
    if not _TAG.fullmatch(tag):
        raise broken(segment._replace(tag=shown(tag, 10)), "a segment begins with a tag of three capitals")
    return segment


def _split(text: str, marks: _Marks) -> list[list[str]]:
    # Only the last element of a segment repeats, so a repetition reads like one element more.
    if marks.repetition:
        text = text.replace(marks.repetition, marks.element)
    return [element.split(marks.component) for element in text.split(marks.element)]


def _split_released(text: str, marks: _Marks) -> list[list[str]]:
    elements, word = [[""]], ""
    chars = iter(text)
    for char in chars:
        if char == marks.release:
            word = next(chars, "")
        elif char == marks.component:
            elements[-1].append("")
            continue
        elif char in (marks.element, marks.repetition):
            elements.append([""])
            continue
        else:
            word = char
        elements[-1][-1] += word
    return elements
