"""Receipts: the entries of an incident, and of what one partner was told of it, each with its proof (tlog-proof)."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from app.access.roles import Permission, Principal
from app.audit import tiles
from app.audit.tiles import Proven
from app.core.db import Connection
from app.core.errors import Conflict
from app.core.sql import queries
from app.incidents import incident

_SQL = queries("evidence")


class Place(NamedTuple):
    """An entry and its leaf; None before it is sealed."""

    entry_id: int
    seq: int | None


async def page(
    conn: Connection, actor: Principal, incident_id: int, partner_id: int | None, *, after: int, limit: int
) -> list[Proven]:
    """The next entries beyond entry `after`; the proof of one that is not under a signed checkpoint yet is None. Wants
    a snapshot. Raises Missing, Forbidden."""
    actor.require(Permission.EVIDENCE_READ)
    await incident.find(conn, actor, incident_id)
    rows = await conn.fetch(_SQL.page, incident_id, partner_id, after, limit)
    return await tiles.prove(conn, [row["entry_id"] for row in rows])


async def places(conn: Connection, incident_id: int, partner_id: int | None) -> list[Place]:
    """Where they stand in the log, by their numbers."""
    return [Place(*row) for row in await conn.fetch(_SQL.entries, incident_id, partner_id)]


async def head(conn: Connection, found: list[Place]) -> asyncpg.Record:
    """The checkpoint that a pack of these entries stands under: the first that is over all that are sealed, so
    it is the same as long as nothing is added. Raises Conflict where none is signed."""
    last = max((one.seq for one in found if one.seq is not None), default=-1)
    row = await conn.fetchrow(_SQL.head, last)
    if row is None:
        raise Conflict(
            "Nothing of this is under a signed checkpoint yet: a worker with IMEI_GATEWAY_AUDIT_KEY or"
            " IMEI_GATEWAY_AUDIT_KEY_FILE signs one within seconds. 'imei-gateway audit new-key' makes a key.",
            "not-sealed",
        )
    return row
