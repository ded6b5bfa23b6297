"""Turns: what tells of the same pallet, or is told twice, is carried out one after another.

An event that empties a pallet must see what was put on it by another that is under way, whichever comes first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("turns")
_TURNS = 256


async def take(conn: Connection, names: Iterable[str]) -> None:
    """Waits until nobody else who took the turn of one of these names (SSCCs, identities of events) is under way,
    and has it until the transaction ends. Some names share a turn. Who takes turns twice may have to run again."""
    turns = sorted({zlib.crc32(name.encode()) % _TURNS for name in names})
    if turns:
        await conn.execute(_SQL.take, turns)
