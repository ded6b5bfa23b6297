"""Erasure: of a sold device it is forgotten whose it was, where it stood and by which receipt it came.

What it is called stays, and whether it is blocked: a thief could sell what nobody can block any more. What an incident
holds is not erased, for it is evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.alerts import alert
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.blocklist import sightings
from app.core.db import Connection
from app.core.errors import Flaw, Invalid, told
from app.core.sql import queries
from app.devices.naming import Name, devices, named

BY = "retention"
"""Who erases what is old, on the audit log."""
AT_ONCE = 1_000
MOST_NAMED = 10_000

_SQL = queries("devices")
_MOVES = queries("moves")
_MOST_LISTED = 1000
_Names = Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST_NAMED)]


class Erasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be erased, by IMEI or serial, and why."""

    reason: str
    imeis: _Names = ()
    serials: _Names = ()


class Kept(msgspec.Struct, frozen=True):
    """A device that was not erased. `code`: held (incidents hold it: `incidents`), not-sold, or erased already."""

    name: str
    code: str
    detail: str
    incidents: list[int] = []


class Erased(msgspec.Struct, frozen=True):
    """How many devices were erased, with how many sightings of them; those that were not, each with its reason; and
    names that nobody registered (the first 1,000 of each)."""

    erased: int
    sightings: int
    kept: list[Kept]
    unknown: list[str]


async def erase(conn: Connection, actor: Principal, said: Erasure, now: datetime) -> Erased:
    """Erases the sold devices among these that no incident holds, and what was seen of them. Raises Invalid with every
    flaw (nothing is erased then), Forbidden."""
    actor.require(Permission.DEVICES_ERASE)
    reason, names = checked_reason(said.reason), _read(said)
    found = await devices(conn, names)
    await conn.execute(_SQL.hold_to_erase, sorted(set(found.values())))
    rows = await conn.fetch(_SQL.erasable, sorted(set(found.values())))
    called = {number: name.text for name, number in found.items()}
    kept = {row["device_id"]: why for row in rows if (why := _why_kept(called[row["device_id"]], row))}
    gone = [row for row in rows if row["device_id"] not in kept]
    ids = [row["device_id"] for row in gone]
    await _forget(conn, ids, now)
    seen = await sightings.erase(conn, [key for row in gone for key in row["keys"]])
    await alert.erase(conn, ids)
    detail = {"devices": ids[:_MOST_LISTED], "count": len(ids), "sightings": seen, "reason": reason}
    await record(conn, [Entry("devices.erased", "devices", actor.label, now, detail)])
    unknown = [name.text for name in names if name not in found]
    return Erased(len(ids), seen, list(kept.values())[:_MOST_LISTED], unknown[:_MOST_LISTED])


async def erase_old(conn: Connection, before: datetime, now: datetime) -> int:
    """Erases some of what was sold before that moment and never claimed; how many."""
    ids = [row["device_id"] for row in await conn.fetch(_SQL.due_for_erasure, before, AT_ONCE)]
    if ids:
        await _forget(conn, ids, now)
        detail = {"count": len(ids), "sold_before": before.isoformat()}
        await record(conn, [Entry("devices.erased", "devices", BY, now, detail)])
    return len(ids)


async def _forget(conn: Connection, ids: Sequence[int], now: datetime) -> None:
    if ids:
        await conn.execute(_SQL.forget_parts, ids)
        await conn.execute(_SQL.forget_repeats, ids)
        await conn.execute(_MOVES.forget, ids)
        await conn.execute(_SQL.erase, ids, now)


def _why_kept(name: str, row: asyncpg.Record) -> Kept | None:
    if held_by := row["held_by"]:
        which = ", ".join(map(str, held_by))
        detail = f"Incident {which} holds it, and what is held is evidence; it would be lifted first."
        return Kept(name, "held", detail, list(held_by))
    if not row["is_sold"]:
        return Kept(name, "not-sold", "Nobody told that it was sold: it is goods, and nobody's own.")
    return Kept(name, "erased", "It was erased before.") if row["is_erased"] else None


def _read(said: Erasure) -> list[Name]:
    flaws: list[Flaw] = []
    names = named(said.imeis, said.serials, "", flaws)
    if not flaws and not names:
        flaws.append(Flaw("it names no device; it would have imeis or serials", "", "nothing-named"))
    if flaws:
        raise Invalid(
            told(flaws, "{} things here cannot be right; nothing was erased."), flaws[0].code, tuple(flaws)
        )
    return names
