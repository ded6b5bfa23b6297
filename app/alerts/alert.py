"""Alerts: raised by whatever finds that a person should look, open until somebody says that he has. Owns the table
alert.

While an alert is open, the same thing raises no other: it counts on the first. So a thousand sightings of one theft
ring once, and ring again after somebody has looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.errors import Missing
from app.core.sql import queries

_SQL = queries("alerts")
_PERSONAL = ("place", "note")


class AlertKind(StrEnum):
    """What a person should look at."""

    SIGHTING = "sighting"
    """Somebody from outside asked about devices of an incident."""
    IN_STOCK = "in-stock"
    """Somebody from outside asked about devices that should still be at a site."""
    REPORT = "report"
    """Somebody from outside reported a device that no incident claims."""
    ENUMERATION = "enumeration"
    """A key asks for one number after the other."""
    WITNESS = "witness"
    """A witness of the audit log does not sign it any more: it may have been rolled back."""
    BREAK_GLASS = "break-glass"
    """Somebody blocked an incident alone, as an emergency; it is to be reviewed."""
    REVIEW_OVERDUE = "review-overdue"
    """Nobody has reviewed that in time."""
    APPROVAL_WAITS = "approval-waits"
    """The time to approve an incident is over soon."""
    APPROVAL_OVER = "approval-over"
    """It is over: approvals so far count no more, and the incident is to be submitted again."""
    RULE_ENDED = "rule-ended"
    """A rule that demanded several people is no longer in force."""
    REPORTED_STOLEN = "reported-stolen"
    REPORTED_RECOVERED = "reported-recovered"
    CONTRADICTS_STOLEN = "contradicts-stolen"
    """Goods-in says something else of a stolen device than the registry."""
    SOLD_WHILE_CLAIMED = "sold-while-claimed"
    """Devices that an incident holds were sold to customers: they stay suspect or blocked."""
    REGISTERED_WHILE_STOLEN = "registered-while-stolen"


class Raised(msgspec.Struct, frozen=True):
    """Something to look at: its subject as the audit log names it (`incident:7`, `site:PAR-1`, `key:k_mfzwizlt`), and
    whom it concerns, by his label; '' if nobody more than others."""

    kind: AlertKind
    subject: str
    detail: Mapping[str, Any]
    concerns: str = ""


class Alert(msgspec.Struct, frozen=True):
    """An alert; open while `seen_at` is null. `times`: how often it was raised; `detail` is the last time's."""

    id: int
    kind: AlertKind
    subject: str
    concerns: str
    detail: dict[str, Any]
    times: int
    first_at: datetime
    last_at: datetime
    seen_at: datetime | None
    seen_by: str | None


async def raise_(conn: Connection, alerts: Sequence[Raised], by: str, now: datetime) -> None:
    """Raises alerts; of one kind and subject the last. Of those that are not open already the audit log tells."""
    alerts = list({(alert.kind, alert.subject): alert for alert in alerts}.values())
    if not alerts:
        return
    columns = (
        [str(alert.kind) for alert in alerts],
        [alert.subject for alert in alerts],
        [alert.concerns for alert in alerts],
        [msgspec.json.encode(alert.detail).decode() for alert in alerts],
    )
    new = [alerts[row["place"] - 1] for row in await conn.fetch(_SQL.raise_, *columns, now)]
    await record(conn, [_entry(alert, by, now) for alert in new])


def _entry(alert: Raised, by: str, now: datetime) -> Entry:
    """What a stranger wrote may name somebody, and nothing is ever taken out of the log."""
    detail = {name: said for name, said in alert.detail.items() if name not in _PERSONAL}
    return Entry("alert.raised", alert.subject, by, now, {**detail, "reason": alert.kind})


async def erase(conn: Connection, device_ids: Sequence[int]) -> None:
    """Lets go of what was said of where these devices were seen."""
    await conn.execute(_SQL.erase, [f"device:{number}" for number in device_ids])


async def listed(
    conn: Connection, actor: Principal, *, seen: bool, after: int = 0, limit: int = 100
) -> list[Alert]:
    """The open alerts, and with `seen` all of them, oldest first."""
    actor.require(Permission.INCIDENTS_READ)
    rows = await conn.fetch(_SQL.listed, seen, after, limit)
    return [msgspec.convert({**row, "detail": msgspec.json.decode(row["detail"])}, Alert) for row in rows]


async def see(conn: Connection, actor: Principal, alert_id: int, now: datetime) -> bool:
    """Somebody has looked; False if somebody had before. Raises Missing."""
    actor.require(Permission.ALERTS_WRITE)
    row = await conn.fetchrow(_SQL.see, alert_id, now, actor.label)
    if row is None:
        raise Missing(f"There is no alert {alert_id}.", "alert-missing")
    if row["was_open"]:
        detail = {"alert": alert_id, "reason": row["kind"]}
        await record(conn, [Entry("alert.seen", row["subject"], actor.label, now, detail)])
    return bool(row["was_open"])


async def open_(conn: Connection) -> int:
    """How many alerts nobody has looked at."""
    return int(await conn.fetchval(_SQL.open_))
