"""The bytes of a file as UTF-8, whatever it was saved in: UTF-8, UTF-16 or Windows-1252.

What an encoding cannot hold passes as bytes that are no UTF-8, so that the cells refuse it where it stands.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import partial
from itertools import chain
from typing import BinaryIO, NamedTuple

from app.devices.intake.cells import Finding, warning

_BLOCK = 65_536
# Enough to see the first names of a header, and little enough to have been sent at once.
_HEAD = 64


class Encoding(StrEnum):
    """What a file was saved in, by the codec's name."""

    UTF_8 = "utf-8"
    UTF_16_LE = "utf-16-le"
    UTF_16_BE = "utf-16-be"
    WINDOWS_1252 = "cp1252"


class Text(NamedTuple):
    """A file as UTF-8 without its byte order mark, and what it was."""

    encoding: Encoding
    blocks: Iterator[bytes]

    def notes(self, line: int) -> list[Finding]:
        """What the sender should know of it, said of that line."""
        if self.encoding is not Encoding.WINDOWS_1252:
            return []
        sentence = (
            "The file is not UTF-8; it was read as Windows-1252. Check that names with accents came out right,"
            " or save it as UTF-8."
        )
        return [warning("file", "Windows-1252", "read-as-windows-1252", sentence, line)]


_MARKS = (
    (codecs.BOM_UTF8, Encoding.UTF_8),
    (codecs.BOM_UTF16_LE, Encoding.UTF_16_LE),
    (codecs.BOM_UTF16_BE, Encoding.UTF_16_BE),
)


def opened(source: BinaryIO) -> Text:
    """The file from where it stands. A source that cannot be read twice is never taken for Windows-1252."""
    head = b""
    while len(head) < _HEAD and (more := source.read(_BLOCK)):
        head += more
    mark, encoding = _marked(head)
    if encoding is Encoding.UTF_8 and source.seekable() and _forms_no_utf_8(head, source):
        encoding = Encoding.WINDOWS_1252
    blocks = chain([head[len(mark) :]], iter(partial(source.read, _BLOCK), b""))
    return Text(encoding, _as_utf_8(blocks, encoding))


def _marked(head: bytes) -> tuple[bytes, Encoding]:
    """The byte order mark, and the encoding that it tells; without one, the zero bytes tell."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return mark, encoding
    return b"", _by_zero_bytes(head[:4096])


def _by_zero_bytes(head: bytes) -> Encoding:
    """Of a UTF-16 character that is in ASCII, and headers and digits are, one half is a zero byte."""
    first, second = head[::2].count(0), head[1::2].count(0)
    most, least = max(first, second), min(first, second)
    if 4 * most < len(head) // 2 or most <= 4 * least:
        return Encoding.UTF_8
    return Encoding.UTF_16_LE if second > first else Encoding.UTF_16_BE


def _forms_no_utf_8(head: bytes, source: BinaryIO) -> bool:
    """Whether the file has bytes beyond ASCII and no two of them make a character; leaves it where it stood.

    One character is enough for UTF-8, also where Windows-1252 made it by chance: rows that are refused can be
    sent again, names that were silently read wrong are found by nobody.
    """
    start = source.tell()
    characters = codecs.getincrementaldecoder("utf-8")("ignore")
    beyond = False
    for block in chain([head], iter(partial(source.read, _BLOCK), b"")):
        if not characters.decode(block).isascii():
            beyond = False
            break
        beyond = beyond or not block.isascii()
    source.seek(start)
    return beyond


def _as_utf_8(blocks: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    match encoding:
        case Encoding.UTF_8:
            return iter(blocks)
        case Encoding.WINDOWS_1252:
            return (_from_windows_1252(block) for block in blocks)
        case _:
            return _from_utf_16(blocks, encoding)


def _from_windows_1252(block: bytes) -> bytes:
    # Five bytes mean nothing in it; they pass as they are.
    text = block.decode(Encoding.WINDOWS_1252, "surrogateescape")
    return text.encode("utf-8", "surrogateescape")


def _from_utf_16(blocks: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"
