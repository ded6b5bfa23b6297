"""Where devices are and were: movements from pallet to pallet, and what a pallet held at a moment.

Gangs relabel pallets before they leave, so a pallet's content is only true at a time. Movements may be told late
and out of order: a device stands where the latest of them, by the time it happened, has put it, unless it came off
that pallet since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core import gs1
from app.core.clock import AHEAD
from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.core.sql import queries
from app.devices import nesting, turns
from app.devices.naming import Name, devices, named

_SQL = queries("moves")
_DEVICES = queries("devices")
_MOST_LISTED = 1000

# A device, its pallet, and when it happened.
_Row: TypeAlias = tuple[int, str, datetime]


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that were put on a pallet, or (`to` is empty) taken off theirs. They are named by IMEI or serial,
    or all together by the pallet that they stood on (`pallet`), whose cartons move with what is in them. Without
    `at`: now."""

    to: Annotated[str, msgspec.Meta(description="SSCC of 18 digits; empty: off any pallet")]
    imeis: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    pallet: Annotated[str, msgspec.Meta(description="all that stood on this SSCC at that time")] = ""
    at: datetime | None = None


class Moved(msgspec.Struct, frozen=True):
    """What came of it: devices that were told of, by themselves or in a carton, those that stand elsewhere by it, and
    the names that nobody registered (the first 1,000)."""

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


class _Telling(msgspec.Struct):
    """Movements that one source tells: rows that are still to be written, their devices and their pallets; and all
    devices that moved, and cartons that stand elsewhere by it."""

    source: str
    by: str
    now: datetime
    rows: list[_Row] = []
    devices: set[int] = set()
    pallets: set[str] = set()
    moved: set[int] = set()
    cartons: set[str] = set()
    count: int = 0

    def add(self, rows: Sequence[_Row]) -> None:
        self.rows += rows
        self.devices.update(number for number, _, _ in rows)
        self.pallets.update(to for _, to, _ in rows)
        self.count += len(rows)


async def move(
    conn: Connection, actor: Principal, moves: Sequence[Move], *, source: str, now: datetime
) -> Moved:
    """Records the moves, in order. Raises Invalid with every flaw (nothing is moved then), Forbidden."""
    actor.require(Permission.RECEIPTS_WRITE)
    wanted = _read(moves, now)
    await turns.take(conn, (each.pallet for each in wanted if each.pallet))
    found = await devices(conn, list(dict.fromkeys(name for each in wanted for name in each.names)))
    telling = _Telling(source, actor.label, now)
    unknown: list[str] = []
    for each in wanted:
        ids = {found[name] for name in each.names if name in found}
        if each.pallet:
            ids.update(await _standing(conn, each, telling))
            await _carry(conn, each, telling)
        telling.add([(number, each.to, each.at) for number in sorted(ids)])
        unknown += [name.text for name in each.names if name not in found]
    await _write(conn, telling)
    elsewhere = await _place(conn, telling.moved)
    elsewhere.update(await on_pallets(conn, list(telling.cartons), None))
    changed = len(elsewhere)
    detail = {"moves": len(moves), "devices": telling.count, "changed": changed, "unknown": len(unknown)}
    await record(conn, [Entry("devices.moved", source, actor.label, now, detail)])
    return Moved(telling.count, changed, unknown[:_MOST_LISTED])


async def keep(conn: Connection, rows: Sequence[_Row], *, source: str, by: str, now: datetime) -> None:
    """Keeps movements (device, pallet, when it happened)."""
    telling = _Telling(source, by, now)
    telling.add(rows)
    await _write(conn, telling)
    await _place(conn, telling.moved)


async def take_off(
    conn: Connection, ids: Collection[int], pallet: str, at: datetime, *, source: str, by: str, now: datetime
) -> None:
    """These devices came off this pallet; those that stand elsewhere by then stay there."""
    await _begin(conn, sorted(ids), source, by, now)
    await conn.execute(_SQL.take_off, list(ids), pallet, at, source, now, by)
    await _place(conn, ids)


async def _write(conn: Connection, telling: _Telling) -> None:
    if not telling.rows:
        return
    ids = sorted(telling.devices)
    await _begin(conn, ids, telling.source, telling.by, telling.now)
    columns = [list(column) for column in zip(*telling.rows, strict=True)]
    await conn.execute(_SQL.move, *columns, telling.source, telling.now, telling.by)
    telling.moved |= telling.devices
    telling.rows, telling.devices, telling.pallets = [], set(), set()


async def _begin(conn: Connection, ids: Sequence[int], source: str, by: str, now: datetime) -> None:
    """Where these devices stood before they moved for the first time."""
    await conn.execute(_SQL.hold, ids)
    await conn.execute(_SQL.begin, ids, source, now, by)


async def _place(conn: Connection, ids: Collection[int]) -> set[int]:
    """Those of these devices that stand elsewhere than before."""
    rows = await conn.fetch(_DEVICES.place_moved, sorted(ids)) if ids else ()
    return {row["device_id"] for row in rows}


async def withdraw(conn: Connection, source: str) -> int:
    """The movements that this source told did not happen, of devices and of cartons. How many devices stand on
    another SSCC again."""
    rows = await conn.fetch(_SQL.withdraw, source)
    ids = sorted({row["device_id"] for row in rows})
    await conn.execute(_SQL.hold, ids)
    await nesting.withdraw(conn, source)
    return len(await _place(conn, ids))


async def on_pallets(conn: Connection, pallets: Sequence[str], at: datetime | None) -> dict[int, str]:
    """The devices that stood on these SSCCs at that moment (None: stand there now), or on what stood on them, to
    any depth; each with the SSCC of these that is nearest to it. In the order of their numbers."""
    rows = await conn.fetch(_SQL.on_pallets, pallets, at) if pallets else ()
    return {row["device_id"]: row["pallet"] for row in rows}


async def directly_on(conn: Connection, pallet: str, at: datetime) -> list[int]:
    """The devices that stood on this SSCC itself at that moment."""
    return [row["device_id"] for row in await conn.fetch(_SQL.directly_on, pallet, at)]


async def ever_on(conn: Connection, pallet: str, at: datetime) -> list[int]:
    """The devices that were put on this SSCC itself by then, wherever they stood at that moment."""
    return [row["device_id"] for row in await conn.fetch(_SQL.ever_on, pallet, at)]


async def history(conn: Connection, device_id: int) -> list[Where]:
    """Where a device was, latest first; nothing for one that never moved."""
    return [Where(**row) for row in await conn.fetch(_SQL.history, device_id)]


async def _standing(conn: Connection, move: _Read, telling: _Telling) -> Iterable[int]:
    """What stood on the pallet of this move, by the moves before it too: they are kept first where they touch it."""
    found = await directly_on(conn, move.pallet, move.at)
    if move.pallet in telling.pallets or not telling.devices.isdisjoint(found):
        await _write(conn, telling)
        found = await directly_on(conn, move.pallet, move.at)
    return found


async def _carry(conn: Connection, move: _Read, telling: _Telling) -> None:
    """Cartons that stood on the pallet of this move go where it says, and their devices with them."""
    cartons = [carton for carton in await nesting.standing(conn, move.pallet, move.at) if carton != move.to]
    if cartons:
        await _refuse_circle(conn, move, cartons)
        await _write(conn, telling)
        telling.count += len(await on_pallets(conn, cartons, move.at))
        rows = [(carton, move.to, move.at) for carton in cartons]
        elsewhere = await nesting.keep(conn, rows, source=telling.source, by=telling.by, now=telling.now)
        telling.cartons.update(elsewhere)


async def _refuse_circle(conn: Connection, move: _Read, cartons: Sequence[str]) -> None:
    """Nothing is moved onto what stands in it."""
    above = (await nesting.above(conn, [move.to], move.at)).values() if move.to else ()
    for carton in cartons:
        if carton in above:
            raise Invalid(
                f"Pallet {move.to} stood in carton {carton}, which the move would put on it; it would name a pallet"
                f" that did not stand on {move.pallet}.",
                "pallets-in-circle",
            )


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
    elif at > now + AHEAD:
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
