"""Rows on their way into the registry: batches of them, each row as the text that COPY takes.

Pure, and made beside the event loop while the database works on the batch before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

import msgspec

from app.devices.intake import Columns, Finding, Reading, Shared, Submission

# What no two devices share: the key of an IMEI, or a serial with its GTIN.
Handle: TypeAlias = int | tuple[str, str]

# Rows that are read together, fewer than 2^16. A hostile file has rows of many thousand cells.
ROWS, _MOST_CELLS = 20_000, 1_000_000

BODY = ("serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
"""The columns of a device's text after its IMEIs."""


class Candidate(NamedTuple):
    """A readable row. `text`: its keys as an array, and the columns of BODY; `place` is that of its cells."""

    line: int
    text: str
    place: int

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
    """A row that is given back as it came, with the codes and the sentences of what is wrong with it."""

    line: int
    cells: Sequence[str]
    codes: list[str]
    sentences: list[str]

    @classmethod
    def of(cls, cells: Sequence[str], findings: Sequence[Finding]) -> Reject:
        """`findings` are the row's own, of which one rejects it at least."""
        wrong = [finding for finding in findings if finding.rejected]
        codes, sentences = [one.code for one in wrong], [one.sentence for one in wrong]
        return cls(wrong[0].line, told(cells), codes, sentences)


class Distinct(msgspec.Struct):
    """Rows no two of which name the same device, in the order of their serials, which the indexes like; those
    without IMEI stand last. `lines`, `texts` and `places` are in step."""

    lines: list[int] = []
    texts: list[str] = []
    places: list[int] = []
    firsts: list[int] = []
    """Of each row that has an IMEI the first key."""
    owned: list[int] = []
    """All keys, in order, each with the number of its row in the last 16 bits."""
    digest: bytes = b""
    """Of the texts: the same rows have the same."""

    def candidates(self) -> Iterator[Candidate]:
        return map(Candidate, self.lines, self.texts, self.places)


class Batch(msgspec.Struct, tag=True, dict=True):
    """Some thousand rows of a file, `rows` of them."""

    rows: int = 0
    distinct: Distinct = msgspec.field(default_factory=Distinct)
    doubtful: list[Candidate] = []
    """Rows that name a device that a row above names, too."""
    findings: list[Finding] = []
    rejects: list[Reject] = []
    packed: msgspec.Raw = msgspec.Raw()
    """The cells of its readable rows, which hardly anybody asks for."""

    def cells(self, candidate: Candidate) -> Sequence[str]:
        return self._cells[candidate.place]

    @cached_property
    def _cells(self) -> list[list[str]]:
        return msgspec.msgpack.decode(self.packed, type=list[list[str]])


class _Rows:
    """Readable rows, column by column: nothing is made for a row but its text."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.keys: list[list[int]] = []
        self.serials: list[str] = []
        self.texts: list[str] = []
        self.cells: list[Sequence[str]] = []

    def into(self, batch: Batch) -> None:
        """As distinct rows, or doubtful ones where several may name the same device."""
        keys, serials = list(chain.from_iterable(self.keys)), list(filter(None, self.serials))
        places = range(len(self.lines))
        if len(set(keys)) == len(keys) and len(set(serials)) == len(serials):
            batch.distinct = _ordered(self.lines, self.texts, places, self.keys, self.serials)
        else:
            distinct, batch.doubtful = split(map(Candidate, self.lines, self.texts, places), ())
            batch.distinct = ordered(distinct)
        batch.packed = _packed(self.cells)


def batches(readings: Iterator[Reading], size: int = ROWS) -> Callable[[], Batch | None]:
    """The next batch at each call, None at the end."""
    shared = _Texts()

    def following() -> Batch | None:
        batch, rows, held, some = Batch(), _Rows(), 0, False
        for row, findings, cells in islice(readings, size):
            some = True
            # One cell may be the text of a whole object or item.
            held += len(cells) if len(cells) > 1 else len(cells[0]) // 16 if cells else 0
            if findings:
                batch.findings += findings
            if row is not None:
                line, keys, serial, same = row
                rows.lines.append(line)
                rows.keys.append(keys)
                rows.serials.append(serial)
                rows.texts.append(f"{_array(keys)}\t{escaped(serial)}\t{shared.of(same)}")
                rows.cells.append(cells)
            elif any(finding.rejected for finding in findings):
                batch.rejects.append(Reject.of(cells, findings))
            if held > _MOST_CELLS:
                break
        batch.rows = len(rows.lines) + len(batch.rejects)
        rows.into(batch)
        return batch if some else None

    return following


def _array(keys: list[int]) -> str:
    if len(keys) == 2:
        return f"{{{keys[0]},{keys[1]}}}"
    return f"{{{','.join(map(str, keys))}}}"


def _packed(rows: list[Sequence[str]]) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.msgpack.encode(rows))
    except UnicodeEncodeError:
        return msgspec.Raw(msgspec.msgpack.encode([*map(told, rows)]))


def told(cells: Iterable[str]) -> list[str]:
    """Cells and names of columns as they are given back: what was no text, and zero bytes, are question marks."""
    return [cell.encode("utf-8", "replace").decode().replace("\0", "?") for cell in cells]


def columns_of(submission: Submission) -> Columns:
    """As they are given back."""
    return Columns(told(submission.columns), submission.delimiter)


def ordered(candidates: Sequence[Candidate]) -> Distinct:
    """Candidates no two of which name the same device, in the order in which they are entered."""
    lines, texts, places = zip(*candidates, strict=True) if candidates else ((), (), ())
    keys, serials = [each.keys for each in candidates], [each.name[0] for each in candidates]
    return _ordered(lines, texts, places, keys, serials)


def _ordered(
    lines: Sequence[int],
    texts: Sequence[str],
    places: Sequence[int],
    keys: Sequence[list[int]],
    serials: Sequence[str],
) -> Distinct:
    by_serial = sorted(range(len(lines)), key=serials.__getitem__)
    named = [number for number in by_serial if keys[number]]
    order = named + [number for number in by_serial if not keys[number]]
    in_order = [texts[number] for number in order]
    return Distinct(
        lines=[lines[number] for number in order],
        texts=in_order,
        places=[places[number] for number in order],
        firsts=[keys[number][0] for number in named],
        owned=sorted([key << 16 | home for home, number in enumerate(named) for key in keys[number]]),
        digest=hashlib.sha256("\n".join(in_order).encode()).digest(),
    )


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
    distinct: list[Candidate] = []
    doubtful: list[Candidate] = []
    for candidate in candidates:
        handles = candidate.handles
        is_doubtful = any(handle in heard or handle in known for handle in handles)
        (doubtful if is_doubtful else distinct).append(candidate)
        heard.update(handles)
    return distinct, doubtful
