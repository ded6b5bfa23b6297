"""Golden identifiers, from the command line."""

from __future__ import annotations

import rich_click as click

from app.blocklist import golden as room
from app.blocklist.golden import Additions, Golden
from app.cli import desk, options, show
from app.core import imei


@click.group()
def golden() -> None:
    """What is never blocked: test handsets, specimens, test ranges; by IMEI, TAC (8 digits) or reporting body (2).

    \b
    Example
      $ imei-gateway golden add 490154203237518 --why "Handset of the test bench"
    """


@golden.command("list")
@options.as_json
@options.acting
def list_(as_json: bool) -> None:
    """List what is golden, why, and who said so.

    \b
    Example
      $ imei-gateway golden list
    """
    found = desk.read(lambda conn, actor: room.listed(conn, actor, limit=10_000))
    if as_json:
        show.json({"golden": found})
        return
    show.draw(show.table("", ("what", "why", "since", "by"), map(_row, found)))


def _row(it: Golden) -> tuple[str, ...]:
    named = imei.full(int(it.digits)) if len(it.digits) == 14 else it.digits
    return named, it.why, show.moment(it.added_at), it.added_by


@golden.command()
@click.argument("digits", nargs=-1, required=True, metavar="DIGITS…")
@click.option("--why", required=True, help="Why they are never to be blocked.")
@options.as_json
@options.acting
def add(digits: tuple[str, ...], why: str, as_json: bool) -> None:
    """Say what is never to be blocked. What is suspect or blocked now is refused.

    \b
    Examples
      $ imei-gateway golden add 490154203237518 --why "Handset of the test bench"
      $ imei-gateway golden add 00 02 --why "Test ranges of the laboratory's network"
    """
    added = desk.change(lambda conn, actor, now: room.add(conn, actor, Additions(digits, why), now))
    if as_json:
        show.json({"added": added})
    else:
        show.say(f"{len(added):,} added; {len(digits) - len(added):,} were golden before.")


@golden.command()
@click.argument("digits")
@click.option("--reason", required=True, help="Why; it stays on the record.")
@options.acting
def remove(digits: str, reason: str) -> None:
    """Let something be blocked again.

    \b
    Example
      $ imei-gateway golden remove 00 --reason "The laboratory moved out"
    """
    desk.change(lambda conn, actor, now: room.remove(conn, actor, digits, reason, now))
    show.say(f"{imei.shown(digits)} is not golden any more.")
