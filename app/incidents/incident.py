"""One incident as it stands, and the ways to find it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from app.access.approvals import Demand
from app.access.roles import Permission, Principal
from app.blocklist import sightings
from app.core.db import Connection
from app.core.errors import Conflict, Invalid, Missing
from app.core.sql import queries
from app.delivery.progress import Standing, progress
from app.incidents.preview import Preview
from app.incidents.scope import Scope

_SQL = queries("incidents")


class Claims(msgspec.Struct, frozen=True):
    """How many identifiers an incident holds: suspected (submitted), active (approved), lifted."""

    suspected: int
    active: int
    lifted: int
    devices_active: int
    devices_lifted: int


class Names(msgspec.Struct, frozen=True):
    """How many of each the scope of an incident names."""

    pallets: int
    receipts: int
    imeis: int
    serials: int


class Summary(msgspec.Struct, frozen=True):
    """One incident without its scope, which may name a million things. `devices` and `identifiers` are what it
    came to when it was drafted, and again when it was submitted; `reference` is what whoever asks for the status of
    an identifier is given to quote."""

    id: int
    title: str
    kind: str
    site: str
    country: str
    occurred_from: datetime | None
    occurred_to: datetime | None
    police_reference: str
    reference: str
    state: str
    drafted_by: str
    drafted_at: datetime
    submitted_by: str | None
    submitted_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    assents: list[str]
    lacking: str
    demand: Demand | None
    approve_until: datetime | None
    glass_broken_by: str | None
    review_until: datetime | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    verdict: str | None
    ended_by: str | None
    ended_at: datetime | None
    reason: str
    named: Names
    devices: int
    identifiers: int


class Incident(Summary, frozen=True):
    """One incident, all of it. `preview` is as it was shown: when it was drafted, and again when it was submitted.
    `include_sold`: it claims sold devices too; `acknowledged`: the warnings that whoever submitted it knew of;
    `frozen`: the SHA-256 of the identifiers that were submitted, in hex, which is what is approved; `round`: how often
    it was submitted."""

    scope: Scope
    preview: Preview | None
    include_sold: bool
    acknowledged: list[str]
    frozen: str
    round: int


class Glance(msgspec.Struct, frozen=True):
    """An incident's summary with what it holds, where each partner stands, and how many sightings there were (10,000
    means that there may be more)."""

    incident: Summary
    claims: Claims
    partners: list[Standing]
    sightings: int

    @property
    def settled(self) -> bool:
        """Whether every partner has given its last word."""
        return all(standing.settled for standing in self.partners)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen unless a person acts."""
        return self.settled and self.incident.state not in ("draft", "submitted")


class Report(Glance, frozen=True):
    """The same with all of the incident."""

    incident: Incident


def _summary(row: asyncpg.Record) -> Summary:
    return Summary(**_summed_up(row))


def _whole(row: asyncpg.Record) -> Incident:
    return Incident(
        **_summed_up(row),
        scope=msgspec.convert(row["scope"], Scope),
        preview=row["preview"] and msgspec.convert(row["preview"], Preview, strict=False),
        include_sold=row["include_sold"],
        acknowledged=row["acknowledged"],
        frozen=(row["frozen"] or b"").hex(),
        round=row["round"],
    )


def _summed_up(row: asyncpg.Record) -> dict[str, Any]:
    fields = {name: row[name] for name in Summary.__struct_fields__ if name in row}
    named = Names(*(row[f"named_{name}"] for name in Names.__struct_fields__))
    shown = {"devices": row["shown_devices"], "identifiers": row["shown_identifiers"]}
    demand = row["demand"] and msgspec.convert(row["demand"], Demand)
    return {**fields, "id": row["incident_id"], "named": named, "demand": demand, **shown}


async def find(conn: Connection, actor: Principal, incident_id: int) -> Summary:
    """Raises Missing, Forbidden."""
    actor.require(Permission.INCIDENTS_READ)
    return _summary(_there(await conn.fetchrow(_SQL.glance, incident_id), incident_id))


async def hold(conn: Connection, incident_id: int, *states: str, to: str) -> Incident:
    """The incident, locked for a decision. Raises Missing, or Conflict where it is in none of `states`."""
    incident = _whole(_there(await conn.fetchrow(_SQL.hold, incident_id), incident_id))
    if incident.state not in states:
        raise Conflict(
            f"Incident {incident_id} is {incident.state}, so it cannot be {to}: only one that is"
            f" {' or '.join(states)} can.",
            "incident-state",
        )
    return incident


def _there(row: asyncpg.Record | None, incident_id: int) -> asyncpg.Record:
    if row is None:
        raise Missing(f"There is no incident {incident_id}.")
    return row


async def latest(
    conn: Connection,
    actor: Principal,
    *,
    before: int | None,
    state: str | None,
    limit: int,
    reference: str | None = None,
) -> list[Summary]:
    """Incidents, the newest first, below number `before`; of that `reference`, as somebody quotes it."""
    actor.require(Permission.INCIDENTS_READ)
    if state is not None and state not in (
        states := ("draft", "submitted", "approved", "closed", "rejected", "withdrawn")
    ):
        raise Invalid(f"'{state}' is not a state of an incident; it would be one of {', '.join(states)}.")
    quoted = reference and reference.strip().upper()
    return [_summary(row) for row in await conn.fetch(_SQL.latest, before, state, limit, quoted)]


async def report(conn: Connection, actor: Principal, incident_id: int) -> Report:
    """The whole incident, what it holds, and each partner's progress."""
    actor.require(Permission.INCIDENTS_READ)
    row = _there(await conn.fetchrow(_SQL.find, incident_id), incident_id)
    return Report(_whole(row), _claims(row), *await _follows(conn, incident_id))


async def glance(conn: Connection, actor: Principal, incident_id: int) -> Glance:
    """The same without the scope; cheap enough to be watched."""
    actor.require(Permission.INCIDENTS_READ)
    row = _there(await conn.fetchrow(_SQL.glance, incident_id), incident_id)
    return Glance(_summary(row), _claims(row), *await _follows(conn, incident_id))


async def _follows(conn: Connection, incident_id: int) -> tuple[list[Standing], int]:
    return await progress(conn, incident_id), await sightings.count(conn, incident_id)


def _claims(row: asyncpg.Record) -> Claims:
    identifiers, devices = row["identifiers"], row["devices"]
    lifted, lifted_devices = row["lifted_identifiers"], row["lifted_devices"]
    suspected = row["state"] == "submitted"
    return Claims(
        suspected=identifiers if suspected else 0,
        active=0 if suspected else identifiers - lifted,
        lifted=lifted,
        devices_active=0 if suspected else devices - lifted_devices,
        devices_lifted=lifted_devices,
    )
