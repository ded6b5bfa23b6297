"""What is unusual, golden, sold and forgotten, as people and scripts meet it at the command line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from app.core import imei

from .command import Commands

FIRST = 35_209914_000000


@pytest.fixture
def strict(desk: Commands, tmp_path: Path) -> Commands:
    """A desk at which more than two devices are unusual at first, with five of them registered."""
    strict = Commands({**desk.environ(None), "IMEI_GATEWAY_UNUSUAL_DEVICES": "2"})
    path = tmp_path / "goods.csv"
    rows = [f"{imei.full(FIRST + number)},S-{number},9506000134352,LYS-1" for number in range(5)]
    path.write_text("\n".join(["imei,serial,gtin,site", *rows]) + "\n")
    assert strict.run("register", str(path)).returncode == 0
    return strict


def _named(count: int) -> list[str]:
    return [part for number in range(count) for part in ("--serial", f"S-{number}")]


def test_a_script_acknowledges_what_is_unusual_or_is_told_how(strict: Commands) -> None:
    looked = strict.told("declare", "--title", "Lyon", *_named(3), "--preview")
    assert [(one["code"], one["acknowledge"]) for one in looked["warnings"]] == [
        ("size", True), ("unvalued", False),
    ]  # fmt: skip
    assert strict.told("incidents")["incidents"] == []
    refused = strict.run("declare", "--title", "Lyon", *_named(3), "--yes")
    assert refused.returncode == 1
    assert "If that is meant so, it would be acknowledged: size." in " ".join(refused.stderr.split())
    assert "Incident 1 stays a draft" in " ".join(refused.stderr.split())
    submitted = strict.told("submit", "1", "--acknowledge", "size")
    assert (submitted["state"], submitted["acknowledged"]) == ("submitted", ["size"])
    assert "Acknowledged when it was submitted: size" in strict.run("incident", "1").stdout
    declared = strict.told("declare", "--title", "Again", *_named(4), "--yes", "--acknowledge", "size")
    assert declared["state"] == "submitted"


@pytest.mark.parametrize(("answer", "state"), [("y", "submitted"), ("n", "draft")])
def test_a_person_is_asked_whether_it_is_meant_so(strict: Commands, answer: str, state: str) -> None:
    assert strict.told("declare", "--title", "Lyon", *_named(3), "--draft")["state"] == "draft"
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        strict.command("submit", "1"),
        env={**strict.environ(None), "TERM": "dumb"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        os.write(screen, f"{answer}\n".encode())
        said, _ = process.communicate(timeout=60)
    os.close(screen)
    os.close(terminal)
    assert "Is it meant so?" in said.decode()
    assert [one["state"] for one in strict.told("incidents")["incidents"]] == [state]


def test_what_is_golden_is_added_shown_left_out_and_removed(strict: Commands) -> None:
    number = imei.full(FIRST)
    assert strict.told("golden", "add", number, "00", "--why", "Bench 4") == {"added": ["00", number[:14]]}
    shown = strict.run("declare", "--title", "Lyon", *_named(2), "--preview").stdout
    assert "Golden, and left out" in shown
    assert number in shown
    assert strict.run("golden", "remove", "00", "--reason", "moved out").returncode == 0
    digits = [one["digits"] for one in strict.told("golden", "list")["golden"]]
    assert digits == ["00990099", number[:14]]


def test_what_is_sold_is_left_out_held_in_one_document_and_forgotten(strict: Commands) -> None:
    number = imei.full(FIRST)
    assert strict.told("sold", number, "S-1", "GHOST") == {"recorded": 2, "changed": 2, "unknown": ["GHOST"]}
    assert strict.told("sold", "S-1", "--returned")["changed"] == 1
    looked = strict.told("declare", "--title", "Lyon", *_named(2), "--preview")
    assert (looked["devices"], looked["sold"]["first"]) == (1, [number])
    done = strict.run("erase", number, "S-2", "--reason", "Ticket 4711", "--json")
    erased = json.loads(done.stdout)
    assert done.returncode == 3
    assert (erased["erased"], [(one["name"], one["code"]) for one in erased["kept"]]) == (
        1,
        [("S-2", "not-sold")],
    )
    held = strict.run("held", number)
    assert held.returncode == 0, held.stderr
    assert '"erased_at"' in held.stdout
