"""Finds devices: by IMEI, serial, pallet or receipt, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core import clock, gs1, imei
from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.core.sql import queries
from app.devices import nesting
from app.devices.moves import on_pallets
from app.devices.naming import by_serial, by_sscc
from app.devices.tac import brands

_SQL = queries("find")
_MOST_NOTED = 100
_STATUS = ("clear", "suspect", "blocked")
_OUTERMOST = "The pallet that bears its pallet now, as a carton's; `pallet` itself where that stands on none."
_LEFT = "When it, or its pallet, was last told to leave a site: shipping, departing or loading in EPCIS."
_SOLD = "When it was sold to a customer; null while it is not sold, and after it came back."
_ERASED = "When it was forgotten whose it was, where it stood and how it came."
_SEEN = (
    "When it, or its pallet, was last told to be at a site: counted or inspected in EPCIS, received with its pallet, or"
    " observed on it."
)


class Device(msgspec.Struct, frozen=True):
    """One registered unit. `status` is blocked or suspect as soon as one of its identifiers is; `brand` is that of
    its TAC as it is known now, '' where it is not. `left_at` and `seen_at` are the latest times that EPCIS events
    tell, in whatever order they came, and null where none tells one."""

    id: int
    imeis: list[str]
    serial: str
    gtin: str
    pallet: str
    outermost: Annotated[str, msgspec.Meta(description=_OUTERMOST)]
    site: str
    owner: str
    brand: str
    model: str
    unit_value: Decimal | None
    currency: str
    receipt_id: int
    registered_at: datetime
    arrived: bool
    """False: it was announced, and has not been seen yet."""
    sold_at: Annotated[datetime | None, msgspec.Meta(description=_SOLD)]
    erased_at: Annotated[datetime | None, msgspec.Meta(description=_ERASED)]
    left_at: Annotated[datetime | None, msgspec.Meta(description=_LEFT)]
    seen_at: Annotated[datetime | None, msgspec.Meta(description=_SEEN)]
    status: str


class Wanted(msgspec.Struct, frozen=True):
    """What to look for: exactly one of the first four."""

    imei: str | None = None
    serial: str | None = None
    """As it is, or with its GTIN: (01)…(21)…"""
    pallet: str | None = None
    receipt: int | None = None
    at: datetime | None = None
    """Only with a pallet: what it held at that moment, on what stood on it too."""


async def find(
    conn: Connection, actor: Principal, wanted: Wanted, *, after: int, limit: int, now: datetime
) -> list[Device]:
    """A page of devices after device number `after`. That somebody read whose sold devices are is on the record. Raises
    Invalid, Forbidden."""
    actor.require(Permission.DEVICES_READ)
    query, value = await _query(conn, wanted)
    rows = await conn.fetch(query, value, after, limit)
    await _note_read(conn, actor, rows, now)
    outermost = await nesting.outermost(conn, (row["pallet"] for row in rows))
    keys = [key for row in rows for key in row["keys"]]
    status = {row["key"]: row["status"] for row in await conn.fetch(_SQL.standings, keys)}
    brand = await brands(conn, [row["keys"] for row in rows])
    return [
        _device(row, status, one, outermost.get(row["pallet"], ""))
        for row, one in zip(rows, brand, strict=True)
    ]


async def _note_read(
    conn: Connection, actor: Principal, rows: Sequence[asyncpg.Record], now: datetime
) -> None:
    """One entry for all of them, by their numbers."""
    ids = [row["device_id"] for row in rows if row["sold_at"] is not None and row["erased_at"] is None]
    if ids:
        detail = {"count": len(ids), "devices": ids[:_MOST_NOTED]}
        await record(conn, [Entry("personal.read", "devices", actor.label, now, detail)])


async def _query(conn: Connection, wanted: Wanted) -> tuple[str, object]:
    named = [field for field in ("imei", "serial", "pallet", "receipt") if getattr(wanted, field) is not None]
    if len(named) != 1:
        raise Invalid("Say what to look for: exactly one of imei, serial, pallet, receipt.", "one-filter")
    if wanted.at is not None and (wanted.pallet is None or wanted.at.tzinfo is None):
        sentence = "A moment goes with a pallet only, and has a zone, as in 2026-12-22T02:00:00Z."
        raise Invalid(sentence, "moment-alone")
    if wanted.at is not None and not clock.is_possible(wanted.at):
        sentence = f"The moment cannot be right; {clock.POSSIBLE}."
        raise Invalid(sentence, "time-impossible", (Flaw(sentence, "at", "time-impossible"),))
    if wanted.imei is not None:
        return _SQL.by_key, _key(wanted.imei)
    if wanted.pallet is not None:
        return _SQL.by_number, list(await on_pallets(conn, [by_sscc(wanted.pallet)], wanted.at))
    return _by_serial(wanted.serial) if wanted.serial is not None else (_SQL.by_receipt, wanted.receipt)


def _by_serial(text: str) -> tuple[str, object]:
    try:
        name = by_serial(text)
    except gs1.BadKey as error:
        raise Invalid(str(error), error.code) from None
    return (_SQL.by_unit, [name.serial, name.gtin]) if name.gtin else (_SQL.by_serial, name.serial)


async def called(conn: Connection, actor: Principal, name: str, *, limit: int, now: datetime) -> list[Device]:
    """The first devices that this may name: by an IMEI, and by a serial, for one may look like the other. Raises
    Invalid, Forbidden."""
    ways = [Wanted(serial=name), *([Wanted(imei=name)] if imei.asked(name) is not None else [])]
    found = [await find(conn, actor, way, after=0, limit=limit, now=now) for way in ways]
    return list({device.id: device for page in found for device in page}.values())


async def count_on(conn: Connection, actor: Principal, pallet: str, at: datetime | None) -> int:
    """How many devices stood on a pallet at that moment (None: stand on it now). Raises Invalid, Forbidden."""
    actor.require(Permission.DEVICES_READ)
    return len(await on_pallets(conn, [by_sscc(pallet)], at))


def _key(value: str) -> int:
    key = imei.asked(value)
    if key is None:
        raise Invalid(
            f"'{imei.shown(value)}' is not an IMEI; it would be 14, 15 or 16 digits.", "imei-malformed"
        )
    return key


def _device(row: asyncpg.Record, status: dict[int, int], brand: str, outermost: str) -> Device:
    keys: Sequence[int] = row["keys"]
    return Device(
        id=row["device_id"],
        imeis=[imei.full(key) for key in keys if key >= 0],
        status=_STATUS[max(status.get(key, 0) for key in keys)],
        arrived=row["arrived_in"] is not None,
        brand=brand,
        outermost=outermost,
        **{field: row[field] for field in Device.__struct_fields__ if field in row},
    )


async def count(conn: Connection) -> int:
    """How many devices are registered."""
    number: int = await conn.fetchval(_SQL.count)
    return number
