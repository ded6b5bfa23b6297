"""The block list itself: identifiers become suspect, blocked and clear as incidents claim them.

A listing names the incidents that hold it, so an identifier stays blocked until the last of them lets go. Whoever
turns listings publishes what it `told`, last in its transaction: see `feed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from heapq import merge

import asyncpg
import msgspec

from app.blocklist.feed import Told
from app.core.db import Connection
from app.core.errors import Conflict
from app.core.sql import queries

_SQL = queries("blocklist")


class Turned(msgspec.Struct, frozen=True):
    """The identifiers that became blocked (or stopped being it), each with its new version, in the same order; and
    everything that is to be published of the turn."""

    keys: list[int]
    versions: list[int]
    told: list[Told]


async def suspect(conn: Connection, incident_id: int, keys: Sequence[int], now: datetime) -> Turned:
    """A submitted incident names these identifiers."""
    return await _turn(conn, incident_id, keys, blocked=0, suspected=1, now=now)


async def acquit(conn: Connection, incident_id: int, keys: Sequence[int], now: datetime) -> Turned:
    """The submission was rejected or withdrawn."""
    return await _turn(conn, incident_id, keys, blocked=0, suspected=-1, now=now)


async def block(conn: Connection, incident_id: int, keys: Sequence[int], now: datetime) -> Turned:
    """The submission was approved: its suspects are blocked. Gives those that nobody had blocked before."""
    return await _turn(conn, incident_id, keys, blocked=1, suspected=-1, now=now)


async def release(conn: Connection, incident_id: int, keys: Sequence[int], now: datetime) -> Turned:
    """An incident lets go of these. Gives those that no other incident holds."""
    return await _turn(conn, incident_id, keys, blocked=-1, suspected=0, now=now)


def golden(incident_id: int) -> Conflict:
    """A golden identifier was among them; the database listed none of them."""
    return Conflict(
        f"An identifier of incident {incident_id} became golden meanwhile, and is never blocked; nothing was done. Do"
        " it again, and it is left out.",
        "golden",
    )


async def _turn(
    conn: Connection, incident_id: int, keys: Sequence[int], *, blocked: int, suspected: int, now: datetime
) -> Turned:
    try:
        rows = await conn.fetch(_SQL.turn, keys, blocked, suspected, now, incident_id)
    except asyncpg.CheckViolationError as error:
        raise (golden(incident_id) if error.constraint_name == "golden" else error) from None
    turned = [zip(row["keys"], row["versions"], strict=True) for row in rows if row["turned"]]
    in_order = list(merge(*turned))
    told = [Told(*(row[name] for name in Told._fields)) for row in rows if row["told"]]
    return Turned([key for key, _ in in_order], [version for _, version in in_order], told)
