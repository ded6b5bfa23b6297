"""Rejected rows as `register --rejects` writes them: in the format that the name of the file asks for."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from app.access import keys
from app.access.roles import Role
from app.core.db import Connection
from tests.unit import workbooks

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
async def register(database: str, conn: Connection, tmp_path: Path) -> Run:
    """Registers a text under a file name, with `--rejects` to another."""
    said = {"name": "Dock 4", "role": Role.GOODS_IN, "by": "tests", "now": datetime.now(UTC)}
    made = await keys.create(conn, **said, random=secrets.token_bytes)
    environ = {**os.environ, "DATABASE_URL": database, "IMEI_GATEWAY_KEY": made.key}

    def run(file: str | Path, text: str, rejects: Path, *more: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / file
        if text:
            path.write_text(text)
        command = [
            sys.executable,
            "-m",
            "app.cli.main",
            "register",
            str(path),
            "--rejects",
            str(rejects),
            *more,
        ]
        return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=60)

    return run


async def test_a_workbook_comes_of_a_csv_and_back(register: Run, tmp_path: Path) -> None:
    book, again, other = tmp_path / "rejected.xlsx", tmp_path / "again.csv", tmp_path / "again"
    assert register("goods.csv", "imei;site\n0123;=PAR1\n", book).returncode == 3
    header, row = workbooks.texts(book.read_bytes())
    assert (header[:3], row[:3]) == (["imei", "site", "reject_code"], ["0123", "=PAR1", "imei-length"])
    assert register(book, "", again).returncode == register(book, "", other).returncode == 3
    assert "\n0123,'=PAR1,imei-length" in again.read_text(encoding="utf-8-sig")
    assert workbooks.texts(other.read_bytes()) == [header, row]


async def test_objects_are_given_back_as_objects_alone(register: Run, tmp_path: Path) -> None:
    given = tmp_path / "rejected.csv"
    assert register("goods.ndjson", '{"imei":"0123"}\n', given).returncode == 3
    assert given.read_text().startswith('{"imei":"0123","reject_code":')
    refused = register("goods.ndjson", '{"imei":"0123"}\n', tmp_path / "rejected.xlsx")
    assert (refused.returncode, "rejected.ndjson" in refused.stderr) == (2, True)


def advice(*items: str) -> str:
    body = ["UNH+1+DESADV:D:96A:UN", "CPS+1", *items]
    whole = ["UNB+UNOC:3+A+B+260302:0615+7", *body, f"UNT+{len(body) + 1}+1", "UNZ+1+7"]
    return "'".join([*whole, ""])


async def test_a_dispatch_advice_has_segments_and_its_rejected_rows_columns_of_ours(
    register: Run, tmp_path: Path
) -> None:
    models = [
        ("LIN+1++09521234543213:SRV", f"IMD+F++:::{model}", "GIN+BN+S1") for model in ("Phone", "Tablet")
    ]
    out, mapped = tmp_path / "rejected.csv", ("--map", "Handset=imei", "--supplier", "ACME", "--save-mapping")
    for items, told in (
        (["LIN+1", "GIN+BN+490154203237519"], "Segment 5"),
        (
            sum(models, ()),
            "stands in segment 6 already, and this segment says otherwise about: model (Phone).",
        ),
    ):
        done = register("asn.edi", advice(*items), out, *mapped, "--site", "PAR-1")
        said = " ".join(done.stdout.split())
        assert told in said
        assert "segment code sentence" in said
        assert said.endswith(f"send them: imei-gateway register {out} --site PAR-1 --supplier ACME")
