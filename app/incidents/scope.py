"""What an incident is about: pallets, receipts, IMEIs and serials, and the identifiers they come to.

Nothing is dropped silently: what nobody registered is listed, and counted in all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from app.core import gs1, imei
from app.core.clock import AHEAD
from app.core.db import Connection
from app.core.errors import Flaw, Invalid, told
from app.core.reach import Reach
from app.core.sql import queries
from app.devices import nesting
from app.devices.moves import on_pallets
from app.devices.naming import Name, by_serial, devices, number_unknown

_SQL = queries("incidents")
_MOST_FLAWS = 1000
_SERIALS = "serial numbers; where devices share one, with its GTIN: (01)09521234543213(21)ABC123"
_Read = TypeVar("_Read")
Number = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is named, as people name it: SSCCs, receipt numbers, IMEIs of 15 digits, serials."""

    pallets: Annotated[tuple[str, ...], msgspec.Meta(description="SSCCs of 18 digits")] = ()
    receipts: Annotated[tuple[Number, ...], msgspec.Meta(description="numbers of receipts")] = ()
    imeis: Annotated[tuple[str, ...], msgspec.Meta(description="IMEIs of 15 digits")] = ()
    serials: Annotated[tuple[str, ...], msgspec.Meta(description=_SERIALS)] = ()
    as_of: Annotated[
        Annotated[datetime, msgspec.Meta(tz=True)] | None,
        msgspec.Meta(description="what the pallets held at this moment; without it, what they hold now"),
    ] = None


class Named(msgspec.Struct, frozen=True):
    """A scope that was read: every name in its normal form, none twice."""

    pallets: list[str]
    receipts: list[int]
    keys: list[int]
    serials: list[Name]
    as_of: datetime | None
    registered_only: bool = False
    """What nobody registered is left out: it may be somebody else's."""


class Unknown(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the scope names and nobody registered, and pallets that held nothing. IMEIs and serials are declared
    all the same, unless they are `left_out`: whoever may declare the goods of some owners or sites alone declares
    registered devices alone."""

    imeis: list[str]
    serials: list[str]
    pallets: list[str]
    receipts: list[int]
    left_out: bool = False


async def named(scope: Scope, now: datetime, reach: Reach | None = None) -> Named:
    """`read`, beside the event loop: a million names take seconds, and others ask meanwhile. As somebody means it
    whose reach this is."""
    found = await asyncio.to_thread(read, scope, now)
    return msgspec.structs.replace(found, registered_only=reach is not None)


def read(scope: Scope, now: datetime) -> Named:
    """The scope in normal form. Raises Invalid: empty, a moment that has not come, or every name that cannot be
    right, each with its place."""
    flaws: list[Flaw] = []
    if scope.as_of and scope.as_of > now + AHEAD:
        detail = f"At {scope.as_of.isoformat()} no pallet has held anything yet; it would be a moment that has come."
        flaws.append(Flaw(detail, "/scope/as_of", "moment-to-come"))
    named = Named(
        pallets=_each(scope.pallets, gs1.sscc, "pallets", flaws),
        receipts=sorted(set(scope.receipts)),
        keys=_each(scope.imeis, imei.written, "imeis", flaws),
        serials=_each(scope.serials, by_serial, "serials", flaws),
        as_of=scope.as_of,
    )
    if flaws:
        raise Invalid(_sentence(flaws), "scope-flaws", tuple(flaws[:_MOST_FLAWS]))
    if not (named.pallets or named.receipts or named.keys or named.serials):
        raise Invalid(
            "The scope is empty; it would name at least one of pallets, receipts, imeis, serials.",
            "scope-empty",
            (Flaw("at least one name is wanted", "/scope"),),
        )
    return named


def _sentence(flaws: Sequence[Flaw]) -> str:
    more = f" The first {_MOST_FLAWS:,} are listed." if len(flaws) > _MOST_FLAWS else ""
    return told(flaws, "The scope holds {} things that cannot be right.") + f" Nothing was done.{more}"


def _each(
    values: Sequence[str], reader: Callable[[str], _Read], field: str, flaws: list[Flaw]
) -> list[_Read]:
    known: dict[_Read, None] = {}
    for place, value in enumerate(values):
        try:
            known[reader(value)] = None
        except (imei.BadImei, gs1.BadKey) as error:
            flaws.append(Flaw(str(error), f"/scope/{field}/{place}", error.code))
    return list(known)


async def resolve(conn: Connection, named: Named) -> Unknown:
    """Fills the transaction's table `scoped` with every identifier of every device named, and with the
    IMEIs that nobody registered; gives what is unknown. Raises Invalid where a serial means several devices."""
    await conn.execute(_SQL.open_scope)
    await conn.execute(_SQL.clear_scope)
    stood = await on_pallets(conn, named.pallets, named.as_of)
    found = await devices(conn, named.serials)
    await conn.execute(
        _SQL.fill_scope, list(stood), list(stood.values()), named.receipts, named.keys, list(found.values())
    )
    unknown_imeis = _SQL.unknown_imeis if named.registered_only else _SQL.fill_unknown_imeis
    keys = await conn.fetch(unknown_imeis, named.keys)
    receipts = await conn.fetch(_SQL.unknown_receipts, named.receipts)
    return Unknown(
        imeis=await asyncio.to_thread(lambda: sorted(imei.full(row["key"]) for row in keys)),
        serials=sorted(name.text for name in named.serials if name not in found),
        pallets=await _empty(conn, named, set(stood.values())),
        receipts=[row["receipt_id"] for row in receipts],
        left_out=named.registered_only,
    )


async def resolve_and_hold(conn: Connection, named: Named) -> Unknown:
    """The same, and until the transaction ends no device of the scope gets further IMEIs: a goods-in file that is
    under way may know more of them."""
    unknown = await resolve(conn, named)
    await conn.execute(_SQL.hold_scoped)
    return await resolve(conn, named) if await conn.fetchval(_SQL.outgrown) else unknown


async def _empty(conn: Connection, named: Named, holding: set[str]) -> list[str]:
    """The pallets that held no device: neither on themselves nor on another that stood on them."""
    empty = set(named.pallets) - holding
    if empty:
        empty.difference_update((await nesting.above(conn, holding, named.as_of)).values())
    return sorted(empty)


def serial_columns(names: Sequence[Name]) -> tuple[list[str], list[str]]:
    """Serials and GTINs, in step."""
    return [name.serial for name in names], [name.gtin for name in names]


async def freeze(conn: Connection, unknown: Unknown) -> list[int]:
    """The keys of all that the scope names, in order; serials that nobody registered get theirs now, unless they are
    left out."""
    serials = () if unknown.left_out else unknown.serials
    columns = serial_columns([by_serial(text) for text in serials])
    await number_unknown(conn, *columns)
    await conn.execute(_SQL.fill_serials, *columns)
    keys: list[int] = await conn.fetchval(_SQL.scope_keys)
    return keys
