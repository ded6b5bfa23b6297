"""All that is held on one device, in one document: for its owner, who may ask, and for the police.

It is read from the tables of every room and changes nothing but the audit log, which tells who had it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core import imei
from app.core.db import Connection
from app.core.errors import Invalid, Missing
from app.core.imei import shown
from app.core.reach import out_of_reach
from app.core.sql import queries

_SQL = queries("privacy")
_NUMBER = re.compile(r"[0-9]{1,13}\Z")

Rows = list[dict[str, Any]]
_TOLD = "What each partner was ordered to be told of it, where that stands, and in whose words."
_CHANGES = "What those who follow the block list were told, as long as that is kept."
_ENTRIES = "What the audit log says of it; decisions on incidents are said of those."
_REJECTED = "Rows of goods-in files that name it and were not taken, as they came; the first 1,000."


class Held(msgspec.Struct, frozen=True):
    """All that is held on one device: rows of tables as they are kept, where an identifier is a key of 14 digits
    (`key`, `keys`), negative for a serial."""

    device_id: int
    as_of: datetime
    imeis: list[str]
    registered: dict[str, Any]
    receipts: Rows
    rejected: Annotated[Rows, msgspec.Meta(description=_REJECTED)]
    movements: Rows
    sales: Rows
    events: Rows
    claims: Rows
    listings: Rows
    changes: Annotated[Rows, msgspec.Meta(description=_CHANGES)]
    told: Annotated[Rows, msgspec.Meta(description=_TOLD)]
    sightings: Rows
    alerts: Rows
    entries: Annotated[Rows, msgspec.Meta(description=_ENTRIES)]


async def held(conn: Connection, actor: Principal, name: str, now: datetime) -> Held:
    """All that is held on the device of this number, or of this IMEI (14 to 16 digits). Raises Missing, Invalid,
    Forbidden. It is on the record, by the device's number."""
    actor.require(Permission.DEVICES_READ)
    actor.require(Permission.INCIDENTS_READ)
    if actor.reach is not None:
        # All of it is not within anybody's reach: what was said of it elsewhere is.
        raise out_of_reach()
    number = await _number(conn, name)
    row = await conn.fetchval(_SQL.device, number)
    if row is None:
        raise Missing(f"There is no device {shown(name)}.", "device-missing")
    found = await _gathered(conn, number, row, now)
    await record(conn, [Entry("device.exported", f"device:{number}", actor.label, now)])
    return found


async def _number(conn: Connection, name: str) -> int:
    if _NUMBER.match(name):
        return int(name)
    key = imei.asked(name)
    if key is None:
        sentence = (
            f"'{shown(name)}' names no device; it would be its number, or an IMEI of 14, 15 or 16 digits."
        )
        raise Invalid(sentence, "device-malformed")
    number: int | None = await conn.fetchval(_SQL.device_of_key, key)
    return number or 0


async def _gathered(conn: Connection, number: int, row: dict[str, Any], now: datetime) -> Held:
    keys: list[int] = row["keys"]
    imeis = [imei.full(key) for key in keys if key >= 0]
    called = [*imeis, *([row["serial"]] if row["serial"] else [])]

    async def rows(query: str, *values: object) -> Rows:
        return [record[0] for record in await conn.fetch(query, *values)]

    return Held(
        device_id=number,
        as_of=now,
        imeis=imeis,
        registered=row,
        receipts=await rows(_SQL.receipts, number),
        rejected=await rows(_SQL.rejected, called),
        movements=await rows(_SQL.movements, number),
        sales=await rows(_SQL.sales, number),
        events=await rows(_SQL.events, _in_events(keys, imeis, row["gtin"], row["serial"])),
        claims=await rows(_SQL.claims, keys),
        listings=await rows(_SQL.listings, keys),
        changes=await rows(_SQL.changes, keys),
        told=await rows(_SQL.told, keys, number),
        sightings=await rows(_SQL.sightings, keys),
        alerts=await rows(_SQL.alerts, f"device:{number}"),
        entries=await rows(_SQL.entries, f"device:{number}"),
    )


def _in_events(keys: Sequence[int], imeis: Sequence[str], gtin: str, serial: str) -> list[str]:
    """As events are found by it (`Epc.names`)."""
    names = [f"imei:{key:014d}" for key in keys if key >= 0]
    if gtin:
        names += [f"01:{gtin}:21:{number}" for number in (*imeis, *([serial] if serial else []))]
    return names
