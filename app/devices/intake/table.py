"""Rows of cells under a header, whatever they were written in: the header names the columns, in any order and
under several names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from app.core.errors import Flaw, Invalid
from app.core.imei import shown
from app.devices.intake import at_once
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.columns import Mapped, placed, refuse
from app.devices.intake.rows import Defaults, Reading, Rows, Submission


class Broken(NamedTuple):
    """A line that cannot be read, and why; without cells, its text stands for them."""

    text: str
    code: str
    sentence: str
    cells: Sequence[str] = ()


class Noted(NamedTuple):
    """Cells of which something is to be said: a warning, which rejects the row where they name no device."""

    cells: list[str]
    finding: Finding


# A line of the file: its number, and its cells.
Record: TypeAlias = tuple[int, list[str] | Broken | Noted]

MISCOUNTED = "cells-miscounted"

_SHARED = ("gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
_ROWS_AT_ONCE, _CELLS_AT_ONCE = 256, 4096
_NEEDED = (
    "It needs an IMEI column, or a serial and a GTIN column, as in:"
    " imei1,imei2,serial,gtin,pallet,site,owner,model,unit_value,currency; or a"
    " mapping that says which column is which."
)


class Header(NamedTuple):
    """Where each field stands among the columns. `quiet` columns are not read and nobody is told; `verdict`
    are those of them that say why the row was given back. `lacking` names the columns that the sender's mapping
    has and the file need not have, `meant` says whether it has some that the file has too, and `flaws` tell where it
    is wrong."""

    line: int
    names: list[str]
    imeis: list[int]
    fields: dict[str, int]
    quiet: frozenset[int]
    verdict: frozenset[int]
    lacking: list[str]
    meant: bool
    flaws: list[Flaw]

    @property
    def known(self) -> int:
        """How many columns are understood."""
        return len(self.imeis) + len(self.fields) + len(self.quiet)

    @property
    def identifies(self) -> bool:
        """Whether a row under it can name a device."""
        return bool(self.imeis) or {"serial", "gtin"} <= self.fields.keys()

    def came_with_more(self, cells: Sequence[str]) -> bool:
        """Whether a row was given back for its cells being too many, which then stand behind the verdict."""
        return len(cells) >= len(self.names) and any(cells[place] == MISCOUNTED for place in self.verdict)

    def unread(self) -> list[str]:
        """Names of columns that nothing is read from."""
        read = {*self.imeis, *self.fields.values(), *self.quiet}
        return [name for place, name in enumerate(self.names) if place not in read and name.strip()]


def header(line: int, names: list[str], mapped: Mapped) -> Header:
    """What the columns of that line's names mean."""
    found = placed(names, mapped)
    verdict = frozenset(found.verdict)
    quiet = verdict.union(found.unread)
    return Header(line, names, found.imeis, found.fields, quiet, verdict, *found[4:])


def unusable(line: str, lacking: Sequence[str] = ()) -> Invalid:
    """The refusal of a file whose first line is no header."""
    return headless(f"The first line, '{shown(line)}', is no header that identifies devices.", lacking)


def headless(sentence: str, lacking: Sequence[str]) -> Invalid:
    """The refusal of a file without a header, with what a header needs, or lacks of a supplier's mapping."""
    more = f" It lacks {_quoted(lacking)}, of which the supplier's mapping speaks." if lacking else ""
    return Invalid(f"{sentence}{more} {_NEEDED}", "header-wrong")


def submission(
    found: Header, records: Iterable[Record], defaults: Defaults, notes: Sequence[Finding] = ()
) -> Submission:
    """The rows below the header, read; `notes` are said of the file as a whole.

    Raises Invalid `columns-wrong` for a mapping that is wrong, `file-empty`.
    """
    refuse(found.flaws)
    readings = _readings(records, found, Rows(defaults))
    first = next(readings, None)
    if first is None:
        raise Invalid("The file has a header and no rows.", "file-empty")
    row, findings, cells = first
    noted: Reading = row, [*findings, *notes, *_lacking(found), *_ignored(found)], cells
    names, readings = tuple(found.names), chain((noted,), readings)
    if not found.verdict:
        return Submission(names, readings)
    return Submission(tuple(_other(names, found.verdict)), _unmarked(readings, found))


def _lacking(found: Header) -> list[Finding]:
    # A file that has none of them has a header of its own, which is not the supplier's usual one.
    if not (found.lacking and found.meant):
        return []
    listed = _quoted(found.lacking)
    sentence = f"The supplier's mapping speaks of columns that the file does not have: {listed}."
    return [warning("header", listed, "column-lacking", sentence, found.line)]


def _quoted(names: Sequence[str]) -> str:
    return shown(", ".join(f"'{name}'" for name in names), 200)


def _ignored(found: Header) -> list[Finding]:
    names = found.unread()
    if not names:
        return []
    listed = shown(", ".join(names), 200)
    sentence = f"Columns that are not read: {listed}."
    return [warning("header", listed, "column-ignored", sentence, found.line)]


def _unmarked(readings: Iterator[Reading], found: Header) -> Iterator[Reading]:
    """The readings without what was said of the row when it was given back: it may be given back again."""
    for row, findings, cells in readings:
        marked = len(cells) == len(found.names) or found.came_with_more(cells)
        yield row, findings, _other(cells, found.verdict) if marked else cells


def _other(cells: Sequence[str], places: frozenset[int]) -> list[str]:
    return [cell for place, cell in enumerate(cells) if place not in places]


def _readings(records: Iterable[Record], found: Header, rows: Rows) -> Iterator[Reading]:
    width = len(found.names)
    # A missing column is read from an empty cell that each row gets at its end.
    serial = found.fields.get("serial", width)
    imeis = itemgetter(*found.imeis, *[width] * (2 - len(found.imeis)))
    shared = itemgetter(*(found.fields.get(field, width) for field in _SHARED))
    for (number, cells), keys in chain.from_iterable(_with_keys(records, found)):
        if isinstance(cells, list) and len(cells) == width:
            cells.append("")
            row, findings = rows.read(number, imeis(cells), cells[serial], shared(cells), keys)
            cells.pop()
            if row is not None or any(map(str.strip, cells)):
                yield row, findings, cells
        elif isinstance(cells, Noted):
            said = [*cells.cells, ""]
            row, findings = rows.read(number, imeis(said), said[serial], shared(said))
            note = cells.finding._replace(rejected=row is None)
            yield row, [*findings, note], cells.cells
        elif isinstance(cells, Broken):
            broken = flaw("line", cells.text, cells.code, cells.sentence, number)
            yield None, [broken], cells.cells or [cells.text]
        elif any(map(str.strip, cells)):
            yield None, [_ragged(number, cells, width)], cells


def _with_keys(
    records: Iterable[Record], found: Header
) -> Iterator[Iterable[tuple[Record, list[int] | None]]]:
    """Some records at once, each with what its IMEI cells plainly say."""
    width, source = len(found.names), iter(records)
    while some := _some(source):
        whole = [cells if isinstance(cells, list) and len(cells) == width else None for _, cells in some]
        columns = [[cells[place] if cells else "" for cells in whole] for place in found.imeis]
        yield zip(some, at_once.keys(columns), strict=False)


def _some(records: Iterator[Record]) -> list[Record]:
    """The next records, with some thousand cells together: a single row may have as many."""
    some, cells = [], 0
    for record in islice(records, _ROWS_AT_ONCE):
        some.append(record)
        cells += len(record[1])
        if cells > _CELLS_AT_ONCE:
            break
    return some


def _ragged(number: int, cells: Sequence[str], width: int) -> Finding:
    sentence = f"The line has {len(cells)} cells where the header has {width}."
    return flaw("line", " ".join(cells), MISCOUNTED, sentence, number)
