"""The block list from the command line: a copy of it, what changes, a day, and a filter to check offline."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.blocklist import bloom
from app.blocklist.feed import cursor_of, position_of
from app.core import imei
from app.core.db import Connection

from .command import Commands

A, B, C = (imei.full(35_209977_000000 + number) for number in range(1, 4))
SERIAL = "(01)09521234543213(21)ABC 1"


@pytest.fixture
def approver(desk: Commands) -> str:
    return str(desk.told("key", "create", "--name", "Marie", "--role", "approver")["key"])


@pytest.fixture
def declare(desk: Commands, approver: str) -> Callable[..., str]:
    """Has IMEIs and serials blocked; gives the number of the incident."""

    def declared(*imeis: str, serials: tuple[str, ...] = ()) -> str:
        named = [part for number in imeis for part in ("--imei", number)]
        named += [part for serial in serials for part in ("--serial", serial)]
        number = str(desk.told("declare", "--title", "Paris", *named, "--yes")["id"])
        desk.told("approve", number, key=approver)
        return number

    return declared


@contextmanager
def following(desk: Commands, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = desk.command("blocklist", "follow", *arguments)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=desk.environ(None), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)
    assert process.returncode == 130
    return said


async def test_a_copy_is_written_and_followed(desk, declare, approver, tmp_path: Path) -> None:
    incident = declare(A, B, serials=(SERIAL,))
    path = tmp_path / "blocked.ndjson"
    done = desk.told("blocklist", "download", str(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.get("imei") or row["serial"] for row in rows] == [A[:14], B[:14], "ABC 1"]
    assert done["identifiers"] == 3
    assert os.listdir(tmp_path) == [path.name]
    said = desk.run("blocklist", "download", str(path)).stderr
    assert f"3 identifiers as of position {done['position']} in {path}." in said
    assert f"follow --from {done['cursor']}" in said

    declare(C)
    with following(desk, "--from", done["cursor"], "--json") as process:
        assert process.stdout
        changes = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(it["imei"], it["status"]) for it in changes] == [(C[:14], "suspect"), (C[:14], "blocked")]
        desk.approved("lift", incident, "--serial", SERIAL, by=approver)
        let_go = json.loads(process.stdout.readline())
        assert (let_go["status"], let_go["serial"], let_go["gtin"]) == ("clear", "ABC 1", "09521234543213")
        assert [position_of(it["cursor"]) for it in (*changes, let_go)] == [
            done["position"] + number for number in (1, 2, 3)
        ]
        assert ended(process) == ("", "")


async def test_who_follows_is_told_how_to_go_on(desk, declare) -> None:
    declare(A)
    with following(desk, "--from", "first") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        assert [line.split("  ")[2:4] for line in lines] == [["suspect", A[:14]], ["blocked", A[:14]]]
        rest, said = ended(process)
    assert (rest, said) == ("", f"To go on: imei-gateway blocklist follow --from {cursor_of(2)}\n")
    with following(desk) as process:
        assert process.stdout
        declare(B)
        assert B[:14] in process.stdout.readline()


@pytest.mark.parametrize("form", ["csv", "operator"])
async def test_the_other_forms_go_to_standard_output(desk, declare, form: str) -> None:
    declare(A, serials=(SERIAL,))
    said = desk.run("blocklist", "download", "--form", form)
    rows = list(csv.DictReader(said.stdout.splitlines()))
    assert [row["imei"] for row in rows] == ([A[:14], ""] if form == "csv" else [A[:14]])
    assert "as of position 4." in said.stderr
    refused = desk.run("blocklist", "download", "--json")
    assert refused.returncode == 2
    assert "name a FILE" in refused.stderr


async def test_it_comes_compressed(desk, declare, tmp_path: Path) -> None:
    declare(A, B)
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    desk.told("blocklist", "download", str(plain))
    desk.told("blocklist", "download", str(packed), "--gzip")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes() != b""


async def test_a_copy_that_fails_leaves_the_one_before(desk, tmp_path: Path) -> None:
    path = tmp_path / "blocked.ndjson"
    path.write_text("of yesterday\n")
    warehouse = desk.told("key", "create", "--name", "Dock", "--role", "goods-in")["key"]
    for what in (
        ("download", str(path)),
        ("filter", str(path)),
        ("day", "2026-01-01", str(path)),
        ("follow",),
    ):
        refused = desk.run("blocklist", *what, key=warehouse)
        assert (refused.returncode, "blocklist:read" in refused.stderr) == (6, True)
    nowhere = desk.run("blocklist", "download", str(tmp_path / "none" / "x"))
    assert nowhere.returncode == 1
    assert f"{tmp_path / 'none' / 'x'} cannot be used: No such file or directory." in nowhere.stderr
    assert path.read_text() == "of yesterday\n"
    assert os.listdir(tmp_path) == [path.name]


async def test_a_day(desk, declare, conn: Connection, tmp_path: Path) -> None:
    declare(A)
    await conn.execute("UPDATE blocklist_change SET at = at - interval '1 day'")
    today = datetime.now(UTC).date()
    yesterday = await conn.fetchval("SELECT (max(at) AT TIME ZONE 'UTC')::date FROM blocklist_change")
    shown = desk.run("blocklist", "day", str(yesterday))
    wanted = f"imei,block_date,reasons\n{A[:14]},{yesterday:%Y%m%d},stolen\n"
    if shown.returncode:
        # Five minutes after midnight it is not complete yet.
        assert "is complete from" in shown.stderr
        return
    assert shown.stdout == wanted
    path = tmp_path / "day.csv"
    done = desk.told("blocklist", "day", str(yesterday), str(path), "--change", "unblocked")
    assert (done["imeis"], path.read_text()) == (0, "imei,block_date,reasons\n")
    early = desk.run("blocklist", "day", str(today + timedelta(days=1)))
    assert (early.returncode, "is complete from" in early.stderr) == (1, True)


async def test_a_filter_is_asked_without_a_gateway(desk, declare, tmp_path: Path) -> None:
    declare(A, serials=(SERIAL,))
    path = tmp_path / "blocked.filter"
    done = desk.told("blocklist", "filter", str(path))
    assert (done["imeis"], done["position"], done["bytes"]) == (1, 4, path.stat().st_size)
    alone = Commands({"IMEI_GATEWAY_DATA_DIR": str(tmp_path / "none")})
    run = alone.run("blocklist", "check", str(path), A, A[:14], B, "--json")
    told = json.loads(run.stdout)
    assert (run.returncode, alone.run("blocklist", "check", str(path), B).returncode) == (3, 0)
    assert [it["perhaps"] for it in told["results"]] == [True, True, False]
    assert (told["position"], told["imeis"]) == (4, 1)
    said = alone.run("blocklist", "check", str(path), A, B).stdout.splitlines()
    at = bloom.read(path.read_bytes()).made_at.astimezone()
    assert said == [
        f"{A}  perhaps: ask",
        f"{B}  not blocked as of {at:%Y-%m-%d %H:%M:%S %Z} (position 4)",
    ]
    malformed = alone.run("blocklist", "check", str(path), "490154")
    assert (malformed.returncode, "14, 15 or 16 digits" in malformed.stderr) == (1, True)
    path.write_bytes(path.read_bytes()[:-1])
    broken = alone.run("blocklist", "check", str(path), A)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "not the whole of one; download it again" in broken.stderr


async def test_after_a_restored_backup_no_cursor_counts(desk, declare, tmp_path: Path) -> None:
    """Of both kinds: those that the restored list has not come to, and those that it soon gives again."""
    ahead = desk.run("blocklist", "follow", "--from", cursor_of(1_000))
    assert ahead.returncode == 1
    assert "There is no position 1000 here: the block list has come to 0." in ahead.stderr
    declare(A)
    assert desk.run("blocklist", "follow", "--from", "x").returncode == 2
    position = desk.told("blocklist", "void")["position"]
    for number in (0, 2, 1_000):
        old = desk.run("blocklist", "follow", "--from", cursor_of(number), "--json")
        assert (old.returncode, json.loads(old.stderr)["code"]) == (1, "cursor-gone")
    path = tmp_path / "copy"
    done = desk.told("blocklist", "download", str(path))
    assert (done["position"], done["identifiers"]) == (position, 1)
    declare(B)
    with following(desk, "--from", done["cursor"], "--json") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["position"] == position + 1
    assert desk.told("blocklist", "filter", str(path))["position"] == position + 2


async def test_only_an_administrator_voids_cursors(desk, conn: Connection) -> None:
    carrier = desk.told("key", "create", "--name", "Carrier", "--role", "carrier")["key"]
    assert desk.run("blocklist", "void", key=carrier).returncode == 6
    assert await conn.fetchval("SELECT position FROM blocklist_head") == 0
    said = desk.run("blocklist", "void").stdout
    assert "told to read it anew" in said
    told = await conn.fetch("SELECT body::jsonb AS body FROM audit_entry")
    assert [row["body"]["detail"] for row in told if row["body"]["kind"] == "blocklist.voided"] == [
        {"position": 10**9}
    ]
