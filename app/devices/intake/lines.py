"""The physical lines of a file as text, in constant memory whatever the file holds.

UTF-8, or UTF-16 where a byte order mark says so. Bytes that are no UTF-8 become lone surrogates, which the
cells refuse, so that one bad line costs one row.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import BinaryIO

LINE_LIMIT = 65_536

_BLOCK = 262_144
# As many bytes as LINE_LIMIT characters can have: what is cut to this is still seen to be too long.
_KEPT = 4 * (LINE_LIMIT + 1)


class Lines:
    """Lines without their ends, counted. A line longer than LINE_LIMIT characters comes cut, but longer."""

    def __init__(self, source: BinaryIO) -> None:
        self.number = 0
        self._fresh = chain.from_iterable(_batches(utf8_blocks(source)))
        self._returned: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._fresh)
        self.number += 1
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        """Make the latest lines the next ones again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def utf8_blocks(source: BinaryIO) -> Iterator[bytes]:
    """The file as UTF-8 without its byte order mark."""
    head = b""
    while len(head) < 3 and (more := source.read(_BLOCK)):
        head += more
    more_blocks = iter(partial(source.read, _BLOCK), b"")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _from_utf16(chain([head], more_blocks))
    return chain([head.removeprefix(codecs.BOM_UTF8)], more_blocks)


def _from_utf16(blocks: Iterable[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"


def _batches(blocks: Iterable[bytes]) -> Iterator[list[str]]:
    rest = b""
    for block in blocks:
        data = rest + block
        # A carriage return that comes last may be half of a line end.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        yield _split(data[:cut])
        rest = data[cut:]
        rest = rest[:_KEPT] + rest[_KEPT:][-1:]
    if rest:
        yield _split(rest)


def _split(data: bytes) -> list[str]:
    text = data.decode("utf-8", "surrogateescape")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines
