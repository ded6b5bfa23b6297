"""Where each partner stands, drawn as bars that move, or said in plain lines. Knows no database.

For everything that shows progress in a terminal: `update` with what was read, and draw again.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from app.cli import show
from app.delivery.progress import Standing, Tally

# The rate is that of the last seconds, so that a partner which comes back is seen to move.
WINDOW = 10.0
WIDEST = 110
_PARTS = ((("done", "already"), "█", "green"), (("refused", "parked"), "▓", "red"),
          (("superseded", "not_ours"), "▒", "blue"), (("accepted",), "░", "yellow"))  # fmt: skip
_MARKS = {"block": "", "release": " ↩", "again": " ⟳"}
# As a worker says it when it pauses one; going on with wrong credentials might lock an account.
_DENIED = re.compile(
    r"^HTTP 4(01|03|10)\b|\b(does not accept our|another host key|host key is set|private key cannot be read)\b"
)
_WORDS = {"not_ours": "not ours to release"}


class Stretch(msgspec.Struct, frozen=True):
    """One order's way at one partner: what is confirmed, and how fast (None: nobody can say)."""

    tally: Tally
    rate: float | None

    @property
    def confirmed(self) -> int:
        return self.tally.done + self.tally.already

    @property
    def left(self) -> float | None:
        """Seconds until all is told, at this rate."""
        waiting = self.tally.open + self.tally.accepted
        return waiting / self.rate if self.rate and waiting else None


class Paces:
    """How fast partners have come on in the last `WINDOW` seconds in which they were looked at; `clock` is a monotonic
    one, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[tuple[int, str], deque[tuple[float, int]]] = {}

    def update(self, standings: list[Standing]) -> None:
        now = self._clock()
        for standing in standings:
            for op, tally in _tallies(standing):
                seen = self._seen.setdefault((standing.partner_id, op), deque())
                seen.append((now, _ended(tally)))
                while len(seen) > 2 and now - seen[0][0] > WINDOW:
                    seen.popleft()

    def stretches(self, standing: Standing) -> Iterator[tuple[str, Stretch]]:
        for op, tally in _tallies(standing):
            yield op, Stretch(tally, self._rate((standing.partner_id, op)))

    def _rate(self, which: tuple[int, str]) -> float | None:
        seen = self._seen[which]
        (began, had), (now, has) = seen[0], seen[-1]
        return (has - had) / (now - began) if now > began else None

    def recent(self, standing: Standing) -> Standing:
        """The same, each rate and what is left of the time as they are now."""
        tallies = {
            op: msgspec.structs.replace(
                stretch.tally,
                rate=None if stretch.rate is None else round(stretch.rate, 1),
                seconds_left=None if stretch.left is None else round(stretch.left, 1),
            )
            for op, stretch in self.stretches(standing)
        }
        return msgspec.structs.replace(standing, **tallies)


class Bars:
    """Draws the standings of the latest `update`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._standings: list[Standing] = []
        self._paces = Paces(clock)

    def update(self, standings: list[Standing]) -> None:
        self._standings = standings
        self._paces.update(standings)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table.grid(padding=(0, 1), expand=True)
        table.width = min(options.max_width, WIDEST)
        table.add_column(no_wrap=True, max_width=24, overflow="ellipsis")
        table.add_column(ratio=1)
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        for standing in self._standings:
            self._draw(table, standing)
        yield table

    def lines(self) -> Iterator[str]:
        """The same without a terminal: one line for each partner and order."""
        for standing in self._standings:
            for op, stretch in self._paces.stretches(standing):
                told = f"{stretch.confirmed:,} of {stretch.tally.wanted:,} confirmed"
                yield "; ".join((f"{standing.partner} {op}: {told}", *_remarks(standing, stretch)))

    def _draw(self, table: Table, standing: Standing) -> None:
        for op, stretch in self._paces.stretches(standing):
            name = Text(f"{standing.partner}{_MARKS[op]}")
            told = f"{stretch.confirmed:,}/{stretch.tally.wanted:,}"
            table.add_row(name, _Bar(stretch), told, _pace(standing, stretch), _time_left(stretch))
            remarks = [text for text in _remarks(standing, stretch) if text != "settled"]
            if remarks:
                table.add_row("", Text(" · ".join(remarks), style="dim"))


class _Bar:
    """One line: what is confirmed, refused, replaced and accepted side by side, and the rest empty."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, wanted = options.max_width, max(1, self._stretch.tally.wanted)
        bar, reached = Text(no_wrap=True), 0
        for names, mark, style in _PARTS:
            reached += sum(getattr(self._stretch.tally, name) for name in names)
            bar.append(mark * (reached * width // wanted - len(bar)), style)
        yield bar.append("·" * (width - len(bar)), "dim")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(8, options.max_width)


def _tallies(standing: Standing) -> Iterator[tuple[str, Tally]]:
    if standing.block:
        yield "block", standing.block
    if standing.release:
        yield "release", standing.release
    if standing.again:
        yield "again", standing.again


def _ended(tally: Tally) -> int:
    return tally.wanted - tally.open - tally.accepted


def _pace(standing: Standing, stretch: Stretch) -> Text:
    if stretch.tally.parked and stretch.tally.settled:
        return show.state("parked")
    if stretch.tally.settled:
        return Text("settled", style="bold green")
    if standing.health not in ("working", "parked"):
        return show.state(standing.health)
    return Text("" if stretch.rate is None else f"{stretch.rate:,.0f}/s", style="cyan")


def _time_left(stretch: Stretch) -> str:
    if stretch.left is None:
        return ""
    minutes, seconds = divmod(round(stretch.left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _remarks(standing: Standing, stretch: Stretch) -> Iterator[str]:
    tally = stretch.tally
    for name in ("accepted", "refused", "parked", "superseded", "not_ours"):
        if number := getattr(tally, name):
            yield f"{number:,} {_WORDS.get(name, name)}"
    if tally.failed_calls:
        yield f"{tally.failed_calls:,} of {tally.calls:,} calls failed"
    if tally.parked:
        yield f"given up until 'imei-gateway partner replay {standing.partner_id} --which parked'"
    if tally.settled:
        yield from () if tally.parked else ("settled",)
        return
    if not stretch.rate and tally.open and tally.calls:
        yield f"{tally.open:,} wait for another try"
    if standing.health == "paused":
        yield f"paused: {standing.last_fault}"
        yield f"{_mend(standing.last_fault)}'imei-gateway partner resume {standing.partner_id}'"
        return
    if standing.health not in ("working", "parked"):
        yield standing.health
    if standing.last_fault:
        yield standing.last_fault


def _mend(reason: str) -> str:
    """What to do before a partner is resumed."""
    if _DENIED.search(reason):
        return "correct its settings, try it with 'imei-gateway partner try', and then "
    return "goes on after "
