"""Rows on their way into the registry: batches of them, each row as the text that COPY takes.

Pure, and made beside the event loop while the database works on the batch before.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

import msgspec

from app.devices.intake import Finding, Reading, Shared

# What no two devices share: the key of an IMEI, or a serial with its GTIN.
Handle: TypeAlias = int | tuple[str, str]

# Rows that are read together. A hostile file has rows of many thousand cells.
ROWS, _MOST_CELLS = 20_000, 1_000_000

BODY = ("serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
"""The columns of a device's text after its IMEIs."""


class Candidate(NamedTuple):
    """A readable row. `text`: its keys as an array, and the columns of BODY; `cells`: the file's own, packed."""

    line: int
    text: str
    cells: msgspec.Raw

    @property
    def keys(self) -> list[int]:
        array = self.text[1 : self.text.index("}")]
        return [int(key) for key in array.split(",")] if array else []

    @property
    def name(self) -> tuple[str, str]:
        """Its serial ('' where it has none) and GTIN."""
        _, serial, gtin, _ = self.text.split("\t", 3)
        return serial.replace("\\\\", "\\"), gtin

    @property
    def handles(self) -> list[Handle]:
        name = self.name
        return [*self.keys, name] if name[0] else [*self.keys]


class Reject(NamedTuple):
    """A row that is given back as it came."""

    line: int
    cells: msgspec.Raw


class Fresh(msgspec.Struct):
    """Rows no two of which name the same device, in the order of their serials, which the indexes like; those
    without IMEI stand last. `lines`, `texts` and `cells` are in step."""

    lines: list[int] = []
    texts: list[str] = []
    cells: list[msgspec.Raw] = []
    firsts: list[int] = []
    """Of each row that has an IMEI the first key."""
    keys: list[int] = []
    """All keys, in order."""
    homes: list[int] = []
    """Of each key the place of its row."""

    def candidates(self) -> list[Candidate]:
        return [*map(Candidate, self.lines, self.texts, self.cells)]


class Batch(msgspec.Struct, tag=True):
    """Some thousand rows of a file, `rows` of them."""

    rows: int = 0
    fresh: Fresh = msgspec.field(default_factory=Fresh)
    doubtful: list[Candidate] = []
    """Rows that name a device that a row above names, too."""
    findings: list[Finding] = []
    rejects: list[Reject] = []


class _Rows:
    """Readable rows, column by column: nothing is made for a row but its texts."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.keys: list[list[int]] = []
        self.serials: list[str] = []
        self.bodies: list[str] = []
        self.cells: list[msgspec.Raw] = []

    def into(self, batch: Batch) -> None:
        """As fresh rows, or doubtful ones where several may name the same device."""
        keys, serials = list(chain.from_iterable(self.keys)), list(filter(None, self.serials))
        if len(set(keys)) == len(keys) and len(set(serials)) == len(serials):
            batch.fresh = _ordered(self.lines, self.keys, self.bodies, self.cells)
        else:
            texts = map(_text, self.keys, self.bodies)
            fresh, batch.doubtful = split(map(Candidate, self.lines, texts, self.cells), ())
            batch.fresh = ordered(fresh)


def batches(readings: Iterator[Reading], size: int = ROWS) -> Callable[[], Batch | None]:
    """The next batch at each call, None at the end."""
    shared = _Texts()

    def following() -> Batch | None:
        batch, rows, held, some = Batch(), _Rows(), 0, False
        for row, findings, cells in islice(readings, size):
            some = True
            held += len(cells)
            if findings:
                batch.findings += findings
            if row is not None:
                line, keys, serial, same = row
                rows.lines.append(line)
                rows.keys.append(keys)
                rows.serials.append(serial)
                rows.bodies.append(f"{escaped(serial)}\t{shared.of(same)}")
                rows.cells.append(packed(cells))
            elif any(finding.rejected for finding in findings):
                batch.rejects.append(Reject(findings[0].line, packed(cells)))
            if held > _MOST_CELLS:
                break
        batch.rows = len(rows.lines) + len(batch.rejects)
        rows.into(batch)
        return batch if some else None

    return following


def packed(cells: Sequence[str]) -> msgspec.Raw:
    """Cells, so that they cost little until somebody asks for them."""
    try:
        return msgspec.Raw(msgspec.msgpack.encode(cells))
    except UnicodeEncodeError:
        # Bytes that were no text are question marks from here on.
        return packed([cell.encode("utf-8", "replace").decode() for cell in cells])


def unpacked(cells: msgspec.Raw) -> list[str]:
    return msgspec.msgpack.decode(cells, type=list[str])


def ordered(candidates: Sequence[Candidate]) -> Fresh:
    """Candidates no two of which name the same device, in the order in which they are entered."""
    bodies = [each.text.partition("}\t")[2] for each in candidates]
    return _ordered(
        [each.line for each in candidates],
        [each.keys for each in candidates],
        bodies,
        [each.cells for each in candidates],
    )


def _ordered(lines: list[int], keys: list[list[int]], bodies: list[str], cells: list[msgspec.Raw]) -> Fresh:
    by_serial = sorted(range(len(bodies)), key=bodies.__getitem__)
    named = [place for place in by_serial if keys[place]]
    order = named + [place for place in by_serial if not keys[place]]
    # One comparison of integers each: the key, and the place of its row among fewer than 2^20.
    owned = sorted([key << 20 | home for home, place in enumerate(named) for key in keys[place]])
    return Fresh(
        lines=[lines[place] for place in order],
        texts=[_text(keys[place], bodies[place]) for place in order],
        cells=[cells[place] for place in order],
        firsts=[keys[place][0] for place in named],
        keys=[pair >> 20 for pair in owned],
        homes=[pair & 0xFFFFF for pair in owned],
    )


def _text(keys: list[int], body: str) -> str:
    if len(keys) == 2:
        return f"{{{keys[0]},{keys[1]}}}\t{body}"
    return f"{{{','.join(map(str, keys))}}}\t{body}"


class _Texts:
    """The part of a body that neighbouring rows share, as text. They share one object, too."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Shared, str]] = {}

    def of(self, shared: Shared) -> str:
        found = self._texts.get(id(shared))
        if found is None:
            if len(self._texts) > 10_000:
                self._texts.clear()
            # Kept with its text: as long as it is here, no other object has its id.
            found = self._texts[id(shared)] = (shared, _shared_text(shared))
        return found[1]


def _shared_text(shared: Shared) -> str:
    *texts, value, currency = shared
    return "\t".join([*map(escaped, texts), "\\N" if value is None else str(value), currency])


def escaped(text: str) -> str:
    """A text as a column of COPY."""
    # Control characters never pass the reader, so the backslash is all that COPY would take amiss.
    return text.replace("\\", "\\\\") if "\\" in text else text


def split(
    candidates: Iterable[Candidate], known: Container[Handle]
) -> tuple[list[Candidate], list[Candidate]]:
    """Those whose names are all new, and those to be judged against the registry.

    A doubtful candidate's names count as heard: whoever shares one must wait for its verdict.
    """
    heard: set[Handle] = set()
    fresh: list[Candidate] = []
    doubtful: list[Candidate] = []
    for candidate in candidates:
        handles = candidate.handles
        is_doubtful = any(handle in heard or handle in known for handle in handles)
        (doubtful if is_doubtful else fresh).append(candidate)
        heard.update(handles)
    return fresh, doubtful
