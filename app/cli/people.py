"""People, from the command line: added, invited, listed, given another role, ended; each on the audit log."""

from __future__ import annotations

import secrets
from datetime import datetime

import msgspec
import rich_click as click

from app.access import people
from app.access.people import Invitation, NewPerson, Person, PersonChanges
from app.access.roles import Permission, Principal, Role
from app.audit.record import Entry, record
from app.cli import desk, options, proposing, show
from app.core.db import Connection
from app.proposals.rights import AddPerson, ChangePerson, ResetFactor

_ROLES = click.Choice([role.value for role in Role])


@click.group()
def person() -> None:
    """Add, invite, list, change and end people, who sign in with a password and a second factor.

    \b
    Example
      $ imei-gateway person add --name "Marie Lenoir" --email marie@retailer.example --role approver
    """


@person.command()
@click.option("--name", required=True, help="What the person is called.")
@click.option("--email", required=True, help="The address that he or she signs in with.")
@click.option("--role", required=True, type=_ROLES, help="What he or she may do.")
@click.option("--group", "groups", multiple=True, help="A team, such as security; may be repeated.")
@click.option("--owner", "owners", multiple=True, help="Only this owner's goods; may be repeated.")
@click.option("--site", "sites", multiple=True, help="Only goods at this site; may be repeated.")
@options.as_json
@options.acting
def add(
    name: str,
    email: str,
    role: str,
    groups: tuple[str, ...],
    owners: tuple[str, ...],
    sites: tuple[str, ...],
    as_json: bool,
) -> None:
    """Add a person, and print an invitation, once: with it the person enrols within 72 hours.

    \b
    Example
      $ imei-gateway person add --name "Marie Lenoir" --email marie@retailer.example --role approver --group security
    """
    said = NewPerson(name, email, role, groups, owners or None, sites or None)
    _told(proposing.do(AddPerson(said), as_json), as_json)


def _told(made: Invitation, as_json: bool) -> None:
    if as_json:
        show.json(made)
        return
    show.say(
        f"An invitation for {made.person_id}, good until {show.moment(made.expires_at)}. It is shown this once:"
    )
    click.echo(made.token)


@person.command()
@click.argument("person_id", metavar="ID")
@options.as_json
@options.acting
def invite(person_id: str, as_json: bool) -> None:
    """Print another invitation for somebody who has not enrolled; the one before is over.

    \b
    Example
      $ imei-gateway person invite p_mfzwizlt
    """

    async def work(conn: Connection, actor: Principal, now: datetime) -> Invitation:
        actor.require(Permission.PEOPLE_WRITE)
        made = await people.invite(conn, person_id, now, secrets.token_bytes)
        await record(conn, [Entry("person.invited", f"person:{person_id}", actor.label, now)])
        return made

    _told(desk.change(work), as_json)


@person.command("reset-factor")
@click.argument("person_id", metavar="ID")
@options.as_json
@options.acting
def reset_factor(person_id: str, as_json: bool) -> None:
    """Take away a lost second factor, and print an invitation to enrol anew.

    Password, recovery codes and sessions go with it.

    \b
    Example
      $ imei-gateway person reset-factor p_mfzwizlt
    """
    _told(proposing.do(ResetFactor(person_id), as_json), as_json)


@person.command("list")
@options.as_json
@options.acting
def list_(as_json: bool) -> None:
    """List all people, those who have ended too.

    \b
    Example
      $ imei-gateway person list
    """

    async def work(conn: Connection, actor: Principal) -> list[Person]:
        actor.require(Permission.PEOPLE_READ)
        return await people.listed(conn)

    found = desk.read(work)
    if as_json:
        show.json({"people": found})
        return
    columns = ("id", "name", "e-mail", "role", "groups", "goods of", "enrolled", "added", "ended")
    show.draw(show.table("", columns, map(_row, found)))


def _row(found: Person) -> tuple[str, ...]:
    ended = f"{show.moment(found.ended_at)} by {found.ended_by}" if found.ended_at else ""
    reach = "; ".join(", ".join(one) for one in (found.owners, found.sites) if one) or "all"
    enrolled = "yes" if found.enrolled else "no"
    added = show.moment(found.created_at)
    groups = ", ".join(found.groups)
    return found.person_id, found.name, found.email, found.role, groups, reach, enrolled, added, ended


@person.command()
@click.argument("person_id", metavar="ID")
@click.argument("role", type=_ROLES)
@click.option("--group", "groups", multiple=True, help="The teams from now on; may be repeated.")
@options.as_json
@options.acting
def role(person_id: str, role: str, groups: tuple[str, ...], as_json: bool) -> None:
    """Give a person another role; his or her sessions end.

    \b
    Example
      $ imei-gateway person role p_mfzwizlt incident-manager
    """
    proposing.do(ChangePerson(person_id, PersonChanges(role, groups or msgspec.UNSET)), as_json)
    if as_json:
        show.json({"id": person_id, "role": role})
        return
    show.say(f"{person_id} is {role} from now on, and signs in anew.")


@person.command()
@click.argument("person_id", metavar="ID")
@options.as_json
@options.acting
def end(person_id: str, as_json: bool) -> None:
    """Let a person in no longer, at once.

    \b
    Example
      $ imei-gateway person end p_mfzwizlt
    """

    async def work(conn: Connection, actor: Principal, now: datetime) -> None:
        actor.require(Permission.PEOPLE_WRITE)
        await people.end(conn, person_id, actor.label, now)
        await record(conn, [Entry("person.ended", f"person:{person_id}", actor.label, now)])

    desk.change(work)
    if as_json:
        show.json({"id": person_id, "ended": True})
        return
    show.say(f"{person_id} is let in no longer.")
