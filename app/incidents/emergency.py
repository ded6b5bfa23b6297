"""Breaking the glass: one person blocks at once what is submitted, loudly, and another one reviews it afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from app.access.roles import Permission, Principal
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.core.db import Connection
from app.core.errors import Conflict, Forbidden
from app.core.sql import queries
from app.incidents import decide
from app.incidents.incident import Incident, hold

_SQL = queries("incidents")
_ALERTS = {
    ("submitted", 1): AlertKind.APPROVAL_WAITS,
    ("submitted", 2): AlertKind.APPROVAL_OVER,
}


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What another person says of it: that it was right, or that all of it is taken back at once."""

    verdict: Literal["upheld", "reversed"]
    reason: str


async def break_glass(
    conn: Connection, actor: Principal, incident_id: int, reason: str, hours: int, now: datetime
) -> Incident:
    """Blocks what was submitted without a second person, who reviews it within `hours`; 0: nobody may. Raises Forbidden
    (`glass-locked`, and `glass-unreviewed` while an earlier one of his waits for its review)."""
    actor.require(Permission.INCIDENTS_BREAK_GLASS)
    actor.require_fresh()
    if not hours:
        raise Forbidden("No glass is broken here (IMEI_GATEWAY_REVIEW_HOURS is 0).", "glass-locked")
    incident = await hold(conn, incident_id, "submitted", to="approved by breaking the glass")
    if waiting := await conn.fetchval(_SQL.unreviewed, actor.identity):
        raise Forbidden(
            f"You broke the glass for incident {waiting}, which nobody has reviewed yet: that comes first.",
            "glass-unreviewed",
        )
    reason, until = checked_reason(reason), now + timedelta(hours=hours)
    await conn.execute(_SQL.break_glass, incident_id, actor.label, until)
    detail = {"reason": reason, "frozen": incident.frozen, "review_until": until}
    await _remember(conn, "incident.glass-broken", incident_id, actor, now, detail)
    found = {"title": incident.title, "by": actor.label, "reason": reason, "review_until": until.isoformat()}
    await raise_(conn, [Raised(AlertKind.BREAK_GLASS, f"incident:{incident_id}", found)], actor.label, now)
    return await decide.block(conn, actor, incident_id, now)


async def review(
    conn: Connection, actor: Principal, incident_id: int, said: Review, now: datetime
) -> Incident:
    """Another one's word afterwards. Raises Conflict (`nothing-to-review`), Forbidden (`second-person`)."""
    actor.require(Permission.INCIDENTS_APPROVE)
    actor.require_fresh()
    states = ("approved", "closed", "withdrawn")
    incident = await hold(conn, incident_id, *states, to="reviewed")
    if incident.glass_broken_by is None or incident.verdict is not None:
        raise Conflict(f"There is nothing to review of incident {incident_id}.", "nothing-to-review")
    if actor.is_named(incident.glass_broken_by) or actor.is_named(incident.submitted_by):
        raise Forbidden(
            f"You broke the glass for incident {incident_id}, or submitted it, so somebody else reviews it.",
            "second-person",
        )
    reason = checked_reason(said.reason)
    await conn.execute(_SQL.review, incident_id, said.verdict, actor.label, now)
    detail = {"verdict": said.verdict, "reason": reason}
    await _remember(conn, "incident.reviewed", incident_id, actor, now, detail)
    if said.verdict == "reversed" and incident.state == "approved":
        return await decide.take_back(conn, actor, incident, reason, now)
    return await hold(conn, incident_id, *states, to="read")


async def remind(conn: Connection, now: datetime) -> int:
    """Alerts for what waits too long: approvals, before their time is over and when it is, and reviews. How many."""
    rows = await conn.fetch(_SQL.remind, now)
    alerts = [_reminder(dict(row)) for row in rows]
    await raise_(conn, alerts, "worker", now)
    return len(alerts)


def _reminder(row: dict[str, Any]) -> Raised:
    kind = _ALERTS.get((row["state"], row["stage"]), AlertKind.REVIEW_OVERDUE)
    waits = kind is not AlertKind.REVIEW_OVERDUE
    until = row["approve_until"] if waits else row["review_until"]
    detail = {"title": row["title"], "until": until.isoformat()}
    concerns = row["submitted_by"] if waits else ""
    return Raised(kind, f"incident:{row['incident_id']}", detail, concerns or "")


async def _remember(
    conn: Connection, kind: str, incident_id: int, actor: Principal, now: datetime, detail: dict[str, Any]
) -> None:
    await record(conn, [Entry(kind, f"incident:{incident_id}", actor.label, now, detail)])
