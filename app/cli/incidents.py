"""The decisions on an incident after it was declared, from the command line."""

from __future__ import annotations

from typing import Any, Literal

import rich_click as click

from app.cli import declare, desk, options, proposing, scope, show, warned
from app.cli.options import Number
from app.incidents import decide, emergency
from app.incidents.emergency import Review
from app.incidents.incident import Report, report
from app.incidents.lift import Lifted
from app.proposals.goods import Lift, Withdraw

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
    """Approve an incident, as another person: with the last approval that it takes, everything in it is blocked, and
    every partner is told.

    The key that submitted it cannot approve it (exit code 6); 'incident' shows what you would approve, and whom it
    takes.

    \b
    Example
      $ imei-gateway approve 7 --key imei_k_…
    """
    desk.change(lambda conn, actor, now: decide.approve(conn, actor, incident_id, now))
    _tell(incident_id, as_json)


@click.command("break-glass")
@_incident
@_reason
@options.as_json
@options.acting
def break_glass(incident_id: int, reason: str, as_json: bool) -> None:
    """In an emergency: block what is submitted at once, alone. Everybody is alerted, and somebody else reviews it.

    \b
    Example
      $ imei-gateway break-glass 7 --reason "The trucks are leaving, and nobody answers" --key imei_k_…
    """
    hours = desk.settings().review_hours
    desk.change(lambda conn, actor, now: emergency.break_glass(conn, actor, incident_id, reason, hours, now))
    _tell(incident_id, as_json)


@click.command()
@_incident
@click.argument("verdict", type=click.Choice(["upheld", "reversed"]))
@_reason
@options.as_json
@options.acting
def review(incident_id: int, verdict: Literal["upheld", "reversed"], reason: str, as_json: bool) -> None:
    """Say, as another person, whether breaking the glass was right; reversed: all of it is released at once.

    \b
    Example
      $ imei-gateway review 7 upheld --reason "Seen on the camera of dock 4" --key imei_k_…
    """
    said = Review(verdict, reason)
    desk.change(lambda conn, actor, now: emergency.review(conn, actor, incident_id, said, now))
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

    Later than an hour after its approval (IMEI_GATEWAY_UNDO_MINUTES) others approve that first.

    \b
    Example
      $ imei-gateway withdraw 7 --reason "Wrong shipment"
    """
    proposing.do(Withdraw(incident_id, reason), as_json)
    _tell(incident_id, as_json)


@click.command()
@_incident
@scope.named
@options.as_json
@options.acting
def lift(incident_id: int, as_json: bool, **named: Any) -> None:
    """Release devices that were found: the incident lets go of them, and partners are told to unblock them.

    A device comes with all of its IMEIs. What another incident holds stays blocked. Others approve it first, as many
    as the rules say ('rule list').

    \b
    Examples
      $ imei-gateway lift 7 --imeis found-in-the-van.txt
      $ imei-gateway lift 7 --pallet 340123450000000017
    """
    wanted, places = scope.scope(**named)
    with places.told():
        found = proposing.propose(Lift(incident_id, wanted))
    lifted: Lifted = proposing.done(found, as_json)
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
    if incident.state == "submitted":
        so_far = (
            f"approved by {', '.join(incident.assents)}" if incident.assents else "approved by nobody yet"
        )
        return f"{named}, {so_far}: it takes {incident.lacking}. Until then its devices stay suspect."
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
