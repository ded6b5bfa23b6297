"""How the night looks: steps that tick off with their time; live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 5.0


class Bar(msgspec.Struct, frozen=True):
    """How far one thing has come."""

    name: str
    done: int
    total: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = Table.grid(padding=(0, 2))
        drawn = ProgressBar(total=max(self.total, 1), completed=self.done, width=40)
        grid.add_row(drawn, f"{self.done:,} of {self.total:,} {self.name}")
        yield grid

    def lines(self) -> Iterator[str]:
        yield f"{self.done:,} of {self.total:,} {self.name}"


class Progress(Protocol):
    """What a step shows of how far it is: drawn on a terminal, said elsewhere."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult: ...

    def lines(self) -> Iterator[str]: ...


class Step:
    """A step under way. `told` is the line that stays when it has ended."""

    def __init__(self, title: str, console: Console) -> None:
        self._title, self._console = title, console
        self._spinner = Spinner("dots")
        self._began = self._said = time.monotonic()
        self._shown: Progress | None = None
        self.told = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, progress: Progress) -> None:
        """How far it is now; on a terminal it is drawn some times a second whatever happens."""
        self._shown = progress
        if not self._console.is_terminal and time.monotonic() - self._said > PLAIN_EVERY:
            self._said = time.monotonic()
            for line in progress.lines():
                self._console.print(f"  {self.seconds:4.0f} s  {line}")

    def __rich__(self) -> RenderableType:
        title = Table.grid(padding=(0, 1))
        title.add_row(self._spinner, Text(self._title), Text(f"{self.seconds:.0f} s", style="dim"))
        return Group(title, Padding(self._shown, (0, 0, 0, 2))) if self._shown else title


class Screen:
    """Where the night is told. `seconds` keeps how long each named step took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    def open(self, title: str, story: str) -> None:
        if self.console.is_terminal:
            self.console.print(
                Panel(story, title=title, title_align="left", width=min(self.console.width, 100))
            )
        else:
            self.console.print(f"{title}: {story}")

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        """A step; it ticks off when the block ends well."""
        step = Step(title, self.console)
        if self.console.is_terminal:
            with Live(step, console=self.console, transient=True, refresh_per_second=8):
                yield step
        else:
            yield step
        self.seconds[name] = self.seconds.get(name, 0.0) + step.seconds
        self._ticked(step.told or title, step.seconds)

    def _ticked(self, told: str, seconds: float) -> None:
        line = Table.grid(padding=(0, 1), expand=self.console.is_terminal)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(Text("✓", style="green"), Text(told), Text(f"{seconds:.1f} s", style="dim"))
        self.console.print(line)

    def say(self, *lines: str | RenderableType) -> None:
        """Something to read between two steps."""
        for line in lines:
            said = Text(line, style="dim") if isinstance(line, str) else line
            self.console.print(Padding(said, (0, 0, 0, 2)))
