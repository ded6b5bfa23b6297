"""Deeds that release what an incident holds."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from app.access.approvals import Matter, Subject
from app.access.roles import Permission, Principal
from app.core.db import Connection
from app.incidents import assent, decide, incident
from app.incidents.incident import Incident
from app.incidents.lift import lift, lifted_unregistered
from app.incidents.scope import Scope
from app.proposals.deed import Deed, Done, Means


class _OfIncident(Deed, frozen=True):
    approved_with: ClassVar[Permission] = Permission.INCIDENTS_APPROVE

    incident_id: int

    @property
    def place(self) -> str:
        return f"incident:{self.incident_id}"

    @property
    def incident(self) -> int | None:
        return self.incident_id


class Lift(_OfIncident, frozen=True, tag="lift"):
    """Release what was recovered."""

    needs: ClassVar[Permission] = Permission.INCIDENTS_LIFT

    scope: Scope

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        found = await incident.hold(conn, self.incident_id, "approved", to="lifted")
        lifted = await lift(conn, actor, self.incident_id, self.scope, now)
        becomes = {name: getattr(lifted, name) for name in ("devices", "identifiers", "frozen")}
        devices = lifted.devices + await lifted_unregistered(conn, self.incident_id, now)
        return Done(lifted, becomes, await _matter(conn, found, devices))


class Withdraw(_OfIncident, frozen=True, tag="withdraw"):
    """Take an incident back. Until the undo window is over, one person does so alone."""

    needs: ClassVar[Permission] = Permission.INCIDENTS_WRITE

    reason: str

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        found = await incident.hold(conn, self.incident_id, "draft", "submitted", "approved", to="withdrawn")
        is_new = found.approved_at is None or now - found.approved_at <= means.undo
        withdrawn = await decide.withdraw(conn, actor, self.incident_id, self.reason, now)
        becomes = {"state": withdrawn.state, "reason": withdrawn.reason}
        return Done(withdrawn, becomes, None if is_new else await _matter(conn, found))


async def _matter(conn: Connection, found: Incident, devices: int | None = None) -> Matter:
    """All of it, or so many devices; of its value nobody knows what part that is, so that it counts as all of it."""
    assert found.preview is not None
    whole = await assent.matter(conn, Subject.LIFT, found, found.preview)
    return whole if devices is None else msgspec.structs.replace(whole, devices=devices)
