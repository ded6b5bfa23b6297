"""API keys, from the command line: created, listed, limited, rotated, revoked; each on the audit log."""

from __future__ import annotations

import getpass
import secrets
from datetime import datetime
from typing import Any

import rich_click as click

from app.access import keys
from app.access.ends import Ends
from app.access.keys import Key, NewKey
from app.access.roles import Permission, Principal, Role
from app.audit.record import Entry, record
from app.cli import desk, ending, ground, options, proposing, show
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Connection, transaction
from app.core.reach import Reach
from app.proposals.proposal import Proposal
from app.proposals.rights import ChangeKey, CreateKey, RotateKey

_QUOTA = click.IntRange(0, 10**9)


@click.group()
def key() -> None:
    """Create, list, limit, rotate and revoke API keys. A key is what makes a person, or a machine, somebody here.

    \b
    Example
      $ imei-gateway key create --name "Marie, night shift" --role approver
    """


@key.command()
@click.option("--name", required=True, help="Whose key it is.")
@click.option(
    "--role", required=True, type=click.Choice([role.value for role in Role]), help="What it may do."
)
@click.option(
    "--quota",
    type=_QUOTA,
    help="How many identifiers it may ask for in a minute; 0: any number. Else what is usual.",
)
@click.option(
    "--owner", "owners", multiple=True, help="It sees and touches this owner's goods alone; may be repeated."
)
@click.option(
    "--site", "sites", multiple=True, help="It sees and touches goods at this site alone; may be repeated."
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    help="It is good from there alone, as 10.1.0.0/16; may be repeated.",
)
@click.option("--expires", callback=options.moment, help="When it ends by itself, as 2027-12-31T00:00:00Z.")
@click.option(
    "--operator", is_flag=True, help="As whoever has the database: nobody else is asked, and the log says so."
)
@options.as_json
@options.acting
def create(
    name: str,
    role: str,
    quota: int | None,
    owners: tuple[str, ...],
    sites: tuple[str, ...],
    networks: tuple[str, ...],
    expires: datetime | None,
    operator: bool,
    as_json: bool,
) -> int | None:
    """Create a key and print it, once: only its hash is kept.

    Acts with --key, or the administrator's key of the data directory. Where there is neither, or with --operator,
    the operator of this machine creates it, and the audit log says so. Somebody else approves a key that decides.

    \b
    Examples
      $ imei-gateway key create --name "Marie, night shift" --role approver
      $ imei-gateway key create --name "Operator Nord" --role carrier --json
      $ imei-gateway key create --name "Dock of Logistics SA" --role goods-in --owner "Retailer SA" --site PAR1
    """
    ends = Ends(Reach.of(owners or None, sites or None), networks or None, expires)
    about = f"for {name} ({role})"
    # Whoever has the database has everything, so its operator needs no key to make one.
    if operator or (options.key() is None and not (desk.settings().data_dir / ground.ADMIN_KEY).exists()):
        _show(ending.run(_first(desk.settings(), name, role, quota, ends)), about, as_json)
        return None
    made, written = keys.write(secrets.token_bytes)
    whose = (owners or None, sites or None, networks or None, expires)
    return _told(made, proposing.propose(CreateKey(written, name, role, quota, *whose)), about, as_json)


async def _first(settings: Settings, name: str, role: str, quota: int | None, ends: Ends) -> NewKey:
    by = f"operator:{getpass.getuser()}"

    async def work(conn: Connection) -> NewKey:
        return await ground.new_key(conn, name=name, role=role, by=by, now=utc_now(), quota=quota, ends=ends)

    async with ground.opened(settings) as pool:
        return await transaction(pool, work)


def _told(made: NewKey, found: Any, about: str, as_json: bool) -> int | None:
    """Shows a secret, which nobody is shown again, also where it is good only when others have approved it."""
    if not isinstance(found, Proposal):
        _show(made, about, as_json)
        return None
    if as_json:
        show.json({"id": made.key_id, "key": made.key, "proposal": found})
    else:
        proposing.say(found)
        _show(made, f"{about} will be this one then", as_json)
    return proposing.WAITS


def _show(made: NewKey, about: str, as_json: bool) -> None:
    if as_json:
        show.json({"id": made.key_id, "key": made.key})
        return
    show.say(f"Key {made.key_id} {about}. It is shown this once:")
    click.echo(made.key)


@key.command("list")
@options.as_json
@options.acting
def list_(as_json: bool) -> None:
    """List all keys, the revoked ones too. The keys themselves cannot be shown again.

    \b
    Example
      $ imei-gateway key list
    """

    async def work(conn: Connection, actor: Principal) -> list[Key]:
        actor.require(Permission.KEYS_READ)
        return await keys.listed(conn)

    found = desk.read(work)
    if as_json:
        show.json({"keys": found})
        return
    show.draw(show.table("", _NAMED, map(_row, found)))


_NAMED = ("id", "name", "role", "#quota", "goods of", "from", "created", "by", "ends")


def _row(found: Key) -> tuple[str, ...]:
    if found.revoked_at:
        ended = f"revoked {show.moment(found.revoked_at)} by {found.revoked_by}"
    else:
        ended = show.moment(found.expires_at) if found.expires_at else ""
    quota = "usual" if found.quota is None else f"{found.quota:,}" if found.quota else "none"
    made = (show.moment(found.created_at), found.created_by)
    reach = "; ".join(", ".join(one) for one in (found.owners, found.sites) if one) or "all"
    return (
        found.key_id,
        found.name,
        found.role,
        quota,
        reach,
        ", ".join(found.networks or ()) or "anywhere",
        *made,
        ended,
    )


@key.command("quota")
@click.argument("key_id", metavar="ID")
@click.argument("quota", metavar="N|usual")
@options.as_json
@options.acting
def quota_(key_id: str, quota: str, as_json: bool) -> None:
    """Say how many identifiers a key may ask for in a minute; 0: any number, usual: as many as most keys.

    \b
    Example
      $ imei-gateway key quota k_mfzwizlt 1200000
    """
    most = None if quota == "usual" else _QUOTA(quota)

    async def work(conn: Connection, actor: Principal, now: datetime) -> None:
        actor.require(Permission.KEYS_WRITE)
        await keys.set_quota(conn, key_id, most)
        await record(conn, [Entry("key.limited", f"key:{key_id}", actor.label, now, {"quota": most})])

    desk.change(work)
    if as_json:
        show.json({"id": key_id, "quota": most})
        return
    show.say(f"Key {key_id} may ask for {_in_words(most)} a minute.")


def _in_words(quota: int | None) -> str:
    if quota is None:
        return "as many identifiers as is usual"
    return f"{quota:,} identifiers" if quota else "any number of identifiers"


@key.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 24 * 90),
    default=24,
    show_default=True,
    help="For how many hours the present secret stays good.",
)
@options.as_json
@options.acting
def rotate(key_id: str, overlap: float, as_json: bool) -> int | None:
    """Give a key another secret, without a gap: for some hours both are good. It is the same key in all else.

    \b
    Examples
      $ imei-gateway key rotate k_mfzwizlt
      $ imei-gateway key rotate k_mfzwizlt --overlap 0      # at once: the present one may be known to others
    """
    made, written = keys.write(secrets.token_bytes, key_id)
    about = f"has another secret; the present one is good for {overlap:g} hours more"
    return _told(made, proposing.propose(RotateKey(written, overlap)), about, as_json)


def _end(ctx: click.Context, param: click.Parameter, value: str) -> datetime | None:
    return None if value == "never" else options.moment(ctx, param, value)


@key.command()
@click.argument("key_id", metavar="ID")
@click.argument("when", metavar="WHEN|never", callback=_end)
@options.as_json
@options.acting
def expire(key_id: str, when: datetime | None, as_json: bool) -> None:
    """Say when a key ends by itself.

    \b
    Example
      $ imei-gateway key expire k_mfzwizlt 2027-12-31T00:00:00Z
    """
    proposing.do(ChangeKey(key_id, expires_at=when), as_json)
    if as_json:
        show.json({"id": key_id, "expires_at": when})
        return
    show.say(f"Key {key_id} ends {show.moment(when) if when else 'when it is revoked'}.")


@key.command("groups")
@click.argument("key_id", metavar="ID")
@click.argument("groups", metavar="GROUP…", nargs=-1)
@options.as_json
@options.acting
def groups_(key_id: str, groups: tuple[str, ...], as_json: bool) -> None:
    """Say which teams a key stands for, as approval rules name them; none: of no team.

    \b
    Example
      $ imei-gateway key groups k_mfzwizlt security
    """
    proposing.do(ChangeKey(key_id, groups=groups), as_json)
    if as_json:
        show.json({"id": key_id, "groups": sorted({*groups})})
        return
    show.say(f"Key {key_id} stands for {', '.join(sorted({*groups})) or 'no team'}.")


@key.command("networks")
@click.argument("key_id", metavar="ID")
@click.argument("networks", metavar="NETWORK…|anywhere", nargs=-1, required=True)
@options.as_json
@options.acting
def networks_(key_id: str, networks: tuple[str, ...], as_json: bool) -> None:
    """Say from where a key is good: over HTTP it is refused from anywhere else.

    \b
    Example
      $ imei-gateway key networks k_mfzwizlt 10.1.0.0/16 2001:db8::/32
    """
    wanted = None if networks == ("anywhere",) else networks
    proposing.do(ChangeKey(key_id, networks=wanted), as_json)
    if as_json:
        show.json({"id": key_id, "networks": wanted})
        return
    show.say(f"Key {key_id} is good from {', '.join(wanted or ('anywhere',))}.")


@key.command()
@click.argument("key_id", metavar="ID")
@options.as_json
@options.acting
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key for good; it is refused from the very next request on.

    \b
    Example
      $ imei-gateway key revoke k_mfzwizlt
    """

    async def work(conn: Connection, actor: Principal, now: datetime) -> bool:
        actor.require(Permission.KEYS_WRITE)
        ended = await keys.revoke(conn, key_id, actor.label, now)
        if ended:
            await record(conn, [Entry("key.revoked", f"key:{key_id}", actor.label, now)])
        return ended

    ended = desk.change(work)
    if as_json:
        show.json({"id": key_id, "revoked": True, "changed": ended})
        return
    show.say(f"Key {key_id} is revoked." if ended else f"Key {key_id} was revoked before.")
