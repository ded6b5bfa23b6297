"""Named queries: every SQL text of the service stands in `sql/`, none in Python.

A query file `sql/queries/<room>.sql` holds statements headed by `-- name: some_name`; parameters are
PostgreSQL's own `$1`. `queries("room").some_name` is the text, ready for any asyncpg call.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

_HEAD = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


def sql_root() -> Path:
    """The folder that holds `migrations/` and `queries/`: inside an installed package, else the checkout's."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_sql"
    return installed if installed.is_dir() else package.parent / "sql"


@cache
def queries(room: str) -> SimpleNamespace:
    """The named statements of one room. FileNotFoundError for a room without a query file."""
    text = (sql_root() / "queries" / f"{room}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)[1:]
    names, bodies = parts[0::2], [body.strip() for body in parts[1::2]]
    if len(set(names)) != len(names):
        raise ValueError(f"sql/queries/{room}.sql names a statement twice")
    return SimpleNamespace(**dict(zip(names, bodies, strict=True)))
