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
from app.incidents.decide import let_go
from app.incidents.incident import Claims, hold
from app.incidents.scope import Scope

_SQL = queries("incidents")


class Lifted(msgspec.Struct, frozen=True):
    """What a lift came to. `released` identifiers are free; `still_held` are claimed by other incidents;
    `not_claimed` were named and are not held by this incident."""

    devices: int
    identifiers: int
    released: int
    still_held: int
    not_claimed: list[str]
    state: str


async def lift(conn: Connection, actor: Principal, incident_id: int, scope: Scope, now: datetime) -> Lifted:
    """Lifts this incident's claims on what the scope names; partners are told of what becomes free.

    Raises Conflict where the scope names nothing that the incident holds: nothing was done.
    """
    actor.require(Permission.INCIDENTS_LIFT)
    named = scopes.read(scope)
    await hold(conn, incident_id, "approved", to="lifted")
    await scopes.resolve(conn, named)
    await conn.execute(_SQL.fill_declared_serials, named.serials)
    missed = await conn.fetch(_SQL.not_claimed, incident_id)
    rows = await conn.fetch(_SQL.lift_scope, incident_id)
    if not rows:
        raise Conflict(
            f"Incident {incident_id} holds nothing of what this scope names; nothing was lifted.", "nothing-held"
        )
    released = await let_go(conn, actor, incident_id, [row["key"] for row in rows], now)
    lifted = Lifted(
        devices=len({row["device_id"] for row in rows if row["device_id"]}),
        identifiers=len(rows),
        released=released,
        still_held=len(rows) - released,
        not_claimed=[imei.full(row["key"]) if row["key"] >= 0 else row["serial"] for row in missed],
        state=await _state_after(conn, incident_id),
    )
    detail = msgspec.to_builtins(lifted) | {"not_claimed": len(missed)}
    await record(conn, [Entry("incident.lifted", f"incident:{incident_id}", actor.label, now, detail)])
    if lifted.state == "closed":
        await _close(conn, actor, incident_id, now)
    return lifted


async def _state_after(conn: Connection, incident_id: int) -> str:
    row = await conn.fetchrow(_SQL.claims, incident_id)
    assert row is not None
    return "approved" if Claims(**row).active else "closed"


async def _close(conn: Connection, actor: Principal, incident_id: int, now: datetime) -> None:
    await conn.execute(_SQL.finish, incident_id, "closed", actor.label, now, "everything was lifted")
    await record(conn, [Entry("incident.closed", f"incident:{incident_id}", actor.label, now)])
