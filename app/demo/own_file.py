"""The caller's own goods-in file. The gateway's reader reads it; the oracle checks what comes after."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TypeAlias

import msgspec

from app.core.errors import Invalid
from app.demo.goods import STOLEN_SHARE, Goods, Unit, Verdicts, expectations
from app.devices.intake import Defaults, Row, guess, read

_Name: TypeAlias = int | tuple[str, str]


class _Read(msgspec.Struct):
    rows: int = 0
    unchanged: int = 0
    rejected: set[int] = msgspec.field(default_factory=set)
    units: list[Unit] = []


def own(path: Path, seed: int) -> Goods:
    """What a file must come to where nothing is registered yet. Raises Invalid."""
    found = _read(path)
    named = sorted({unit.pallet for unit in found.units if unit.pallet})
    if len(named) < 2:
        raise Invalid(f"{path.name} names {len(named)} pallet(s); the demo needs at least two.")
    verdicts = Verdicts(found.rows, len(found.units), found.unchanged, frozenset(found.rejected))
    stolen = named[: max(1, len(named) // STOLEN_SHARE)]
    return expectations(path, verdicts, found.units, stolen, Random(seed))


def _read(path: Path) -> _Read:
    found, first = _Read(), dict[_Name, Row]()
    with path.open("rb") as file:
        form = guess(path.name, "", file.read(4096))
        file.seek(0)
        for row, findings, _ in read(file, form, Defaults()).readings:
            found.rows += 1
            if row is None:
                found.rejected.add(findings[0].line)
            else:
                _judge(row, first, found)
    return found


def _judge(row: Row, first: dict[_Name, Row], found: _Read) -> None:
    """A row that names a device of an earlier one is no device; it says the same, or it is rejected."""
    names: list[_Name] = [*row.keys, *([(row.serial, row.shared.gtin)] if row.serial else [])]
    earlier = [first[name] for name in names if name in first]
    for name in names:
        first.setdefault(name, row)
    if not earlier:
        found.units.append(_unit(row))
    elif row[1:] == min(earlier)[1:]:
        found.unchanged += 1
    else:
        found.rejected.add(row.line)


def _unit(row: Row) -> Unit:
    cents = int((row.shared.unit_value or 0) * 100)
    return Unit(tuple(row.keys), row.serial, row.shared.gtin, row.shared.pallet, row.shared.model, cents)
