"""Watching an incident until every partner has given its last word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import rich_click as click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.bars import Bars, Paces
from app.cli.failures import NOT_IN_TIME
from app.cli.options import Number
from app.core.db import Pool, asks_again
from app.core.visible import visible
from app.delivery.progress import is_worked
from app.incidents.incident import Glance, glance

PULSE = 0.25
# Plain lines are read afterwards, and need not be many.
PLAIN_PULSE = 1.0


class Seen(NamedTuple):
    """An incident at one moment, and whether a worker lived."""

    glance: Glance
    worked: bool


@click.command()
@click.argument("incident_id", metavar="INCIDENT", type=Number("an incident"))
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up then, with exit code 4."
)
@options.as_json
@options.acting
def watch(incident_id: int, timeout: float | None, as_json: bool) -> int | None:
    """Watch the partners being told, live, until every one of them has given its last word.

    A bar shows what a partner has confirmed (█), what it refused or was given up (▓), what newer orders have
    replaced or is not ours to release (▒), and what the partner has only accepted so far (░). Behind a name, ↩
    marks what it is told to release, and ⟳ what it is told again ('partner replay' and its like). A partner that is
    resting asked for a pause, or its rate is used up: it goes on by itself. A paused one gives no last word until
    'partner resume'. Rates, and the time that is left, are those of the last ten seconds.
    With --json: one line for each change.

    \b
    Examples
      $ imei-gateway watch 7
      $ imei-gateway watch 7 --timeout 60 --json
    """
    shown = _shown(as_json)
    deadline = time.monotonic() + timeout if timeout is not None else None
    with shown as see:
        settled = desk.on_pool(lambda pool, actor: _watch(pool, actor, incident_id, see, deadline))
    if settled:
        return None
    if not as_json:
        text = f"Not every partner was done within {timeout:g} s; they go on being told, but for paused ones."
        show.say(text, "yellow", stderr=True)
    return NOT_IN_TIME


async def _watch(
    pool: Pool, actor: Principal, incident_id: int, see: Callable[[Seen], None], deadline: float | None
) -> bool:
    pulse = PULSE if show.console().is_terminal else PLAIN_PULSE
    while True:
        found = await _read(pool, actor, incident_id)
        if found:
            see(found)
            if found.glance.ended:
                return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
        await asyncio.sleep(pulse if deadline is None else min(pulse, max(0.0, deadline - time.monotonic())))


async def _read(pool: Pool, actor: Principal, incident_id: int) -> Seen | None:
    """None while the database is away, which is waited for: nobody wants to lose sight in that moment."""
    try:
        async with pool.acquire(timeout=10) as conn, conn.transaction():
            return Seen(await glance(conn, actor, incident_id), await is_worked(conn))
    except Exception as error:
        if not asks_again(error):
            raise
        return None


def _shown(as_json: bool) -> AbstractContextManager[Callable[[Seen], None]]:
    if as_json:
        return nullcontext(_Changes())
    if not show.console().is_terminal:
        return nullcontext(_PlainLines())
    return _Screen()


class _Changes:
    """A line of JSON for what differs from the last time."""

    def __init__(self) -> None:
        self._paces = Paces()
        self._last: object = None

    def __call__(self, found: Seen) -> None:
        self._paces.update(found.glance.partners)
        fields = _fields(found)
        if fields != self._last:
            self._last = fields
            show.json({**fields, "partners": [self._paces.recent(it) for it in found.glance.partners]})


def _fields(found: Seen) -> dict[str, Any]:
    it = found.glance
    return {
        "id": it.incident.id, "state": it.incident.state, "claims": it.claims, "partners": it.partners,
        "settled": it.settled, "sightings": it.sightings, "worked": found.worked,
    }  # fmt: skip


class _PlainLines:
    def __init__(self) -> None:
        self._bars = Bars()
        self._said: set[str] = set()

    def __call__(self, found: Seen) -> None:
        self._bars.update(found.glance.partners)
        lines = [_headline(found), *self._bars.lines()]
        for line in lines:
            if line not in self._said:
                click.echo(visible(line))
        self._said = set(lines)


class _Screen(AbstractContextManager[Callable[[Seen], None]]):
    """Bars on a terminal; what they say at the end stays there."""

    def __init__(self) -> None:
        self._bars = Bars()
        self._live = Live(console=show.console(), auto_refresh=False)

    def __enter__(self) -> Callable[[Seen], None]:
        self._live.start()
        return self._see

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _see(self, found: Seen) -> None:
        self._bars.update(found.glance.partners)
        headline = Text(_headline(found), style="bold")
        self._live.update(Group(headline, self._bars), refresh=True)


def _headline(seen: Seen) -> str:
    found = seen.glance
    incident, claims = found.incident, found.claims
    named = f"Incident {incident.id} ({incident.title}): {incident.state}"
    if incident.state == "draft":
        return f"{named}; nothing happens before it is submitted"
    if incident.state == "submitted":
        suspects = show.count(claims.suspected, "identifier is", "identifiers are")
        return f"{named}; {suspects} suspect, and it takes {incident.lacking} to approve it"
    if incident.approved_at is None:
        return f"{named}; nothing was ever blocked for it"
    blocked = show.count(claims.active, "identifier")
    return f"{named}; {blocked} blocked, {claims.lifted:,} released; {_told(seen)}"


def _told(seen: Seen) -> str:
    found = seen.glance
    if not found.partners:
        return "no partner to tell"
    if not found.settled:
        return "partners are being told" if seen.worked else show.UNWORKED
    if parked := sum(standing.parked for standing in found.partners):
        return f"partners told, but {show.count(parked, 'order is', 'orders are')} parked: given up"
    return "all partners told"
