"""Sightings: somebody from outside asked about an identifier that is claimed, or about a device that should still be in
stock, or reported one. Owns the table sighting.

The first question about a stolen device is the first lead; one about a device that was never shipped is the first sign
of a theft that nobody has noticed. The owner's own people, who may read incidents, are no sightings.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit.record import Entry, record
from app.blocklist.ask import Serial, look_up
from app.blocklist.standing import STATUSES, Standing, Status
from app.core.db import Connection
from app.core.sql import queries

SOURCE = "sightings"
"""Who raises these alerts, on the audit log."""
REPORT = "report"
MOST_PLACES = 20
"""In how many places one reports a device; further ones count, and are not told apart."""
GRACE = timedelta(minutes=15)
"""How late a site may tell what left it, before a question about that is an alert."""

FORGOTTEN_AT_ONCE = 10_000

_SQL = queries("sightings")


class Noted(NamedTuple):
    """What a process saw of one identifier, one asker and one way since it last wrote that down. `told` is the status
    as the listing has it; 0 of a device that was clear, which is a sighting if it is in stock or was reported."""

    key: int
    told: int
    asked_by: str
    way: str
    place: str
    note: str
    incident_id: int | None
    device_id: int | None
    times: int
    first_at: datetime
    last_at: datetime


class Sighting(msgspec.Struct, frozen=True):
    """Who asked about which identifier, or reported it, by which way (`api`, `n5g-eir`, …, `report`), how often, and
    what is known of where. `status` is what he was told: `clear` of a device that is in stock. Of an IMEI the first 14
    digits are given."""

    id: int
    imei: str
    serial: str
    gtin: str
    status: Status
    asked_by: str
    way: str
    place: str
    note: str
    incident: int | None
    device: int | None
    times: int
    first_at: datetime
    last_at: datetime


class Wanted(msgspec.Struct, frozen=True):
    """Which sightings: all, or those of an incident, of an identifier, or of devices in stock."""

    incident: int | None = None
    key: int | None = None
    in_stock: bool = False


async def in_stock(conn: Connection, devices: Collection[int | None]) -> set[int]:
    """Those of these devices that arrived, were not sold, and were not seen to leave since they were last seen, at a
    site that tells what leaves it."""
    return {row["device_id"] for row in await conn.fetch(_SQL.in_stock, [*devices])}


async def note(conn: Connection, seen: Sequence[Noted], now: datetime) -> None:
    """Writes down what was seen; none twice. Of an incident of which something new was seen, its manager is alerted."""
    if not seen:
        return
    rows = await conn.fetch(_SQL.note, *map(list, zip(*seen, strict=True)))
    leads = await conn.fetch(_SQL.leads, [row["incident_id"] for row in rows])
    await raise_(conn, [_lead(row) for row in leads], SOURCE, now)


class Reported(NamedTuple):
    """What somebody says he has seen: an identifier, when, where, and what else there is to say."""

    asked: int | Serial
    at: datetime
    place: str
    note: str


async def report(conn: Connection, actor: Principal, reports: Sequence[Reported], now: datetime) -> int:
    """Writes down what was reported of devices that are claimed or registered; how many that were. Whoever it concerns
    is alerted."""
    actor.require(Permission.SIGHTINGS_WRITE)
    asked = {one.asked for one in reports}
    keys = sorted(one for one in asked if isinstance(one, int))
    found = await look_up(conn, keys, sorted(one for one in asked if not isinstance(one, int)))
    crowded = {row["key"] for row in await conn.fetch(_SQL.crowded, actor.key_id, REPORT, MOST_PLACES)}
    noted = {}
    for one in reports:
        standing = found.of(one.asked)
        if standing.key is not None and standing.status is not Status.UNKNOWN:
            each = _reported(actor, standing.key, standing, one)
            if each.key in crowded:
                each = each._replace(place="")
            noted[each.key, each.place] = each
    await note(conn, list(noted.values()), now)
    if unclaimed := [each for each in noted.values() if not each.told]:
        await raise_(conn, [_unclaimed(actor, unclaimed)], actor.label, now)
    return len(noted)


def _reported(actor: Principal, key: int, standing: Standing, one: Reported) -> Noted:
    told = STATUSES.index(standing.status)
    incident = standing.held_by[0] if standing.held_by else None
    return Noted(
        key, told, actor.key_id, REPORT, one.place, one.note, incident, standing.device_id, 1, one.at, one.at
    )


def _unclaimed(actor: Principal, found: Sequence[Noted]) -> Raised:
    """One alert for each who reports, however much that is."""
    last = found[-1]
    detail = {
        "identifiers": len(found),
        "last": f"device:{last.device_id}",
        "place": last.place,
        "note": last.note,
    }
    return Raised(AlertKind.REPORT, f"key:{actor.key_id}", detail)


def _lead(row: asyncpg.Record) -> Raised:
    detail = {name: row[name] for name in ("reference", "sightings", "identifiers", "asked_by")}
    return Raised(AlertKind.SIGHTING, f"incident:{row['incident_id']}", detail, row["submitted_by"] or "")


async def judge(conn: Connection, now: datetime, limit: int = 10_000) -> int:
    """Looks once more at devices that were in stock when they were asked about, and alerts of those that still are; how
    many it looked at. Call it until it finds none."""
    rows = await conn.fetch(_SQL.judge, now - GRACE, limit, now)
    await raise_(conn, [_missing(row) for row in rows if row["devices"]], SOURCE, now)
    return sum(row["looked"] for row in rows)


async def forget(conn: Connection, before: datetime) -> int:
    """Lets go of sightings that are older, but for those of incidents that still hold devices; how many went. Call it
    until none went."""
    return int(await conn.fetchval(_SQL.forget, before, FORGOTTEN_AT_ONCE))


async def erase(conn: Connection, keys: Sequence[int]) -> int:
    """Lets go of all that was seen of these identifiers; how many sightings that were."""
    return int(await conn.fetchval(_SQL.erase, keys))


def _missing(row: asyncpg.Record) -> Raised:
    detail = {"devices": row["devices"], "device_ids": row["device_ids"], "asked_by": row["asked_by"]}
    return Raised(AlertKind.IN_STOCK, f"site:{row['site'] or '(none)'}", detail)


async def listed(
    conn: Connection, actor: Principal, wanted: Wanted, *, after: int = 0, limit: int = 100, now: datetime
) -> list[Sighting]:
    """Sightings in the order in which they were first noted. Who asked about what, and what was said of where, is
    somebody's own: that somebody has read it is on the record."""
    actor.require(Permission.INCIDENTS_READ)
    rows = await conn.fetch(_SQL.listed, wanted.incident, wanted.key, wanted.in_stock, after, limit)
    if rows:
        detail = {"count": len(rows), "first": rows[0]["id"], "last": rows[-1]["id"]}
        await record(conn, [Entry("personal.read", "sightings", actor.label, now, detail)])
    return [_sighting(row) for row in rows]


async def count(conn: Connection, incident_id: int) -> int:
    """How many sightings there were of an incident's devices; at most 10,000 are counted."""
    return int(await conn.fetchval(_SQL.count, incident_id))


def _sighting(row: asyncpg.Record) -> Sighting:
    fields = dict(row)
    key, told = fields.pop("key"), fields.pop("told")
    fields["imei"] = f"{key:014d}" if key >= 0 else ""
    fields["serial"], fields["gtin"] = fields["serial"] or "", fields["gtin"] or ""
    return Sighting(status=STATUSES[told], **fields)
