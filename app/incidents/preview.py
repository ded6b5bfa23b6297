"""What an incident would do, shown before anybody decides: devices, identifiers, value, by pallet, brand and
model, what is unknown, and what other incidents hold already."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from app.core.db import Connection
from app.core.sql import queries
from app.incidents.scope import Unknown

_SQL = queries("incidents")


class OnPallet(msgspec.Struct, frozen=True):
    """Devices by the pallet that the scope names, with those in its cartons; by the SSCC on which they stand, where
    they are named otherwise."""

    pallet: str
    devices: int
    identifiers: int


class OfBrand(msgspec.Struct, frozen=True):
    """Devices of one brand, as their TAC is known now; '' for those of which none is known."""

    brand: str
    devices: int
    identifiers: int


class OfModel(msgspec.Struct, frozen=True, kw_only=True):
    """Devices of one model: the registered one, else that of their TAC, else the TAC (or GTIN) itself. The brand is
    that of the TAC, '' where it is not known."""

    brand: str = ""
    model: str
    devices: int


class Worth(msgspec.Struct, frozen=True):
    """The sum of the registered unit values in one currency, and how many devices have none."""

    currency: str
    amount: Decimal
    devices: int
    unvalued: int


class HeldBy(msgspec.Struct, frozen=True):
    """Another incident that holds (or would hold) some of the same identifiers."""

    incident_id: int
    title: str
    state: str
    identifiers: int


class Sold(msgspec.Struct, frozen=True):
    """Devices that the scope names and that were sold to customers: left out and not blocked, unless `included`.
    `first`: some of their identifiers."""

    devices: int = 0
    identifiers: int = 0
    first: list[str] = []
    included: bool = False


class SparedOne(msgspec.Struct, frozen=True):
    """A golden identifier, and why it is never blocked."""

    imei: str
    why: str


class Spared(msgspec.Struct, frozen=True):
    """Registered devices with a golden identifier, and golden identifiers that nobody registered: never blocked, so
    left out. `first`: some of the golden ones."""

    devices: int = 0
    identifiers: int = 0
    first: list[SparedOne] = []


class Caution(msgspec.Struct, frozen=True):
    """Something unlike the usual. Where `acknowledge` is true, it cannot be submitted before somebody says that it is
    meant so, by its `code`: size, sites, owners, away, unvalued, sold, golden."""

    code: str
    detail: str
    acknowledge: bool


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of what the scope comes to, without what is left out (`sold`, `spared`). `identifiers` = `imeis` +
    `serials`, unknown ones included; lists are of registered devices. `as_of`: what the pallets held at this moment;
    null: when the preview was made."""

    devices: int
    identifiers: int
    imeis: int
    serials: int
    by_pallet: list[OnPallet]
    by_brand: list[OfBrand] = []
    by_model: list[OfModel]
    value: list[Worth]
    unknown: Unknown
    claimed_elsewhere: list[HeldBy]
    as_of: datetime | None = None
    sold: Sold = Sold()
    spared: Spared = Spared()
    warnings: list[Caution] = []


async def preview(
    conn: Connection, unknown: Unknown, as_of: datetime | None, incident_id: int | None = None
) -> Preview:
    """Reads the transaction's resolved scope."""
    await conn.execute(_SQL.forget_tacs)
    await conn.execute(_SQL.look_up_tacs)
    totals = await conn.fetchrow(_SQL.preview_totals)
    assert totals is not None
    to_come = 0 if incident_id or unknown.left_out else len(unknown.serials)
    serials = totals["serials"] + to_come
    return Preview(
        devices=totals["devices"],
        identifiers=totals["imeis"] + serials,
        imeis=totals["imeis"],
        serials=serials,
        by_pallet=[OnPallet(**row) for row in await conn.fetch(_SQL.preview_pallets)],
        by_brand=[OfBrand(**row) for row in await conn.fetch(_SQL.preview_brands)],
        by_model=[OfModel(**row) for row in await conn.fetch(_SQL.preview_models)],
        value=[Worth(**row) for row in await conn.fetch(_SQL.preview_value)],
        unknown=unknown,
        claimed_elsewhere=[HeldBy(**row) for row in await conn.fetch(_SQL.preview_claimed, incident_id)],
        as_of=as_of,
    )
