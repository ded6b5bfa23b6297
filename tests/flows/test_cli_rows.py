"""The bar of a registration in a terminal: how many rows of how many, where the file says how many it has."""

from __future__ import annotations

import gzip
import os
import pty
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from app.access import keys
from app.access.roles import Role
from app.core import imei
from app.core.db import Connection
from tests.unit import workbooks

ROWS = 12
_numbers = count(35_209913_000000)


def _csv(imeis: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in ("imei", *imeis)).encode()


def _desadv(imeis: list[str]) -> bytes:
    body = ["UNH+1+DESADV:D:96A:UN:EAN005", "CPS+1", "LIN+1", *(f"GIN+BN+{number}" for number in imeis)]
    whole = ["UNB+UNOC:3+A+B+260302:0615+7", *body, f"UNT+{len(body) + 1}+1", "UNZ+1+7"]
    return "".join(f"{segment}'\n" for segment in whole).encode()


@pytest.fixture
async def environ(database: str, conn: Connection, tmp_path: Path) -> dict[str, str]:
    said = {"name": "Dock 4", "role": Role.GOODS_IN, "by": "tests", "now": datetime.now(UTC)}
    made = await keys.create(conn, **said, random=secrets.token_bytes)
    return {
        **os.environ,
        "DATABASE_URL": database,
        "IMEI_GATEWAY_KEY": made.key,
        "TERM": "xterm",
        "COLUMNS": "100",
    }


def _seen(environ: dict[str, str], file: Path) -> str:
    """What a terminal of a person shows while the file is registered."""
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "app.cli.main", "register", str(file)]
    with subprocess.Popen(command, env=environ, stderr=terminal, stdout=subprocess.DEVNULL) as process:
        os.close(terminal)
        said = b"".join(iter(lambda: _read(screen), b""))
        assert process.wait(60) == 0, said
    os.close(screen)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65_536)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("name", "whole", "counts"),
    [
        ("goods.csv", _csv, True),
        ("goods.csv.gz", lambda imeis: gzip.compress(_csv(imeis)), False),
        (
            "goods.xlsx",
            lambda imeis: workbooks.book(workbooks.table(["imei"], *([one] for one in imeis))),
            False,
        ),
        ("goods.edi", _desadv, False),
    ],
)
async def test_a_bar_says_of_how_many_rows_only_where_lines_are_rows(
    environ: dict[str, str], tmp_path: Path, name: str, whole: Callable[[list[str]], bytes], counts: bool
) -> None:
    file = tmp_path / name
    file.write_bytes(whole([imei.full(next(_numbers)) for _ in range(ROWS)]))
    seen = _seen(environ, file)
    assert "Reading rows" in seen
    if counts:
        assert f"{ROWS}/{ROWS + 1}" in seen
        assert "Registering devices" in seen
    else:
        assert f" {ROWS} rows" in seen
        assert "/" not in seen
