"""What the warehouse received, and what a goods-in file about it must come to.

The demo's oracle: expectations come from the goods themselves, never from what the gateway answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from app.core.errors import Invalid
from app.sandbox.ledger import entry_name

STOLEN_SHARE = 5
RECOVERED_SHARE = 62.5
"""Of the stolen devices, one in so many: 800 of 50,000."""


class Unit(NamedTuple):
    """One device. IMEIs are keys of 14 digits."""

    imeis: tuple[int, ...]
    serial: str
    gtin: str
    pallet: str
    model: str
    cents: int

    @property
    def names(self) -> tuple[str, ...]:
        """What partners block it by, as a practice partner's ledger writes it."""
        return tuple(f"{key:014d}" for key in self.imeis) or (entry_name(self.serial),)


class Verdicts(msgspec.Struct, frozen=True):
    """What the receipt must say of the file."""

    rows: int
    registered: int
    unchanged: int
    rejected: frozenset[int]
    """By line."""


class Brand(msgspec.Struct, frozen=True):
    """What one maker's partner is told of: its TACs, and the GTINs of its devices without IMEI."""

    name: str
    tacs: frozenset[int]
    gtins: frozenset[str]

    def names(self, unit: Unit) -> tuple[str, ...]:
        """Those of a device's names that the brand knows."""
        if unit.imeis:
            return tuple(f"{key:014d}" for key in unit.imeis if key // 10**6 in self.tacs)
        return unit.names if unit.gtin in self.gtins else ()


class Goods(msgspec.Struct, frozen=True):
    """A goods-in file, and the night's expectations of it."""

    path: Path
    verdicts: Verdicts
    pallets: tuple[str, ...]
    """The stolen ones."""
    stolen: tuple[Unit, ...]
    recovered: tuple[Unit, ...]
    brand: Brand
    enrolled: frozenset[str]
    clear: int
    """An IMEI that is registered and not stolen."""
    unknown: int
    """One that nobody ever registered."""

    @property
    def identifiers(self) -> int:
        return sum(len(unit.names) for unit in self.stolen)


def expectations(
    path: Path, verdicts: Verdicts, units: list[Unit], pallets: Iterable[str], rng: Random
) -> Goods:
    """The night's expectations of registered devices. Raises Invalid where no story can be told of them."""
    taken = frozenset(pallets)
    stolen = tuple(unit for unit in units if unit.pallet in taken)
    left = next((unit.imeis[0] for unit in units if unit.imeis and unit.pallet not in taken), None)
    if left is None or not any(unit.imeis for unit in stolen):
        raise Invalid("The goods need phones on at least two pallets: some are stolen, and some stay.")
    brand = _brand(units)
    return Goods(
        path=path,
        verdicts=verdicts,
        pallets=tuple(sorted(taken)),
        stolen=stolen,
        recovered=_recovered(stolen, Counter(unit.serial for unit in units), rng),
        brand=brand,
        enrolled=frozenset(name for unit in units for name in brand.names(unit)),
        clear=left,
        unknown=_unheard_of(units, left),
    )


def _brand(units: list[Unit]) -> Brand:
    """The maker of most devices, who is the partner that locks its own."""
    makers = Counter(unit.model.partition(" ")[0] for unit in units)
    name = "Samsung" if makers["Samsung"] else makers.most_common(1)[0][0]
    its = [unit for unit in units if unit.model.partition(" ")[0] == name]
    return Brand(
        name,
        frozenset(key // 10**6 for unit in its for key in unit.imeis),
        frozenset(unit.gtin for unit in its if not unit.imeis),
    )


def _recovered(stolen: tuple[Unit, ...], serials: Counter[str], rng: Random) -> tuple[Unit, ...]:
    """The devices found in the van; a serial that two devices share would name them both."""
    namable = [unit for unit in stolen if unit.imeis or serials[unit.serial] == 1]
    return tuple(rng.sample(namable, min(len(namable), max(1, round(len(stolen) / RECOVERED_SHARE)))))


def _unheard_of(units: list[Unit], near: int) -> int:
    known = {key for unit in units for key in unit.imeis if key // 10**6 == near // 10**6}
    first = near // 10**6 * 10**6
    return next(key for key in range(first, first + 10**6) if key not in known)
