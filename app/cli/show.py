"""How commands print: tables and sentences for people, JSON for programs. Foreign text is never markup, and gives the
terminal no orders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import rich_click as click
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from app.core.visible import visible

# Wide enough for every table where no terminal says how wide it is.
_WIDE = 160
_ENDLESS = 10_000
# Longer words are broken: what a partner says may be one word of any length.
_LONGEST_WORD = 32
UNWORKED = "No worker is running, so no partner is told anything: 'imei-gateway up' or 'imei-gateway work' starts one."
STATES = {
    "blocked": "bold red", "suspect": "yellow", "clear": "green", "unknown": "dim",
    "draft": "dim", "submitted": "yellow", "approved": "bold red", "closed": "green",
    "rejected": "dim", "withdrawn": "dim",
    "working": "green", "resting": "yellow", "failing": "red", "paused": "yellow", "parked": "red",
}  # fmt: skip


@cache
def console(stderr: bool = False) -> Console:
    """The terminal. Standard error is for progress."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _WIDE
    return Screen(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


class Screen(Console):
    """A terminal that is given orders by nobody but us: a name may hold what clears a screen, moves the cursor, or
    turns the direction of what follows."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


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


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> Rows:
    """A table; columns whose name begins with # hold numbers."""
    return Rows(title, columns, rows)


class Rows:
    """A table that breaks no word: ids, roles and numbers stand whole at every width.

    Columns give way at their spaces. Where not even their longest words fit side by side, each row is drawn
    below the one before, a name and a value on each line.
    """

    def __init__(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> None:
        self._title = title
        self._columns = columns
        self._rows = list(rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        spans = [self._span(console, options, place) for place in range(len(self._columns))]
        room = options.max_width - (len(spans) - 1)
        if sum(span.minimum for span in spans) <= room:
            yield self._side_by_side(_widths(spans, room))
        else:
            yield from self._stacked()

    def _span(self, console: Console, options: ConsoleOptions, place: int) -> Measurement:
        cells = [self._columns[place].lstrip("#"), *(row[place] for row in self._rows)]
        spans = [Measurement.get(console, options.update(width=_ENDLESS), cell) for cell in cells]
        longest = min(_LONGEST_WORD, max(span.minimum for span in spans))
        return Measurement(longest, max(span.maximum for span in spans))

    def _side_by_side(self, widths: Sequence[int]) -> Table:
        made = Table(
            title=self._title or None, title_justify="left", title_style="bold", header_style="dim", box=None,
            padding=(0, 1, 0, 0), pad_edge=False,
        )  # fmt: skip
        for column, width in zip(self._columns, widths, strict=True):
            side: JustifyMethod = "right" if column.startswith("#") else "left"
            made.add_column(column.lstrip("#"), justify=side, overflow="fold", width=width)
        for row in self._rows:
            made.add_row(*row)
        return made

    def _stacked(self) -> Iterator[RenderableType]:
        if self._title:
            yield Text(self._title, style="bold")
        for place, row in enumerate(self._rows):
            if place:
                yield ""
            yield facts(
                (name.lstrip("#"), cell) for name, cell in zip(self._columns, row, strict=True) if cell
            )


def _widths(spans: Sequence[Measurement], room: int) -> list[int]:
    """Each column gets its longest word, and of what is left as much as it wants, the modest first."""
    widths = [span.minimum for span in spans]
    left = room - sum(widths)
    wants = sorted(range(len(spans)), key=lambda place: spans[place].maximum - widths[place])
    for turn, place in enumerate(wants):
        more = min(spans[place].maximum - widths[place], left // (len(wants) - turn))
        widths[place] += more
        left -= more
    return widths


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
