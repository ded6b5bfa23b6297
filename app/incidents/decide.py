"""The decisions themselves, each in its caller's transaction: all of it happens, or nothing.

draft ── submit ──▶ submitted ── approve ──▶ approved ── lift (all) ──▶ closed
  │                     ├── reject ──▶ rejected   │
  └────── withdraw ─────┴────── withdraw ─────────┘──▶ withdrawn
"""

from __future__ import annotations

import hashlib
import struct
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from app.access.roles import Permission, Principal
from app.adapters.contract import Op
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.blocklist import feed, listing
from app.core import country
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Invalid
from app.core.sql import queries
from app.delivery import again
from app.delivery.commands import Command, order
from app.delivery.scope import KINDS
from app.incidents import assent, guards
from app.incidents import scope as scopes
from app.incidents.guards import NOTHING_SAID, USUAL, Bounds, Submission
from app.incidents.incident import Incident, hold
from app.incidents.preview import Preview
from app.incidents.scope import Named, Scope

_SQL = queries("incidents")
SUSPECTED, ACTIVE, LIFTED = 0, 1, 2


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says of an incident. Times need their UTC offset."""

    title: str
    scope: Scope
    kind: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(KINDS)})] = "theft"
    site: str = ""
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None
    police_reference: str = ""
    country: Annotated[str, msgspec.Meta(description="ISO 3166-1 alpha-2, as FR; empty: not said")] = ""
    include_sold: Annotated[bool, msgspec.Meta(description=guards.INCLUDES)] = False


class Drafted(msgspec.Struct, frozen=True):
    id: int
    preview: Preview


class Claims(NamedTuple):
    """Claims of an incident that turned: their keys, in order, and on how many registered devices they are."""

    keys: list[int]
    devices: int


class Freed(msgspec.Struct, frozen=True):
    """How many identifiers a lift set free, and how many the incident still holds."""

    released: int
    still_active: int


async def draft(
    conn: Connection, actor: Principal, said: Draft, now: datetime, bounds: Bounds = USUAL
) -> Drafted:
    """Writes down an incident and shows what it would do; nothing is claimed yet. Raises Invalid."""
    actor.require(Permission.INCIDENTS_WRITE)
    return await _write(conn, actor, said, "", now, bounds)


async def report(conn: Connection, actor: Principal, said: Draft, source: str, now: datetime) -> Drafted:
    """The draft of an incident that `source` reports: whoever may tell of goods may tell that they are gone,
    and people decide what becomes of it. Raises Invalid."""
    actor.require(Permission.RECEIPTS_WRITE)
    return await _write(conn, actor, said, source, now, USUAL)


async def drop_reported(conn: Connection, actor: Principal, source: str, why: str, now: datetime) -> None:
    """The report was wrong: withdraws the drafts that it made. One that people have submitted stays theirs."""
    for row in await conn.fetch(_SQL.reported, source):
        reason = f"The report was declared wrong: {why}."
        await conn.execute(_SQL.finish, row["incident_id"], "withdrawn", actor.label, now, reason)
        await _remember(conn, "incident.withdrawn", row["incident_id"], actor, now, {"reason": reason})


async def _write(
    conn: Connection, actor: Principal, said: Draft, source: str, now: datetime, bounds: Bounds
) -> Drafted:
    named = await _read(said, actor, now)
    unknown = await scopes.resolve(conn, named)
    shown = await guards.looked_at(conn, unknown, named.as_of, said.include_sold, bounds)
    incident_id: int = await conn.fetchval(
        _SQL.add, said.title.strip(), said.kind, said.site.strip(), said.occurred_from, said.occurred_to,
        said.police_reference.strip(), msgspec.to_builtins(said.scope), actor.label, now,
        msgspec.to_builtins(shown), source, said.country, said.include_sold,
    )  # fmt: skip
    detail = {"title": said.title, **_counts(shown), **({"reported_by": source} if source else {})}
    await _remember(conn, "incident.drafted", incident_id, actor, now, detail)
    return Drafted(incident_id, shown)


async def _read(said: Draft, actor: Principal, now: datetime) -> Named:
    """The scope in normal form. Raises Invalid with every flaw of the incident, those of its scope among them."""
    flaws = _flaws(said)
    try:
        named = await scopes.named(said.scope, now, actor.reach)
    except Invalid as error:
        if not flaws:
            raise
        flaws += error.flaws
    if flaws:
        raise Invalid("The incident cannot be written down like this.", "incident-flaws", tuple(flaws))
    return named


def _flaws(said: Draft) -> list[Flaw]:
    flaws = []
    for field in ("title", "site", "police_reference"):
        text = getattr(said, field)
        if len(text) > 200 or not text.replace("\t", " ").isprintable():
            flaws.append(Flaw("it would be at most 200 printable characters", f"/{field}"))
    if not said.title.strip():
        flaws.append(Flaw("an incident needs a title, such as 'Paris 22 December'", "/title"))
    if said.kind not in KINDS:
        flaws.append(Flaw(f"it would be one of {', '.join(KINDS)}", "/kind"))
    if said.country and (fault := country.fault(said.country)):
        flaws.append(Flaw(fault, "/country"))
    moments = [(field, getattr(said, field)) for field in ("occurred_from", "occurred_to")]
    flaws += [
        Flaw("it needs its UTC offset", f"/{field}") for field, at in moments if at and at.tzinfo is None
    ]
    if not flaws and said.occurred_from and said.occurred_to and said.occurred_from > said.occurred_to:
        flaws.append(Flaw("it would not be before occurred_from", "/occurred_to"))
    return flaws


async def submit(
    conn: Connection,
    actor: Principal,
    incident_id: int,
    now: datetime,
    said: Submission = NOTHING_SAID,
    bounds: Bounds = USUAL,
) -> Incident:
    """Freezes what the scope names now and asks a second person; every identifier turns suspect. Raises Conflict
    `unusual` for what is so and was not acknowledged."""
    actor.require(Permission.INCIDENTS_WRITE)
    incident = await hold(conn, incident_id, "draft", "submitted", to="submitted")
    before = {*await _let_go_of(conn, incident, now)} if incident.state == "submitted" else set()
    named = await scopes.named(incident.scope, now, actor.reach)
    sold = incident.include_sold or said.include_sold
    unknown, left = await guards.leave_out(conn, await scopes.resolve_and_hold(conn, named), sold)
    keys = await scopes.freeze(conn, unknown)
    if not keys:
        raise guards.nothing_left(incident_id, left)
    shown = await guards.shown(conn, unknown, left, named.as_of, bounds, incident_id)
    known, frozen = guards.must_be_acknowledged(incident_id, shown, said.acknowledged), digest(keys)
    await conn.execute(_SQL.claim_scope, incident_id)
    await guards.remember(conn, incident_id)
    turned = await listing.suspect(conn, incident_id, sorted({*keys} - before), now)
    acquitted = await listing.acquit(conn, incident_id, sorted(before.difference(keys)), now)
    counts = (frozen, len(keys), shown.devices)
    row = (msgspec.to_builtins(shown), *counts, known, sold)
    await conn.execute(_SQL.submit, incident_id, actor.label, now, *row)
    await assent.begin(conn, incident, shown, now)
    detail = {"frozen": frozen.hex(), **_counts(shown), "acknowledged": known, "include_sold": sold}
    await _remember(conn, "incident.submitted", incident_id, actor, now, detail)
    submitted = await hold(conn, incident_id, "submitted", to="read")
    await feed.publish(conn, [*turned.told, *acquitted.told], now)
    return submitted


async def _let_go_of(conn: Connection, incident: Incident, now: datetime) -> list[int]:
    """What an incident suspected whose time is over, and which is submitted anew; all of it that is named
    still is claimed again in this transaction. Raises Conflict while the time is not over."""
    if incident.approve_until is None or now <= incident.approve_until:
        raise Conflict(
            f"Incident {incident.id} is submitted already; others approve it now.", "incident-state"
        )
    return [row["key"] for row in await conn.fetch(_SQL.unclaim, incident.id)]


async def approve(
    conn: Connection, actor: Principal, incident_id: int, now: datetime, frozen: str = ""
) -> Incident:
    """Another person's word; with the last one that it takes, everything that was frozen is blocked, and every partner
    will be told. `frozen` is what he has seen (hex), if he says so.

    Raises Forbidden for the one who submitted. Said twice by the same person, the second changes nothing.
    """
    actor.require(Permission.INCIDENTS_APPROVE)
    actor.require_fresh()
    incident = await hold(conn, incident_id, "submitted", "approved", to="approved")
    assent.must_be_another(actor, incident, "approve")
    if incident.state == "approved":
        return _approved_already(actor, incident)
    if lacking := await assent.give(conn, actor, incident, frozen, now):
        detail = {"frozen": incident.frozen, "lacking": lacking}
        await _remember(conn, "incident.assented", incident_id, actor, now, detail)
        return await hold(conn, incident_id, "submitted", to="read")
    return await block(conn, actor, incident_id, now)


async def block(conn: Connection, actor: Principal, incident_id: int, now: datetime) -> Incident:
    """Everything that was frozen, for good."""
    claims = await _turned(conn, incident_id, SUSPECTED, ACTIVE, now)
    turned = await listing.block(conn, incident_id, claims.keys, now)
    await conn.execute(_SQL.approve, incident_id, actor.label, now)
    command = Command(Op.BLOCK, now, actor.label, incident_id=incident_id)
    number = await order(conn, command, turned.keys, turned.versions)
    others = {*claims.keys}.difference(turned.keys)
    await again.tell_choosy(conn, actor.label, incident_id, sorted(others), now)
    detail = {"identifiers": len(claims.keys), "newly_blocked": len(turned.keys), "command": number}
    await _remember(conn, "incident.approved", incident_id, actor, now, detail)
    approved = await hold(conn, incident_id, "approved", to="read")
    await feed.publish(conn, turned.told, now)
    return approved


def _approved_already(actor: Principal, incident: Incident) -> Incident:
    if not any(map(actor.is_named, incident.assents)):
        raise Conflict(
            f"Incident {incident.id} was approved by {incident.approved_by} at {incident.approved_at} already.",
            "incident-state",
        )
    return incident


async def reject(
    conn: Connection, actor: Principal, incident_id: int, reason: str, now: datetime
) -> Incident:
    """The second person says no: the suspects are acquitted. A reason is wanted."""
    actor.require(Permission.INCIDENTS_APPROVE)
    actor.require_fresh()
    incident = await hold(conn, incident_id, "submitted", to="rejected")
    assent.must_be_another(actor, incident, "reject")
    reason = checked_reason(reason)
    await _acquit(conn, incident_id, now)
    return await _finish(conn, actor, incident_id, "rejected", reason, now)


async def withdraw(
    conn: Connection, actor: Principal, incident_id: int, reason: str, now: datetime
) -> Incident:
    """Takes the whole incident back, at once, whatever its state; what was blocked for it is released."""
    actor.require(Permission.INCIDENTS_WRITE)
    incident = await hold(conn, incident_id, "draft", "submitted", "approved", to="withdrawn")
    return await take_back(conn, actor, incident, checked_reason(reason), now)


async def take_back(
    conn: Connection, actor: Principal, incident: Incident, reason: str, now: datetime
) -> Incident:
    """All that an incident holds is let go."""
    if incident.state == "submitted":
        await _acquit(conn, incident.id, now)
    if incident.state == "approved":
        await let_go(conn, actor, incident.id, await _turned(conn, incident.id, ACTIVE, LIFTED, now), now)
    return await _finish(conn, actor, incident.id, "withdrawn", reason, now)


async def _acquit(conn: Connection, incident_id: int, now: datetime) -> None:
    claims = await _turned(conn, incident_id, SUSPECTED, LIFTED, now)
    turned = await listing.acquit(conn, incident_id, claims.keys, now)
    await conn.execute(_SQL.count_lifted, incident_id, len(claims.keys), claims.devices)
    await feed.publish(conn, turned.told, now)


async def _turned(conn: Connection, incident_id: int, before: int, after: int, now: datetime) -> Claims:
    row = await conn.fetchrow(_SQL.turn_claims, incident_id, before, after, now)
    assert row is not None
    return Claims(*row)


async def let_go(
    conn: Connection, actor: Principal, incident_id: int, claims: Claims, now: datetime
) -> Freed:
    """Releases what no other incident holds of these claims, and tells every partner so."""
    turned = await listing.release(conn, incident_id, claims.keys, now)
    command = Command(Op.RELEASE, now, actor.label, incident_id=incident_id)
    await order(conn, command, turned.keys, turned.versions)
    active: int = await conn.fetchval(_SQL.count_lifted, incident_id, len(claims.keys), claims.devices)
    await feed.publish(conn, turned.told, now)
    return Freed(len(turned.keys), active)


async def _finish(
    conn: Connection, actor: Principal, incident_id: int, state: str, reason: str, now: datetime
) -> Incident:
    await conn.execute(_SQL.finish, incident_id, state, actor.label, now, reason)
    await _remember(conn, f"incident.{state}", incident_id, actor, now, {"reason": reason})
    return await hold(conn, incident_id, state, to="read")


def digest(keys: list[int]) -> bytes:
    """The SHA-256 of the sorted keys as big-endian 64-bit integers: what exactly was submitted."""
    return hashlib.sha256(struct.pack(f">{len(keys)}q", *keys)).digest()


def _counts(shown: Preview) -> dict[str, Any]:
    unknown = shown.unknown
    return {
        "devices": shown.devices,
        "identifiers": shown.identifiers,
        "unknown": len(unknown.imeis) + len(unknown.serials) + len(unknown.pallets) + len(unknown.receipts),
        "sold": shown.sold.devices,
        "spared": shown.spared.identifiers,
    }


async def _remember(
    conn: Connection, kind: str, incident_id: int, actor: Principal, now: datetime, detail: dict[str, Any]
) -> None:
    await record(conn, [Entry(kind, f"incident:{incident_id}", actor.label, now, detail)])
