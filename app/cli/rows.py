"""How many rows of a goods-in file have been judged, drawn as a bar; an open one where nobody can say how many there
will be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from app.devices.intake import Format, is_packed

# In the others a device has more lines than one, or no line of its own.
_ONE_A_LINE = (Format.CSV, Format.NDJSON)


def expected(form: Format, head: bytes, lines: int) -> int | None:
    """About how many rows a file has that begins with `head` and has so many lines; None where its lines are not
    its rows."""
    return (lines or None) if form in _ONE_A_LINE and not is_packed(head) else None


@contextmanager
def counted(total: int | None, console: Console, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar of so many rows, if it is shown at all, and a function that tells it how many have been judged. Where
    there is no terminal nothing is written."""
    parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Rows(), TimeElapsedColumn())
    with Progress(
        *parts, console=console, transient=True, disable=not (shown and console.is_terminal)
    ) as bar:
        task = bar.add_task("Reading rows", total=total)

        def judged(rows: int) -> None:
            # The header is a line, too.
            done = total is not None and rows >= total - 1
            bar.update(task, completed=rows, description="Registering devices" if done else "Reading rows")

        yield judged


class _Rows(ProgressColumn):
    def render(self, task: Task) -> Text:
        rows = f"{task.completed:,.0f}"
        return Text(f"{rows} rows" if task.total is None else f"{rows}/{task.total:,.0f}")
