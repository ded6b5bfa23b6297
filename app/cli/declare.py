"""Declaring a theft: drafted, shown, confirmed by the person at the terminal, and submitted."""

from __future__ import annotations

import sys
import termios
from datetime import datetime
from typing import Any

import rich_click as click

from app.access import keys
from app.access.keys import Key
from app.access.roles import ALLOWED, Permission
from app.cli import desk, options, preview, scope, show, warned
from app.core.db import Connection
from app.core.errors import GatewayError
from app.delivery.scope import KINDS
from app.incidents import decide, guards
from app.incidents.decide import Draft, Drafted
from app.incidents.guards import DryRun, Submission
from app.incidents.incident import Incident


@click.command()
@click.option("--title", required=True, help="What people will call it.")
@click.option("--kind", type=click.Choice(KINDS), default="theft", show_default=True, help="What happened.")
@scope.named
@click.option("--site", default="", help="Where it happened.")
@click.option("--country", default="", metavar="CODE", help="In which country, as FR (ISO 3166).")
@click.option(
    "--from",
    "occurred_from",
    callback=options.moment,
    metavar="TIME",
    help="Not before: 2026-12-22T01:30+01:00.",
)
@click.option(
    "--to", "occurred_to", callback=options.moment, metavar="TIME", help="Not after; with its UTC offset too."
)
@click.option("--police-reference", default="", help="The number of the report to the police.")
@click.option("--draft", "only_draft", is_flag=True, help="Write it down and show it; submit nothing.")
@click.option("--preview", "only_look", is_flag=True, help="Show what it comes to; write nothing down.")
@warned.acknowledging
@click.option("--yes", is_flag=True, help="Submit without asking, as scripts must.")
@options.as_json
@options.acting
def declare(
    *, title: str, kind: str, site: str, country: str, occurred_from: datetime | None, occurred_to: datetime | None,
    police_reference: str, only_draft: bool, only_look: bool, acknowledged: tuple[str, ...], include_sold: bool,
    yes: bool, as_json: bool, **named: Any,
) -> None:  # fmt: skip
    """Declare devices stolen, by the pallets, receipts, IMEIs or serials that are gone.

    Shows what that comes to, asks, and submits. From then on carriers are told 'suspect'; a second person's
    'approve' turns that into 'blocked' and tells every partner. What was sold to customers is left out, and what is
    golden; what is unlike the usual is asked about.

    \b
    Examples
      $ imei-gateway declare --title "Paris 22 December" --pallets stolen.txt --site "Paris Nord"
      $ imei-gateway declare --title "Van, Lyon" --imei 490154203237518 --yes --json
    """
    asks = not (yes or only_draft or only_look)
    if asks and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked here: give --yes to submit, or --preview to only see.")
    wanted, places = scope.scope(**named)
    bounds = guards.bounds(desk.settings())
    if only_look:
        with places.told():
            look(DryRun(wanted, include_sold), bounds, as_json)
        return
    said = Draft(
        title, wanted, kind, site, occurred_from, occurred_to, police_reference, country, include_sold
    )
    with places.told():
        drafted = desk.change(lambda conn, actor, now: decide.draft(conn, actor, said, now, bounds))
    if not as_json:
        show.draw(
            show.facts([("incident", str(drafted.id)), ("title", title)]), *preview.drawn(drafted.preview), ""
        )
    if only_draft or (asks and not _is_confirmed()):
        _leave(drafted, as_json)
    else:
        submit(drafted.id, as_json, warned.submission(acknowledged, include_sold), fresh=True)


def look(said: DryRun, bounds: guards.Bounds, as_json: bool) -> None:
    """Shows what a scope comes to, of which nothing is kept."""
    found = desk.change(lambda conn, actor, now: guards.dry_run(conn, actor, said, now, bounds))
    if as_json:
        show.json(found)
    else:
        show.draw(*preview.drawn(found))


def _is_confirmed() -> bool:
    # What was typed before the preview stood there is no answer to it.
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return click.confirm("Declare all of this stolen?")


def _leave(drafted: Drafted, as_json: bool) -> None:
    if as_json:
        show.json({"id": drafted.id, "state": "draft", "preview": drafted.preview})
        return
    show.say(f"Incident {drafted.id} stays a draft: nothing is claimed, and nobody was told.")
    show.say(f"To go on: imei-gateway submit {drafted.id}")
    show.say(f'To drop it: imei-gateway withdraw {drafted.id} --reason "…"')


def submit(incident_id: int, as_json: bool, said: Submission, *, fresh: bool = False) -> None:
    """Submits a draft, and says who must approve it; of what is unusual the person at the terminal is asked. Of a
    `fresh` one that is refused, says that it is there."""
    try:
        found = warned.submitted(incident_id, said, asks=not as_json)
    except GatewayError as error:
        raise _left_behind(error, incident_id) if fresh else error from None
    if as_json:
        show.json(found)
        return
    approvers = desk.read(lambda conn, actor: _approvers(conn, actor.key_id))
    _say_who_approves(found, approvers)


def _left_behind(error: GatewayError, incident_id: int) -> GatewayError:
    detail = (
        f"{error.detail} Incident {incident_id} stays a draft; to drop it:"
        f' imei-gateway withdraw {incident_id} --reason "…"'
    )
    return type(error)(detail, error.code, error.flaws)


async def _approvers(conn: Connection, submitter: str) -> list[Key]:
    return [
        key
        for key in await keys.listed(conn)
        if not key.revoked_at
        and key.key_id != submitter
        and Permission.INCIDENTS_APPROVE in ALLOWED[key.role]
    ]


def _say_who_approves(found: Incident, approvers: list[Key]) -> None:
    show.say(
        f"Incident {found.id} is submitted. Carriers that ask are told 'suspect' from now on.", style="bold"
    )
    if found.scope.as_of:
        show.say(f"It holds what its pallets held at {show.moment(found.scope.as_of)}.")
    if not approvers:
        show.say("A second person must approve it, and nobody else has a key that may.", "red")
        show.say('Make one: imei-gateway key create --name "their name" --role approver')
        return
    who = ", ".join(f"{key.name} ({key.role}, {key.key_id})" for key in approvers)
    show.say(f"It takes {found.lacking} to approve it, with a key of their own: {who}")
    show.say(f"They run: imei-gateway approve {found.id} --key THEIR_KEY")
