"""Pallets on pallets: a carton stands on a pallet, and takes along what stands on it.

A device stands on the SSCC that it was put on; a nesting says on which SSCC that one stood, and from when. As with
devices, the latest by the time it happened holds, however late it was told; and what came off a pallet came off that
one only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("nesting")

# What stands, on what ('': on nothing), and when it happened.
Nesting: TypeAlias = tuple[str, str, datetime]


async def keep(
    conn: Connection, rows: Sequence[Nesting], *, source: str, by: str, now: datetime
) -> list[str]:
    """Keeps nestings. Those pallets that stand elsewhere by them."""
    if not rows:
        return []
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [row["child"] for row in await conn.fetch(_SQL.nest, *columns, source, now, by)]


async def withdraw(conn: Connection, source: str) -> None:
    """The nestings that this source told did not happen."""
    await conn.execute(_SQL.withdraw, source)


async def take_off(
    conn: Connection,
    cartons: Collection[str],
    pallet: str,
    at: datetime,
    *,
    source: str,
    by: str,
    now: datetime,
) -> None:
    """These came off this pallet; those that stand elsewhere by then stay there."""
    if cartons:
        await conn.execute(_SQL.take_off, sorted(cartons), pallet, at, source, now, by)


async def standing(conn: Connection, pallet: str, at: datetime) -> list[str]:
    """The pallets that stood on this one itself at that moment."""
    return [row["child"] for row in await conn.fetch(_SQL.standing, pallet, at)]


async def ever_on(conn: Connection, pallet: str, at: datetime) -> list[str]:
    """The pallets that were put on this one itself by then, wherever they stood at that moment."""
    return [row["child"] for row in await conn.fetch(_SQL.ever_on, pallet, at)]


async def above(conn: Connection, pallets: Collection[str], at: datetime | None) -> dict[str, str]:
    """What these pallets stood on at that moment (None: stand on now), what that stood on, and so on."""
    rows = await conn.fetch(_SQL.above, list(pallets), at)
    return {row["pallet"]: row["parent"] for row in rows}


async def outermost(conn: Connection, pallets: Iterable[str]) -> dict[str, str]:
    """For each of these the pallet that bears all of it now: itself where it stands on none."""
    asked = sorted({pallet for pallet in pallets if pallet})
    parents = await above(conn, asked, None)
    found: dict[str, str] = {}
    for pallet in asked:
        way = dict.fromkeys([pallet])
        last = pallet
        # A circle, which only a wrong event can tell of, ends before it closes.
        while last not in found and (parent := parents.get(last)) and parent not in way:
            way[parent] = None
            last = parent
        found.update(dict.fromkeys(way, found.get(last, last)))
    return found
