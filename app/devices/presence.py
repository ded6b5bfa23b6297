"""Whether devices are where they should be: seen at a site, or seen to leave it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.core.db import Connection
from app.core.sql import queries
from app.devices.moves import on_pallets

_SQL = queries("devices")
_MOVES = queries("moves")


async def left(
    conn: Connection, keys: Sequence[int], serials: Sequence[str], pallets: Sequence[str], at: datetime
) -> None:
    """These devices, and all that stood on these pallets, left their site."""
    await conn.execute(_SQL.leave, await _all(conn, keys, serials, pallets, at), at)


async def seen(
    conn: Connection, keys: Sequence[int], serials: Sequence[str], pallets: Sequence[str], at: datetime
) -> None:
    """These devices, and all that stood on these pallets, were seen at a site."""
    await conn.execute(_SQL.see, await _all(conn, keys, serials, pallets, at), at)


async def numbers(conn: Connection, keys: Sequence[int], serials: Sequence[str]) -> dict[int | str, int]:
    """The devices of these IMEIs and serials; what nobody registered is not among them."""
    rows = await conn.fetch(_MOVES.named, keys, serials)
    return {row["serial"] if row["key"] is None else row["key"]: row["device_id"] for row in rows}


async def _all(
    conn: Connection, keys: Sequence[int], serials: Sequence[str], pallets: Sequence[str], at: datetime
) -> list[int]:
    ids = set((await numbers(conn, keys, serials)).values())
    return sorted(ids.union(await on_pallets(conn, pallets, at)))
