"""Tables: no id and no role is ever broken, at any width, and no line is wider than the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from app.cli import show

KEYS = [
    ("k_mfzwizlt", "Marie of the night shift in Paris Nord", "incident-manager", "2026-11-22 03:09:48 CET",
     "key:k_tyz7nm5c (administrator)", ""),
    ("k_tyz7nm5c", "administrator", "admin", "2026-11-22 03:09:48 CET", "first start",
     "2026-11-23 04:10:00 CET by key:k_mfzwizlt (Marie of the night shift)"),
]  # fmt: skip
COLUMNS = ("id", "name", "role", "created", "by", "revoked")


def _drawn(width: int, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(show.table("Keys", columns, rows))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
def test_no_word_is_broken_and_no_line_too_wide(width: int) -> None:
    text = _drawn(width, COLUMNS, KEYS)
    words = {word for row in KEYS for cell in row for word in cell.split()}
    assert words <= set(text.split())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_rows_stand_side_by_side_where_there_is_room_and_else_below_each_other() -> None:
    assert "k_mfzwizlt Marie" in _drawn(120, COLUMNS, KEYS)
    narrow = _drawn(40, COLUMNS, KEYS).splitlines()
    assert narrow[0].rstrip() == "Keys"
    assert "id       k_mfzwizlt" in [line.rstrip() for line in narrow]
    assert not [line for line in narrow if line.split() == ["revoked"]]


def test_a_word_without_end_is_broken_rather_than_the_table() -> None:
    rows = [("1", "x" * 300), ("2", "short")]
    assert max(map(len, _drawn(60, ("#id", "note"), rows).splitlines())) <= 60
    assert "1 xxx" in _drawn(60, ("#id", "note"), rows)
