"""The physical lines of a file as text, in constant memory whatever the file holds.

Bytes that are no UTF-8 become lone surrogates, which the cells refuse, so that one bad line costs one row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

LINE_LIMIT = 65_536

# As many bytes as LINE_LIMIT characters can have: what is cut to this is still seen to be too long.
_KEPT = 4 * (LINE_LIMIT + 1)


class Lines:
    """Lines without their ends, counted. A line longer than LINE_LIMIT characters comes cut, but longer."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.number = 0
        self._batches = _batches(blocks)
        self._ahead: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._ahead:
            self._ahead.extend(next(self._batches))
        self.number += 1
        return self._ahead.popleft()

    def batch(self) -> list[str]:
        """The lines at hand, or else some thousand more; none at the end of the file."""
        lines = list(self._ahead) or next(self._batches, [])
        self._ahead.clear()
        self.number += len(lines)
        return lines

    def give_back(self, lines: Sequence[str]) -> None:
        """Make the latest lines the next ones again."""
        self._ahead.extendleft(reversed(lines))
        self.number -= len(lines)


def _batches(blocks: Iterable[bytes]) -> Iterator[list[str]]:
    rest = b""
    for block in blocks:
        data = rest + block
        # A carriage return that comes last may be half of a line end.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        if cut:
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
