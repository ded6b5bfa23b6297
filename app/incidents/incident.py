"""One incident as it stands, and the ways to find it."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.core.db import Connection
from app.core.errors import Conflict, Invalid, Missing
from app.core.sql import queries
from app.delivery.progress import Standing, progress
from app.incidents.preview import Preview
from app.incidents.scope import Scope

_SQL = queries("incidents")
KINDS = ("theft", "robbery", "loss", "fraud")


class Claims(msgspec.Struct, frozen=True):
    """How many identifiers an incident holds: suspected (submitted), active (approved), lifted."""

    suspected: int
    active: int
    lifted: int
    devices_active: int
    devices_lifted: int


class Incident(msgspec.Struct, frozen=True):
    """One incident. `preview` is as it was shown: when it was drafted, and again when it was submitted."""

    id: int
    title: str
    kind: str
    site: str
    occurred_from: datetime | None
    occurred_to: datetime | None
    police_reference: str
    scope: Scope
    state: str
    drafted_by: str
    drafted_at: datetime
    submitted_by: str | None
    submitted_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    ended_by: str | None
    ended_at: datetime | None
    reason: str
    preview: Preview | None


class Report(msgspec.Struct, frozen=True):
    """An incident with what it holds and where each partner stands."""

    incident: Incident
    claims: Claims
    partners: list[Standing]

    @property
    def settled(self) -> bool:
        """Whether every partner has given its last word."""
        return all(standing.settled for standing in self.partners)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen unless a person acts."""
        return self.settled and self.incident.state not in ("draft", "submitted")


def from_row(row: asyncpg.Record) -> Incident:
    """The incident of a database row."""
    fields = {field.name: row[field.name] for field in msgspec.structs.fields(Incident) if field.name in row}
    fields["id"] = row["incident_id"]
    fields["scope"] = msgspec.convert(row["scope"], Scope)
    fields["preview"] = row["preview"] and msgspec.convert(row["preview"], Preview, strict=False)
    return Incident(**fields)


async def find(conn: Connection, actor: Principal, incident_id: int) -> Incident:
    """Raises Missing, Forbidden."""
    actor.require(Permission.INCIDENTS_READ)
    return _there(await conn.fetchrow(_SQL.find, incident_id), incident_id)


async def hold(conn: Connection, incident_id: int, *states: str, to: str) -> Incident:
    """The incident, locked for a decision. Raises Missing, or Conflict where it is in none of `states`."""
    incident = _there(await conn.fetchrow(_SQL.hold, incident_id), incident_id)
    if incident.state not in states:
        raise Conflict(
            f"Incident {incident_id} is {incident.state}, so it cannot be {to}; it would be {' or '.join(states)}.",
            "incident-state",
        )
    return incident


def _there(row: asyncpg.Record | None, incident_id: int) -> Incident:
    if row is None:
        raise Missing(f"There is no incident {incident_id}.")
    return from_row(row)


async def latest(
    conn: Connection, actor: Principal, *, before: int | None, state: str | None, limit: int
) -> list[Incident]:
    """Incidents, the newest first, below number `before`."""
    actor.require(Permission.INCIDENTS_READ)
    if state is not None and state not in (
        states := ("draft", "submitted", "approved", "closed", "rejected", "withdrawn")
    ):
        raise Invalid(f"'{state}' is not a state of an incident; it would be one of {', '.join(states)}.")
    return [from_row(row) for row in await conn.fetch(_SQL.latest, before, state, limit)]


async def report(conn: Connection, actor: Principal, incident_id: int) -> Report:
    """The incident, what it holds, and each partner's progress; cheap enough to be watched."""
    actor.require(Permission.INCIDENTS_READ)
    row = await conn.fetchrow(_SQL.find, incident_id)
    incident = _there(row, incident_id)
    assert row is not None
    return Report(incident, _claims(row), await progress(conn, incident_id))


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
