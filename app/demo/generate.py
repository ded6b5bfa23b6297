"""Writes a goods-in file as a French warehouse would: seeded, one row in a hundred spoilt on purpose."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TextIO

from app.core import gs1, imei
from app.demo.catalogue import MODELS, OLD_TAC, OWNERS, Model
from app.demo.goods import STOLEN_SHARE, Goods, Unit, Verdicts, expectations

HEADER = "SSCC;IMEI 1;IMEI 2;Serial No;EAN;Description;Owner;Site;Unit price;Currency"
SITE = "PAR-1"
PALLETS = 150
SPOILT_SHARE = 0.01
SINGLE_SIM_SHARE = 0.05

_PHONES = [model for model in MODELS if model.tacs]
_STRIDE = 611_953
_SERIAL_STRIDE = 2_654_435_761


def generate(
    path: Path, devices: int, seed: int, on_rows: Callable[[int], None] = lambda rows: None
) -> Goods:
    """A file of `devices` good rows and some spoilt ones, and what it must come to. `on_rows` hears of
    rows written."""
    rng = Random(seed)
    pallets = _pallets(rng, min(PALLETS, devices))
    units: list[Unit] = []
    with path.open("w", encoding="utf-8-sig", newline="\n") as file:
        verdicts = _Writer(file, rng).write(_units(rng, devices, pallets), units, on_rows)
    stolen = rng.sample(pallets, max(1, len(pallets) // STOLEN_SHARE))
    return expectations(path, verdicts, units, stolen, rng)


def _pallets(rng: Random, count: int) -> list[str]:
    first = rng.randrange(10**8)
    bodies = [f"33701234{(first + number) % 10**9:09d}" for number in range(count)]
    return [f"{body}{gs1.check_digit(body)}" for body in bodies]


class Mint:
    """Gives each device IMEIs and a serial that no other has."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._start = rng.randrange(10**6)
        self._made: defaultdict[int, Iterator[int]] = defaultdict(itertools.count)
        self._serials = itertools.count(rng.randrange(2**32))

    def unit(self, model: Model, pallet: str) -> Unit:
        tacs = model.tacs[:1] if self._rng.random() < SINGLE_SIM_SHARE else model.tacs
        return self.of_tacs(model, pallet, tacs)

    def of_tacs(self, model: Model, pallet: str, tacs: tuple[int, ...]) -> Unit:
        keys = tuple(self._key(tac) for tac in tacs)
        serial = f"{model.serial}{next(self._serials) * _SERIAL_STRIDE % 2**32:08X}"
        return Unit(keys, serial, model.gtin.zfill(14), pallet, model.name, model.cents)

    def _key(self, tac: int) -> int:
        # Coprime to a million: the numbers look drawn, and none comes twice.
        return tac * 10**6 + (self._start + next(self._made[tac]) * _STRIDE) % 10**6


def _units(rng: Random, devices: int, pallets: list[str]) -> Iterator[tuple[Mint, Unit]]:
    mint = Mint(rng)
    models = rng.choices(MODELS, [model.weight for model in MODELS], k=devices)
    for number, model in enumerate(models):
        yield mint, mint.unit(model, pallets[number * len(pallets) // devices])


class _Writer:
    """Writes rows and keeps account of what must become of them."""

    def __init__(self, file: TextIO, rng: Random) -> None:
        self._file, self._rng = file, rng
        self._line = 1
        self._unchanged = 0
        self._rejected: list[int] = []

    def write(
        self, minted: Iterator[tuple[Mint, Unit]], units: list[Unit], on_rows: Callable[[int], None]
    ) -> Verdicts:
        self._file.write(HEADER + "\n")
        for mint, unit in minted:
            self._row(_cells(unit))
            units.append(unit)
            if self._rng.random() < SPOILT_SHARE:
                self._spoilt(mint, unit)
            if len(units) % 5_000 == 0:
                on_rows(len(units))
        on_rows(len(units))
        return Verdicts(self._line - 1, len(units), self._unchanged, frozenset(self._rejected))

    def _row(self, cells: list[str]) -> None:
        self._file.write(";".join(cells) + "\n")
        self._line += 1

    def _spoilt(self, mint: Mint, unit: Unit) -> None:
        kind = self._rng.choice(_KINDS)
        self._row(kind(mint, self._rng.choice(_PHONES), unit))
        if kind is _scanned_twice:
            self._unchanged += 1
        else:
            self._rejected.append(self._line)


def _cells(unit: Unit) -> list[str]:
    numbers = [imei.full(key) for key in unit.imeis]
    owner = OWNERS[int(unit.pallet[-3:-1]) % len(OWNERS)]
    price = f"{unit.cents // 100},{unit.cents % 100:02d}"
    ean = unit.gtin[1:]
    first, second = (*numbers, "", "")[:2]
    return [unit.pallet, first, second, unit.serial, ean, unit.model, owner, SITE, price, "EUR"]


def _scanned_twice(_: Mint, __: Model, unit: Unit) -> list[str]:
    return _cells(unit)


def _on_another_pallet(_: Mint, __: Model, unit: Unit) -> list[str]:
    body = f"{int(unit.pallet[:-1]) + 1000:017d}"
    return _cells(unit._replace(pallet=f"{body}{gs1.check_digit(body)}"))


def _wrong_check_digit(mint: Mint, model: Model, unit: Unit) -> list[str]:
    cells = _cells(mint.unit(model, unit.pallet))
    cells[1] = f"{cells[1][:-1]}{(int(cells[1][-1]) + 3) % 10}"
    return cells


def _as_a_float(mint: Mint, model: Model, unit: Unit) -> list[str]:
    cells = _cells(mint.unit(model, unit.pallet))
    cells[1] = f"{int(cells[1]):.5E}"
    return cells


def _with_decimals(mint: Mint, model: Model, unit: Unit) -> list[str]:
    cells = _cells(mint.unit(model, unit.pallet))
    cells[0] += ",0"
    return cells


def _without_its_zero(mint: Mint, model: Model, unit: Unit) -> list[str]:
    cells = _cells(mint.of_tacs(model, unit.pallet, (OLD_TAC,)))
    cells[1] = cells[1].lstrip("0")
    return cells


def _as_an_imeisv(mint: Mint, model: Model, unit: Unit) -> list[str]:
    cells = _cells(mint.unit(model, unit.pallet))
    cells[1] = cells[1][:-1] + "07"
    return cells


def _too_many_imeis(mint: Mint, model: Model, unit: Unit) -> list[str]:
    many = mint.of_tacs(model, unit.pallet, model.tacs[:1] * 5)
    cells = _cells(many)
    cells[1:3] = ["/".join(imei.full(key) for key in many.imeis), ""]
    return cells


def _a_cell_short(mint: Mint, model: Model, unit: Unit) -> list[str]:
    return _cells(mint.unit(model, unit.pallet))[:-1]


def _without_identity(mint: Mint, model: Model, unit: Unit) -> list[str]:
    cells = _cells(mint.unit(model, unit.pallet))
    cells[1:5] = ["", "", cells[3], ""]
    return cells


_KINDS = (
    _scanned_twice, _scanned_twice, _on_another_pallet, _wrong_check_digit, _as_a_float, _with_decimals,
    _without_its_zero, _as_an_imeisv, _too_many_imeis, _a_cell_short, _without_identity,
)  # fmt: skip
