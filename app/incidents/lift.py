"""Recovered devices: an incident lets go of a part of what it holds."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core import imei
from app.core.db import Connection
from app.core.errors import Conflict
from app.core.sql import queries
from app.incidents import scope as scopes
from app.incidents.decide import Claims, digest, let_go
from app.incidents.incident import hold
from app.incidents.scope import Scope, Unknown

_SQL = queries("incidents")


class Lifted(msgspec.Struct, frozen=True):
    """What a lift came to. `released` identifiers are free; `still_held` are claimed by other incidents;
    `not_claimed` were named and are not held by this incident; `unknown` names are not registered. `frozen`: the
    SHA-256 of the identifiers that it let go of, in hex."""

    devices: int
    identifiers: int
    released: int
    still_held: int
    not_claimed: list[str]
    unknown: Unknown
    state: str
    frozen: str


async def lift(conn: Connection, actor: Principal, incident_id: int, scope: Scope, now: datetime) -> Lifted:
    """Lifts this incident's claims on what the scope names; partners are told of what becomes free.

    Raises Conflict where the scope names nothing that the incident holds: nothing was done.
    """
    actor.require(Permission.INCIDENTS_LIFT)
    named = await scopes.named(scope, now, actor.reach)
    await hold(conn, incident_id, "approved", to="lifted")
    unknown = await scopes.resolve(conn, named)
    await conn.execute(_SQL.fill_serials, *scopes.serial_columns(named.serials))
    missed = await conn.fetch(_SQL.not_claimed, incident_id)
    row = await conn.fetchrow(_SQL.lift_scope, incident_id, now)
    assert row is not None
    claims = Claims(*row)
    if not claims.keys:
        raise Conflict(
            f"Incident {incident_id} holds nothing of what this scope names; nothing was lifted.",
            "nothing-held",
        )
    freed = await let_go(conn, actor, incident_id, claims, now)
    lifted = Lifted(
        devices=claims.devices,
        identifiers=len(claims.keys),
        released=freed.released,
        still_held=len(claims.keys) - freed.released,
        not_claimed=[imei.full(row["key"]) if row["key"] >= 0 else row["serial"] for row in missed],
        unknown=unknown,
        state="approved" if freed.still_active else "closed",
        frozen=digest(claims.keys).hex(),
    )
    await _remember(conn, actor, incident_id, lifted, now)
    return lifted


async def lifted_unregistered(conn: Connection, incident_id: int, now: datetime) -> int:
    """How many identifiers of no registered device were let go of at this moment; rules count each as a device."""
    found: int = await conn.fetchval(_SQL.lifted_unregistered, incident_id, now)
    return found


async def _remember(
    conn: Connection, actor: Principal, incident_id: int, lifted: Lifted, now: datetime
) -> None:
    counts = {name: getattr(lifted, name) for name in ("devices", "identifiers", "released", "still_held")}
    entries = [Entry("incident.lifted", f"incident:{incident_id}", actor.label, now, counts)]
    if lifted.state == "closed":
        await conn.execute(_SQL.finish, incident_id, "closed", actor.label, now, "everything was lifted")
        entries.append(Entry("incident.closed", f"incident:{incident_id}", actor.label, now))
    await record(conn, entries)
