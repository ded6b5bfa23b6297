"""The block list itself: identifiers become suspect, blocked and clear as incidents claim them.

A listing counts the claims on it, so an identifier stays blocked until the last incident lets go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("blocklist")


class Turned(msgspec.Struct, frozen=True):
    """The identifiers that became blocked (or stopped being it), each with its new version; same order."""

    keys: list[int]
    versions: list[int]


async def suspect(conn: Connection, keys: Sequence[int], now: datetime) -> None:
    """A submitted incident names these identifiers."""
    await _turn(conn, keys, blocked=0, suspected=1, now=now)


async def acquit(conn: Connection, keys: Sequence[int], now: datetime) -> None:
    """The submission was rejected or withdrawn."""
    await _turn(conn, keys, blocked=0, suspected=-1, now=now)


async def block(conn: Connection, keys: Sequence[int], now: datetime) -> Turned:
    """The submission was approved: its suspects are blocked. Gives those that nobody had blocked before."""
    return await _turn(conn, keys, blocked=1, suspected=-1, now=now)


async def release(conn: Connection, keys: Sequence[int], now: datetime) -> Turned:
    """An incident lets go of these. Gives those that no other incident holds."""
    return await _turn(conn, keys, blocked=-1, suspected=0, now=now)


async def _turn(
    conn: Connection, keys: Sequence[int], *, blocked: int, suspected: int, now: datetime
) -> Turned:
    rows = await conn.fetch(_SQL.turn, keys, blocked, suspected, now)
    turned = sorted((row["key"], row["version"]) for row in rows if row["turned"])
    return Turned([key for key, _ in turned], [version for _, version in turned])
