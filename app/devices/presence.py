"""Whether devices are where they should be: seen at a site, or seen to leave it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.core.db import Connection
from app.core.sql import queries
from app.devices.moves import on_pallets
from app.devices.naming import Name, devices

_SQL = queries("devices")


async def left(conn: Connection, names: Sequence[Name], pallets: Sequence[str], at: datetime) -> None:
    """These devices, and all that stood on these pallets and in their cartons, left their site."""
    await conn.execute(_SQL.leave, await _all(conn, names, pallets, at), at)


async def seen(conn: Connection, names: Sequence[Name], pallets: Sequence[str], at: datetime) -> None:
    """These devices, and all that stood on these pallets and in their cartons, were seen at a site."""
    await conn.execute(_SQL.see, await _all(conn, names, pallets, at), at)


async def _all(conn: Connection, names: Sequence[Name], pallets: Sequence[str], at: datetime) -> list[int]:
    ids = set((await devices(conn, names)).values())
    return sorted(ids.union(await on_pallets(conn, pallets, at)))
