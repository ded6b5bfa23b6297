"""What was sold to customers, and what came back: told by events or by whoever runs the shop. Owns the table sale.

A device is sold if the latest that was told of it, by the time it happened, says so. Its IMEIs are then a customer's:
no incident claims them unless somebody says that it should.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec

from app.access.roles import Permission, Principal
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit.record import Entry, record
from app.core.clock import AHEAD
from app.core.db import Connection
from app.core.errors import Flaw, Invalid, told
from app.core.sql import queries
from app.devices.moves import on_pallets
from app.devices.naming import Name, devices, named

_SQL = queries("sales")
_DEVICES = queries("devices")
_MOVES = queries("moves")
_MOST_LISTED = 1000
_Names = Annotated[tuple[str, ...], msgspec.Meta(max_length=10_000)]


class Trade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that were sold, or that came back, by IMEI or serial. Without `at`: now."""

    imeis: _Names = ()
    serials: _Names = ()
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Traded(msgspec.Struct, frozen=True):
    """What came of it: devices that it was told of, those that are sold (or not any more) by it, and the names that
    nobody registered (the first 1,000)."""

    recorded: int
    changed: int
    unknown: list[str]


class Sale(msgspec.Struct, frozen=True):
    """A device was sold (or came back: `sold` is false) at that time, as somebody told."""

    sold: bool
    at: datetime
    source: str
    recorded_at: datetime
    recorded_by: str
    withdrawn: bool


class Telling(NamedTuple):
    """Who tells that something was sold, or came back, and when that happened."""

    sold: bool
    at: datetime
    source: str
    by: str
    now: datetime


async def trade(
    conn: Connection, actor: Principal, said: Trade, *, sold: bool, source: str, now: datetime
) -> Traded:
    """Records that these were sold, or came back. Raises Invalid with every flaw (nothing is recorded then),
    Forbidden."""
    actor.require(Permission.RECEIPTS_WRITE)
    names = _read(said, now)
    found = await devices(conn, names)
    telling = Telling(sold, said.at or now, source, actor.label, now)
    changed = await _tell(conn, set(found.values()), telling)
    unknown = [name.text for name in names if name not in found]
    detail = {"devices": len(found), "changed": changed, "unknown": len(unknown)}
    kind = "devices.sold" if sold else "devices.returned"
    await record(conn, [Entry(kind, source, actor.label, now, detail)])
    return Traded(len(found), changed, unknown[:_MOST_LISTED])


async def tell(conn: Connection, names: Sequence[Name], pallets: Sequence[str], telling: Telling) -> None:
    """The same of an event, with all that stood on these pallets; what nobody registered is passed over."""
    ids = set((await devices(conn, names)).values())
    await _tell(conn, ids.union(await on_pallets(conn, pallets, telling.at)), telling)


async def came_back(conn: Connection, names: Sequence[Name], telling: Telling) -> None:
    """These came in: those of them that had been sold are not sold any more."""
    ids = list((await devices(conn, names)).values())
    rows = await conn.fetch(_SQL.ever_sold, ids)
    await _tell(conn, {row["device_id"] for row in rows}, telling)


async def withdraw(conn: Connection, source: str) -> None:
    """What this source told did not happen."""
    rows = await conn.fetch(_SQL.withdraw, source)
    ids = sorted({row["device_id"] for row in rows})
    if ids:
        await conn.execute(_MOVES.hold, ids)
        await conn.fetch(_DEVICES.place_sold, ids)


async def history(conn: Connection, device_id: int) -> list[Sale]:
    """What was told of a device's sales, latest first."""
    return [Sale(**row) for row in await conn.fetch(_SQL.history, device_id)]


async def _tell(conn: Connection, ids: Collection[int], telling: Telling) -> int:
    """How many of these are sold, or not any more, by it."""
    if not ids:
        return 0
    in_order = sorted(ids)
    await conn.execute(_MOVES.hold, in_order)
    who = (telling.source, telling.now, telling.by)
    await conn.execute(_SQL.tell, in_order, telling.sold, telling.at, *who)
    rows = await conn.fetch(_DEVICES.place_sold, in_order)
    if now_sold := [row["device_id"] for row in rows if row["is_sold"]]:
        await _alert(conn, now_sold, telling)
    return len(rows)


async def _alert(conn: Connection, ids: Sequence[int], telling: Telling) -> None:
    """What an incident holds stays suspect or blocked when it is sold, and its manager hears of it."""
    rows = await conn.fetch(_DEVICES.claimed_by, ids)
    kind = AlertKind.SOLD_WHILE_CLAIMED
    raised = [
        Raised(kind, f"incident:{row['incident_id']}", {"devices": row["devices"]}, row["submitted_by"] or "")
        for row in rows
    ]
    await raise_(conn, raised, telling.by, telling.now)


def _read(said: Trade, now: datetime) -> list[Name]:
    flaws: list[Flaw] = []
    names = named(said.imeis, said.serials, "", flaws)
    if said.at and said.at > now + AHEAD:
        flaws.append(
            Flaw("the moment has not come yet; a sale is what has happened", "/at", "moment-to-come")
        )
    if not flaws and not names:
        flaws.append(Flaw("it names no device; it would have imeis or serials", "", "nothing-named"))
    if flaws:
        raise Invalid(
            told(flaws, "{} things here cannot be right; nothing was done."), flaws[0].code, tuple(flaws)
        )
    return names
