"""Watching an incident until every partner has given its last word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import rich_click as click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from app.access.roles import Principal
from app.cli import desk, options, show
from app.cli.bars import Bars
from app.cli.failures import NOT_IN_TIME
from app.cli.options import Number
from app.core.db import Pool, asks_again
from app.incidents.incident import Glance, glance

PULSE = 0.25
# Plain lines are read afterwards, and need not be many.
PLAIN_PULSE = 1.0


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
    replaced or is not ours to release (▒), and what the partner has only accepted so far (░). A paused partner
    gives no last word until 'partner resume'.
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
    pool: Pool, actor: Principal, incident_id: int, see: Callable[[Glance], None], deadline: float | None
) -> bool:
    pulse = PULSE if show.console().is_terminal else PLAIN_PULSE
    while True:
        found = await _read(pool, actor, incident_id)
        if found:
            see(found)
            if found.ended:
                return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
        await asyncio.sleep(pulse if deadline is None else min(pulse, max(0.0, deadline - time.monotonic())))


async def _read(pool: Pool, actor: Principal, incident_id: int) -> Glance | None:
    """None while the database is away, which is waited for: nobody wants to lose sight in that moment."""
    try:
        async with pool.acquire(timeout=10) as conn, conn.transaction():
            return await glance(conn, actor, incident_id)
    except Exception as error:
        if not asks_again(error):
            raise
        return None


def _shown(as_json: bool) -> AbstractContextManager[Callable[[Glance], None]]:
    if as_json:
        return nullcontext(_Changes(lambda found: show.json(_fields(found)), _fields))
    if not show.console().is_terminal:
        return nullcontext(_PlainLines())
    return _Screen()


def _fields(found: Glance) -> dict[str, Any]:
    incident = found.incident
    return {
        "id": incident.id, "state": incident.state, "claims": found.claims, "partners": found.partners,
        "settled": found.settled,
    }  # fmt: skip


class _Changes:
    """Hands on what differs from the last time."""

    def __init__(self, hand_on: Callable[[Glance], None], part: Callable[[Glance], object]) -> None:
        self._hand_on, self._part = hand_on, part
        self._last: object = None

    def __call__(self, found: Glance) -> None:
        part = self._part(found)
        if part != self._last:
            self._last = part
            self._hand_on(found)


class _PlainLines:
    def __init__(self) -> None:
        self._bars = Bars()
        self._said: set[str] = set()

    def __call__(self, found: Glance) -> None:
        self._bars.update(found.partners)
        lines = [_headline(found), *self._bars.lines()]
        for line in lines:
            if line not in self._said:
                click.echo(line)
        self._said = set(lines)


class _Screen(AbstractContextManager[Callable[[Glance], None]]):
    """Bars on a terminal; what they say at the end stays there."""

    def __init__(self) -> None:
        self._bars = Bars()
        self._live = Live(console=show.console(), auto_refresh=False)

    def __enter__(self) -> Callable[[Glance], None]:
        self._live.start()
        return self._see

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _see(self, found: Glance) -> None:
        self._bars.update(found.partners)
        headline = Text(_headline(found), style="bold")
        self._live.update(Group(headline, self._bars), refresh=True)


def _headline(found: Glance) -> str:
    incident, claims = found.incident, found.claims
    named = f"Incident {incident.id} ({incident.title}): {incident.state}"
    if incident.state == "draft":
        return f"{named}; nothing happens before it is submitted"
    if incident.state == "submitted":
        suspects = show.count(claims.suspected, "identifier is", "identifiers are")
        return f"{named}; {suspects} suspect, and a second person must approve"
    if incident.approved_at is None:
        return f"{named}; nothing was ever blocked for it"
    told = (
        "no partner to tell"
        if not found.partners
        else "all partners told"
        if found.settled
        else "partners are being told"
    )
    blocked = show.count(claims.active, "identifier")
    return f"{named}; {blocked} blocked, {claims.lifted:,} released; {told}"
