"""Where devices are and were: movements from pallet to pallet, and what a pallet held at a moment.

Gangs relabel pallets before they leave, so a pallet's content is only true at a time. Movements may be told late
and out of order: a device stands where the latest of them, by the time it happened, has put it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core import gs1
from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.core.sql import queries
from app.devices.naming import Name, devices, named

_SQL = queries("moves")
_DEVICES = queries("devices")
_MOST_LISTED = 1000


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that were put on a pallet, or (`to` is empty) taken off theirs. They are named by IMEI or serial,
    or all together by the pallet that they stood on (`pallet`). Without `at`: now."""

    to: Annotated[str, msgspec.Meta(description="SSCC of 18 digits; empty: off any pallet")]
    imeis: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    pallet: Annotated[str, msgspec.Meta(description="all that stood on this SSCC at that time")] = ""
    at: datetime | None = None


class Moved(msgspec.Struct, frozen=True):
    """What came of it: devices whose movement was kept, those that changed their pallet by it, and the names
    that nobody registered (the first 1,000)."""

    recorded: int
    changed: int
    unknown: list[str]


class Where(msgspec.Struct, frozen=True):
    """A stay: on this pallet (empty: on none) from `moved_at`, or from the beginning (null)."""

    pallet: str
    moved_at: datetime | None
    source: str
    recorded_at: datetime
    recorded_by: str
    withdrawn: bool


class _Read(msgspec.Struct, frozen=True):
    names: list[Name]
    to: str
    pallet: str
    at: datetime


async def move(
    conn: Connection, actor: Principal, moves: Sequence[Move], *, source: str, now: datetime
) -> Moved:
    """Records the moves, in order. Raises Invalid with every flaw (nothing is moved then), Forbidden."""
    actor.require(Permission.RECEIPTS_WRITE)
    wanted = _read(moves, now)
    rows: list[tuple[int, str, datetime]] = []
    unknown: list[str] = []
    for each in wanted:
        ids, missing = await _named(conn, each)
        rows += [(number, each.to, each.at) for number in ids]
        unknown += missing
    changed = await keep(conn, rows, source=source, by=actor.label, now=now)
    detail = {"moves": len(moves), "devices": len(rows), "changed": changed, "unknown": len(unknown)}
    await record(conn, [Entry("devices.moved", source, actor.label, now, detail)])
    return Moved(len(rows), changed, unknown[:_MOST_LISTED])


async def keep(
    conn: Connection, rows: Sequence[tuple[int, str, datetime]], *, source: str, by: str, now: datetime
) -> int:
    """Keeps movements (device, pallet, when it happened). How many devices stand elsewhere by them."""
    if not rows:
        return 0
    ids = sorted({number for number, _, _ in rows})
    await conn.execute(_SQL.hold, ids)
    await conn.execute(_SQL.begin, ids, source, now, by)
    columns = [list(column) for column in zip(*rows, strict=True)]
    await conn.execute(_SQL.move, *columns, source, now, by)
    return len(await conn.fetch(_DEVICES.place_moved, ids))


async def withdraw(conn: Connection, source: str) -> int:
    """The movements that this source told did not happen. How many devices stand elsewhere again."""
    rows = await conn.fetch(_SQL.withdraw, source)
    ids = sorted({row["device_id"] for row in rows})
    await conn.execute(_SQL.hold, ids)
    return len(await conn.fetch(_DEVICES.place_moved, ids))


async def on_pallets(conn: Connection, pallets: Sequence[str], at: datetime | None) -> dict[int, str]:
    """The devices that stood on these SSCCs at that moment (None: stand there now), each with its SSCC."""
    rows = await conn.fetch(_SQL.on_pallets, pallets, at)
    return {row["device_id"]: row["pallet"] for row in rows}


async def history(conn: Connection, device_id: int) -> list[Where]:
    """Where a device was, latest first; nothing for one that never moved."""
    return [Where(**row) for row in await conn.fetch(_SQL.history, device_id)]


async def _named(conn: Connection, move: _Read) -> tuple[list[int], list[str]]:
    found = await devices(conn, move.names)
    ids = set(found.values())
    if move.pallet:
        ids.update(await on_pallets(conn, [move.pallet], move.at))
    return sorted(ids), [name.text for name in move.names if name not in found]


def _read(moves: Sequence[Move], now: datetime) -> list[_Read]:
    flaws: list[Flaw] = []
    read = [_read_one(move, f"/moves/{place}", now, flaws) for place, move in enumerate(moves)]
    if flaws:
        raise Invalid(
            f"{len(flaws)} thing(s) in the moves cannot be right; nothing was moved.",
            "moves-wrong",
            tuple(flaws[:_MOST_LISTED]),
        )
    return read


def _read_one(move: Move, place: str, now: datetime, flaws: list[Flaw]) -> _Read:
    at = move.at or now
    if at.tzinfo is None:
        flaws.append(Flaw("The moment has no zone; it would end in Z or +01:00.", f"{place}/at"))
    elif at > now:
        flaws.append(Flaw("The moment has not come yet; a movement is what has happened.", f"{place}/at"))
    if not (move.imeis or move.serials or move.pallet):
        sentence = (
            "The move names no devices; it would name imeis, serials, or the pallet that they stood on."
        )
        flaws.append(Flaw(sentence, place))
    return _Read(
        names=named(move.imeis, move.serials, place, flaws),
        to=_sscc(move.to, f"{place}/to", flaws),
        pallet=_sscc(move.pallet, f"{place}/pallet", flaws),
        at=at,
    )


def _sscc(value: str, place: str, flaws: list[Flaw]) -> str:
    try:
        return gs1.sscc(value) if value else ""
    except gs1.BadKey as error:
        flaws.append(Flaw(str(error), place, error.code))
        return ""
