"""The decisions on an incident after it was declared, from the command line."""

from __future__ import annotations

from typing import Any

import rich_click as click

from app.cli import declare, desk, options, scope, show, warned
from app.cli.options import Number
from app.incidents import decide
from app.incidents.incident import Report, report
from app.incidents.lift import Lifted
from app.incidents.lift import lift as lift_scope

_incident = click.argument("incident_id", metavar="INCIDENT", type=Number("an incident"))
_reason = click.option("--reason", required=True, help="Why; it stays on the record.")


@click.command()
@_incident
@warned.acknowledging
@options.as_json
@options.acting
def submit(incident_id: int, acknowledged: tuple[str, ...], include_sold: bool, as_json: bool) -> None:
    """Submit a draft: what it names now is frozen, and a second person is asked to approve it.

    What was sold to customers by now is left out, and what is golden. What is unlike the usual is asked about, or
    acknowledged by its code.

    \b
    Examples
      $ imei-gateway submit 7
      $ imei-gateway submit 7 --acknowledge size
    """
    declare.submit(incident_id, as_json, warned.submission(acknowledged, include_sold))


@click.command()
@_incident
@options.as_json
@options.acting
def approve(incident_id: int, as_json: bool) -> None:
    """Approve an incident, as the second person: everything in it is blocked, and every partner is told.

    The key that submitted it cannot approve it (exit code 6); 'incident' shows what you would approve.

    \b
    Example
      $ imei-gateway approve 7 --key imei_k_…
    """
    desk.change(lambda conn, actor, now: decide.approve(conn, actor, incident_id, now))
    _tell(incident_id, as_json)


@click.command()
@_incident
@_reason
@options.as_json
@options.acting
def reject(incident_id: int, reason: str, as_json: bool) -> None:
    """Reject an incident, as the second person: nothing is blocked, and its suspects are clear again.

    \b
    Example
      $ imei-gateway reject 7 --reason "The pallets were found in bay 4" --key imei_k_…
    """
    desk.change(lambda conn, actor, now: decide.reject(conn, actor, incident_id, reason, now))
    _tell(incident_id, as_json)


@click.command()
@_incident
@_reason
@options.as_json
@options.acting
def withdraw(incident_id: int, reason: str, as_json: bool) -> None:
    """Take a whole incident back, at once: what was blocked for it alone is released at every partner.

    \b
    Example
      $ imei-gateway withdraw 7 --reason "Wrong shipment"
    """
    desk.change(lambda conn, actor, now: decide.withdraw(conn, actor, incident_id, reason, now))
    _tell(incident_id, as_json)


@click.command()
@_incident
@scope.named
@options.as_json
@options.acting
def lift(incident_id: int, as_json: bool, **named: Any) -> None:
    """Release devices that were found: the incident lets go of them, and partners are told to unblock them.

    A device comes with all of its IMEIs. What another incident holds stays blocked.

    \b
    Examples
      $ imei-gateway lift 7 --imeis found-in-the-van.txt
      $ imei-gateway lift 7 --pallet 340123450000000017
    """
    wanted, places = scope.scope(**named)
    with places.told():
        lifted = desk.change(lambda conn, actor, now: lift_scope(conn, actor, incident_id, wanted, now))
    if as_json:
        show.json(lifted)
    else:
        _print_lifted(incident_id, lifted)


def _tell(incident_id: int, as_json: bool) -> None:
    found = desk.read(lambda conn, actor: report(conn, actor, incident_id))
    if as_json:
        show.json(found.incident)
        return
    show.say(_outcome(found), "bold")
    if found.partners:
        told = show.count(len(found.partners), "partner")
        show.say(f"{told} to tell. Watch: imei-gateway watch {incident_id}")


def _outcome(found: Report) -> str:
    incident, claims = found.incident, found.claims
    named = f"Incident {incident.id} ({incident.title}) is {incident.state}"
    if incident.state == "approved":
        blocked = show.count(claims.active, "identifier is", "identifiers are")
        return f"{named}: {blocked} blocked for it, on {show.count(claims.devices_active, 'device')}."
    return f"{named}; it holds nothing."


def _print_lifted(incident_id: int, lifted: Lifted) -> None:
    devices, identifiers = show.count(lifted.devices, "device"), show.count(lifted.identifiers, "identifier")
    show.say(f"Incident {incident_id} let go of {devices} ({identifiers}).", "bold")
    show.say(f"{lifted.released:,} released; {lifted.still_held:,} still blocked for other incidents.")
    if lifted.not_claimed:
        show.say(f"{len(lifted.not_claimed):,} named that it did not hold: {show.some(lifted.not_claimed)}")
    if lifted.state == "closed":
        show.say("That was all it held: the incident is closed.")
    show.say(f"Watch: imei-gateway watch {incident_id}")
