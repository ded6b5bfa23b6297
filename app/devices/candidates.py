"""Rows on their way into the registry: batches of them, each row as the text that COPY takes.

Pure, and made in a thread while the database works on the batch before.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

import msgspec

from app.devices.intake import Finding, Reading, Row, Shared

# What no two devices share: the key of an IMEI, or a serial with its GTIN.
Handle: TypeAlias = int | tuple[str, str]

# A hostile file has rows of many thousand cells.
_MOST_CELLS = 1_000_000


class Candidate(NamedTuple):
    """A readable row. `body` is the text of all its columns but the IMEIs'; `cells` are the file's own."""

    line: int
    keys: list[int]
    serial: str
    gtin: str
    body: str
    cells: Sequence[str]

    @property
    def handles(self) -> list[Handle]:
        return [*self.keys, (self.serial, self.gtin)] if self.serial else [*self.keys]

    @property
    def text(self) -> str:
        """All of it but the line."""
        return f"{{{','.join(map(str, self.keys))}}}\t{self.body}"


class Reject(NamedTuple):
    """A row that is given back as it came."""

    line: int
    cells: Sequence[str]


class Batch(msgspec.Struct):
    """Some thousand rows of a file."""

    candidates: list[Candidate] = []
    findings: list[Finding] = []
    rejects: list[Reject] = []


BODY = ("serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
"""The columns of a candidate's body."""


def batches(readings: Iterator[Reading], size: int) -> Callable[[], Batch | None]:
    """The next batch at each call, None at the end."""
    shared = _Texts()

    def following() -> Batch | None:
        batch, read, held = Batch(), 0, 0
        for row, findings, cells in islice(readings, size):
            read += 1
            held += len(cells)
            if findings:
                batch.findings += findings
            if row is not None:
                batch.candidates.append(_candidate(row, cells, shared))
            elif any(finding.rejected for finding in findings):
                batch.rejects.append(Reject(findings[0].line, cells))
            if held > _MOST_CELLS:
                break
        return batch if read else None

    return following


def _candidate(row: Row, cells: Sequence[str], shared: _Texts) -> Candidate:
    line, keys, serial, same = row
    body = f"{escaped(serial)}\t{shared[same]}"
    return Candidate(line, keys, serial, same.gtin, body, cells)


class _Texts(dict[Shared, str]):
    """The part of a body that neighbouring rows share, kept as text."""

    def __missing__(self, shared: Shared) -> str:
        if len(self) > 10_000:
            self.clear()
        *texts, value, currency = shared
        columns = [*map(escaped, texts), "\\N" if value is None else str(value), currency]
        text = self[shared] = "\t".join(columns)
        return text


def escaped(text: str) -> str:
    """A text as a column of COPY."""
    # Control characters never pass the reader, so the backslash is all that COPY would take amiss.
    return text.replace("\\", "\\\\") if "\\" in text else text


class Heard:
    """The names that a submission has named so far, in 32 MB however many they are.

    `add` says whether a name may have been heard before. It never misses one; of a million rows with three
    names it is wrong about one in a hundred, which costs those rows a look into the registry.
    """

    _BITS = 28

    def __init__(self) -> None:
        self._bits = bytearray(1 << (self._BITS - 3))

    def add(self, name: Handle) -> bool:
        place = hash((name,)) & ((1 << self._BITS) - 1)
        byte, bit = place >> 3, 1 << (place & 7)
        known = self._bits[byte] & bit
        self._bits[byte] |= bit
        return bool(known)


def split(
    candidates: Iterable[Candidate], known: Container[Handle], heard: Heard | None = None
) -> tuple[list[Candidate], list[Candidate]]:
    """Those whose names are all new, and those to be judged against the registry.

    A doubtful candidate's names count as heard: whoever shares one must wait for its verdict.
    """
    here: set[Handle] = set()
    fresh: list[Candidate] = []
    doubtful: list[Candidate] = []
    for candidate in candidates:
        names = candidate.handles
        doubts = [name for name in names if name in here or name in known]
        if heard is not None:
            doubts += [name for name in names if heard.add(name)]
        (doubtful if doubts else fresh).append(candidate)
        here.update(names)
    return fresh, doubtful
