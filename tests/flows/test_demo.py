"""The Paris night as a real process, several at once: it ends exactly right, and notices what is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.demo.check import Checks, difference, hold, wanted
from app.demo.generate import generate
from app.demo.goods import Goods
from app.demo.line import line
from app.demo.own_file import own
from app.demo.players import PLAYERS
from app.devices.intake import Defaults, Format, read

SEED = 3
DEVICES = 2000
KEPT_DEVICES = 500


class Started:
    """A demo under way, with temporary files of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._log = folder / "show.txt"
        command = [sys.executable, "-m", "app.cli.main", "demo", "--json", "--seed", str(SEED), *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=log
            )

    def told(self) -> dict[str, Any]:
        """The summary; of a demo that goes on, too."""
        assert self.process.stdout
        text = self.process.stdout.readline()
        assert text, self.shown()
        summary: dict[str, Any] = json.loads(text)
        return summary

    def shown(self) -> str:
        return self._log.read_text()

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path != self._log)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


@contextmanager
def started(*arguments: str) -> Iterator[Started]:
    with tempfile.TemporaryDirectory() as folder:
        # The embedded server's own user has to pass.
        Path(folder).chmod(0o755)
        demo = Started(Path(folder), *arguments)
        try:
            yield demo
        finally:
            demo.stop()


@pytest.fixture(scope="module")
def demos() -> Iterator[dict[str, Started]]:
    """All at once: they mostly wait for a partner that is down, and for a killed worker's leases."""
    with (
        started("--devices", str(DEVICES)) as plain,
        started("--devices", str(DEVICES), "--kill-worker") as killed,
        started("--devices", str(KEPT_DEVICES), "--keep") as kept,
    ):
        yield {"plain": plain, "killed": killed, "kept": kept}


def _goods(folder: Path, devices: int) -> Goods:
    return generate(folder / "goods.csv", devices, SEED)


def _hold_against(told: dict[str, Any], goods: Goods) -> None:
    assert [check for check in told["checks"] if not check["ok"]] == []
    assert told["ok"]
    assert (told["rows"], told["registered"]) == (goods.verdicts.rows, goods.verdicts.registered)
    stolen = {"pallets": 30, "devices": len(goods.stolen), "identifiers": goods.identifiers}
    assert told["stolen"] == stolen
    assert told["partners"].keys() == set(PLAYERS)
    for kind, partner in told["partners"].items():
        must = wanted(kind, goods)
        assert partner["identifiers"] == len(must.blocked) + len(must.released)
    assert told["partners"]["eir_push"]["failed_calls"] > 0
    assert told["audit"]["sealed"] == told["audit"]["entries"] > 0


def test_the_night_ends_exactly_right_and_leaves_nothing(demos: dict[str, Started], tmp_path: Path) -> None:
    demo = demos["plain"]
    told = demo.told()
    _hold_against(told, _goods(tmp_path, DEVICES))
    # Not so when the workers are killed: what they found while it was down may die with them.
    assert told["partners"]["ceir"]["failed_calls"] > 0
    assert demo.process.wait(30) == 0, demo.shown()
    assert demo.left() == []


def test_it_ends_exactly_right_although_the_worker_is_killed(
    demos: dict[str, Started], tmp_path: Path
) -> None:
    demo = demos["killed"]
    _hold_against(demo.told(), _goods(tmp_path, DEVICES))
    assert demo.process.wait(30) == 0, demo.shown()
    assert "The workers are killed" in demo.shown()
    assert demo.left() == []


async def test_a_partner_that_was_tampered_with_is_noticed_and_ctrl_c_puts_all_away(
    demos: dict[str, Started], tmp_path: Path
) -> None:
    demo, goods = demos["kept"], _goods(tmp_path, KEPT_DEVICES)
    told = demo.told()
    _hold_against(told, goods)
    async with line(told["kept"]["partners"]["eir_push"]) as partner:
        assert await _faults(partner, goods) == [""]
        blocked = min(wanted("eir_push", goods).blocked)
        await partner.told("PUT", "/sandbox/faults", said={})
        await partner.told("DELETE", _address(blocked))
        await partner.told("POST", _address(f"{goods.clear:014d}"))
        [fault] = await _faults(partner, goods)
        assert f"blocked: 1 missing, such as {blocked}; 1 too many, such as {goods.clear:014d}" in fault
        assert f"released: 1 too many, such as {blocked}" in fault
    demo.stop()
    assert demo.process.returncode == 0, demo.shown()
    assert demo.left() == []


async def _faults(partner: Any, goods: Goods) -> list[str]:
    checks = Checks()
    await hold(checks, "eir_push", "An operator", partner, goods)
    return [check.fault for check in checks.made]


def _address(imei: str) -> str:
    return f"/eir/block/{imei}/NULL/NULL/{imei}/2025-12-22-03-00-00"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"a", "b"}, ""),
        ({"a"}, "1 missing, such as b"),
        ({"a", "b", "c"}, "1 too many, such as c"),
        (set(), "2 missing, such as a, b"),
        ({"c"}, "2 missing, such as a, b; 1 too many, such as c"),
    ],
)
def test_what_differs_is_said(found: set[str], said: str) -> None:
    assert difference(frozenset({"a", "b"}), frozenset(found)) == said


def test_each_partner_must_hold_what_it_can_speak_of(tmp_path: Path) -> None:
    goods = _goods(tmp_path, DEVICES)
    stolen = {name for unit in goods.stolen for name in unit.names}
    recovered = {name for unit in goods.recovered for name in unit.names}
    imeis = {name for name in stolen if name.isdigit()}
    assert wanted("webhook", goods).blocked == stolen - recovered
    assert wanted("ceir", goods).blocked == imeis - recovered
    assert wanted("ceir", goods).released == imeis & recovered
    brand = wanted("knox_guard", goods)
    assert brand.blocked | brand.released == stolen & goods.enrolled
    assert 0 < len(brand.blocked) < len(stolen)
    assert recovered <= stolen
    assert imeis < stolen


def test_the_goods_are_the_same_for_a_seed_and_hold_no_identifier_twice(tmp_path: Path) -> None:
    first, again = _goods(tmp_path, DEVICES), _goods(tmp_path, DEVICES)
    assert first == again
    assert generate(tmp_path / "other.csv", DEVICES, SEED + 1).stolen != first.stolen
    names = [name for unit in first.stolen for name in unit.names]
    assert len(names) == len(set(names)) == first.identifiers


def test_every_spoilt_row_is_one_that_the_reader_or_the_registry_rejects(tmp_path: Path) -> None:
    goods = generate(tmp_path / "goods.csv", 20_000, SEED)
    with goods.path.open("rb") as file:
        readings = list(read(file, Format.CSV, Defaults()).readings)
    unreadable = {findings[0].line for row, findings, _ in readings if row is None}
    codes = {finding.code for row, findings, _ in readings for finding in findings}
    assert len(readings) == goods.verdicts.rows
    assert unreadable < goods.verdicts.rejected
    assert codes >= {
        "imei-check-digit", "imei-not-digits", "imei-length", "too-many-imeis", "cells-miscounted",
        "not-identified",
    }  # fmt: skip


def test_a_file_of_ones_own_comes_to_the_same(tmp_path: Path) -> None:
    goods = generate(tmp_path / "goods.csv", 20_000, SEED)
    found = own(goods.path, SEED)
    assert found.verdicts == goods.verdicts
    assert found.enrolled == goods.enrolled
    assert found.brand == goods.brand
    assert len(found.pallets) == len(goods.pallets)
