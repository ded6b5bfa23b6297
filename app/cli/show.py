"""How commands print: tables and sentences for people, JSON for programs. Foreign text is never markup."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import rich_click as click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

# Wide enough for every table where no terminal says how wide it is.
_WIDE = 160
STATES = {
    "blocked": "bold red", "suspect": "yellow", "clear": "green", "unknown": "dim",
    "draft": "dim", "submitted": "yellow", "approved": "bold red", "closed": "green",
    "rejected": "dim", "withdrawn": "dim",
    "working": "green", "resting": "yellow", "failing": "red", "paused": "yellow",
}  # fmt: skip


@cache
def console(stderr: bool = False) -> Console:
    """The terminal. Standard error is for progress."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _WIDE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def draw(*renderables: RenderableType) -> None:
    for renderable in renderables:
        console().print(renderable)


def say(text: str, style: str = "", *, stderr: bool = False) -> None:
    """A sentence: broken between words on a terminal, and left on one line everywhere else."""
    out = console(stderr)
    out.print(Text(text, style=style), soft_wrap=not out.is_terminal)


def json(value: Any) -> None:
    """One JSON document on one line."""
    click.echo(msgspec.json.encode(value))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """A table; columns whose name begins with # hold numbers."""
    made = Table(title=title or None, title_justify="left", title_style="bold", header_style="dim", box=None)
    made.pad_edge = False
    for column in columns:
        made.add_column(
            column.lstrip("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*row)
    return made


def facts(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and values, a pair on each line."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def state(word: str) -> Text:
    return Text(word, style=STATES.get(word, ""))


def moment(at: datetime | None) -> str:
    """A time as the clock on the wall shows it."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at else ""


def count(number: int, one: str, many: str = "") -> str:
    """`1 device`, `50,000 devices`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def some(names: Sequence[str], most: int = 10) -> str:
    """The first names of a list, and how many more there are."""
    more = f" … and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
