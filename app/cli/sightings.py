"""Sightings and alerts, from the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import rich_click as click

from app.access.roles import Principal
from app.alerts import alert
from app.alerts.alert import Alert
from app.blocklist import sightings as room
from app.blocklist.ask import key_of
from app.blocklist.sightings import Sighting, Wanted
from app.cli import desk, options, show
from app.cli.options import Number
from app.core import imei
from app.core.clock import utc_now
from app.core.db import Connection

_limit = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="At most so many."
)


@click.command()
@click.argument("imei", required=False)
@click.option("--incident", type=Number("an incident"), help="Of devices of this incident.")
@click.option("--in-stock", is_flag=True, help="Of devices that should be in stock, alone.")
@_limit
@options.as_json
@options.acting
def sightings(imei: str | None, incident: int | None, in_stock: bool, limit: int, as_json: bool) -> None:
    """Show who from outside asked about stolen devices, about one IMEI, or about stock that should not be out.

    \b
    Examples
      $ imei-gateway sightings --incident 7
      $ imei-gateway sightings 490154203237518
      $ imei-gateway sightings --in-stock
    """
    wanted = Wanted(incident, None if imei is None else key_of(imei), in_stock)
    found = desk.read(lambda conn, actor: room.listed(conn, actor, wanted, limit=limit, now=utc_now()))
    if as_json:
        show.json({"sightings": found})
        return
    columns = ("device", "was", "asked by", "by way of", "where", "#times", "first", "last")
    show.draw(show.table("", columns, map(_row, found)))


def _row(it: Sighting) -> tuple[Any, ...]:
    named = imei.full(int(it.imei)) if it.imei else it.serial
    # A note may be of several lines, which would look like rows of ours.
    where = ": ".join(imei.shown(text, 1000) for text in (it.place, it.note) if text)
    moments = (show.moment(it.first_at), show.moment(it.last_at))
    status = "in stock" if it.status == "clear" and it.way != room.REPORT else show.state(it.status)
    return named, status, it.asked_by, it.way, where, f"{it.times:,}", *moments


@click.group(invoke_without_command=True)
@click.option("--seen", is_flag=True, help="Those at which somebody has looked too.")
@_limit
@options.as_json
@options.acting
@click.pass_context
def alerts(ctx: click.Context, seen: bool, limit: int, as_json: bool) -> None:
    """Show what a person should look at now. The same thing is one alert until somebody has looked.

    \b
    Examples
      $ imei-gateway alerts
      $ imei-gateway alerts see 3
    """
    if ctx.invoked_subcommand:
        return
    found = desk.read(lambda conn, actor: alert.listed(conn, actor, seen=seen, limit=limit))
    if as_json:
        show.json({"alerts": found})
        return
    columns = ("#id", "what", "of", "#times", "last", "concerns", "more", "seen")
    show.draw(show.table("", columns, map(_line, found)))


def _line(it: Alert) -> tuple[str, ...]:
    said = {name: value for name, value in it.detail.items() if not isinstance(value, list)}
    more = ", ".join(f"{name} {imei.shown(str(value), 1000)}" for name, value in said.items())
    looked = f"{show.moment(it.seen_at)} by {it.seen_by}" if it.seen_at else ""
    return (
        str(it.id),
        it.kind,
        it.subject,
        f"{it.times:,}",
        show.moment(it.last_at),
        it.concerns,
        more,
        looked,
    )


@alerts.command()
@click.argument("alert_id", metavar="ID", type=Number("an alert"))
@options.as_json
@options.acting
def see(alert_id: int, as_json: bool) -> None:
    """Say that you have looked at an alert: it is closed, and the same thing raises a new one.

    \b
    Example
      $ imei-gateway alerts see 3
    """

    async def work(conn: Connection, actor: Principal, now: datetime) -> bool:
        return await alert.see(conn, actor, alert_id, now)

    changed = desk.change(work)
    if as_json:
        show.json({"id": alert_id, "changed": changed})
        return
    show.say(f"Alert {alert_id} is closed." if changed else f"Alert {alert_id} was closed before.")
