"""Who else must approve an incident, and who has. What is approved is what was frozen, by its digest, in the round that
its submission began: of anything else an approval is none."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

import msgspec

from app.access import approvals
from app.access.approvals import Demand, Matter, Subject
from app.access.roles import Principal
from app.core.db import Connection
from app.core.errors import Conflict, Forbidden
from app.core.sql import queries
from app.incidents.incident import Incident
from app.incidents.preview import Preview

_SQL = queries("incidents")
OF = "incident"


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody has seen who approves: the incident's `frozen`, in hex; nothing need be said."""

    frozen: Annotated[str, msgspec.Meta(pattern="^([0-9a-fA-F]{64})?$")] = ""


async def demand(conn: Connection, incident: Incident, shown: Preview) -> Demand:
    """What it takes by the rules in force now, at least one other person."""
    return await approvals.demanded(conn, await matter(conn, Subject.BLOCK, incident, shown))


async def matter(conn: Connection, subject: Subject, incident: Incident, shown: Preview) -> Matter:
    """As rules look at it: its sites are those that it names and those of the devices that it claims; what nobody
    registered is a device each."""
    unregistered = 0 if shown.unknown.left_out else len(shown.unknown.imeis) + len(shown.unknown.serials)
    devices = shown.devices + unregistered
    sites = {incident.site, *await conn.fetchval(_SQL.sites, incident.id)} - {""}
    return Matter(subject, devices, _worth(shown, devices), tuple(sorted(sites)), (incident.kind,))


def _worth(shown: Preview, devices: int) -> dict[str, Decimal | None]:
    """Where half of the devices have a value, they stand for the others; else nobody knows, in any currency."""
    valued = sum(one.devices for one in shown.value)
    if 2 * valued < devices:
        return {"": None}
    return {one.currency: one.amount * devices / valued for one in shown.value if one.devices}


async def begin(conn: Connection, incident: Incident, shown: Preview, now: datetime) -> Demand:
    """A round of approvals, of what is submitted now."""
    wanted = await demand(conn, incident, shown)
    until = now + timedelta(hours=wanted.hours)
    lacking = approvals.lacking(wanted, [])
    await conn.execute(_SQL.begin_round, incident.id, approvals.stored(wanted), until, lacking)
    return wanted


async def give(conn: Connection, actor: Principal, incident: Incident, frozen: str, now: datetime) -> str:
    """His approval; gives what is still lacking, '' where it is enough. The rules of today count as well as those of
    the day of its submission. Raises Conflict (`approval-over`, `frozen-differs`), Forbidden (`people-only`)."""
    assert incident.preview is not None
    wanted = (incident.demand or Demand()).and_(await demand(conn, incident, incident.preview))
    until = _until(incident, wanted)
    if now > until:
        raise Conflict(
            f"The time to approve incident {incident.id} was over at {until.isoformat()}, and"
            " approvals so far count no more. Submit it again: its devices stay suspect meanwhile.",
            "approval-over",
        )
    if frozen and frozen.lower() != incident.frozen:
        raise Conflict(
            f"You would approve {frozen}, and incident {incident.id} holds {incident.frozen}: it is not what you have"
            " seen. Look at it again.",
            "frozen-differs",
        )
    approvals.must_be_a_person(actor, wanted)
    digest = bytes.fromhex(incident.frozen)
    await approvals.endorse(conn, OF, incident.id, incident.round, actor, digest, now)
    so_far = await approvals.given(conn, OF, incident.id, incident.round, digest)
    lacking = approvals.lacking(wanted, so_far)
    labels = [one.label for one in so_far]
    await conn.execute(_SQL.assented, incident.id, labels, approvals.stored(wanted), lacking)
    return lacking


def _until(incident: Incident, wanted: Demand) -> datetime:
    """Until when approvals count, by what is demanded today too."""
    assert incident.submitted_at is not None
    by_rules = incident.submitted_at + timedelta(hours=wanted.hours)
    return min(incident.approve_until or by_rules, by_rules)


def must_be_another(actor: Principal, incident: Incident, verb: str) -> None:
    """Raises Forbidden (`second-person`)."""
    if actor.is_named(incident.submitted_by):
        raise Forbidden(
            f"You submitted incident {incident.id}, so somebody else must {verb} it: every theft takes two people.",
            "second-person",
        )
