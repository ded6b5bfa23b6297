"""A decision turned into work: chunks of identifiers, and one delivery of each chunk for every partner in
scope, all in the transaction of the decision itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from app.adapters.contract import Op
from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("delivery")
_LANES = queries("lanes")
_PARTNERS = queries("partners")


class Command(msgspec.Struct, frozen=True):
    """One decision: what to tell, and on whose word. Of an incident, or (enrolment) of a receipt. `again`: it was
    decided before, and is told once more."""

    op: Op
    at: datetime
    by: str
    incident_id: int | None = None
    receipt_id: int | None = None
    again: bool = False


async def order(
    conn: Connection,
    command: Command,
    keys: Sequence[int],
    versions: Sequence[int],
    *,
    only: Sequence[int] | None = None,
) -> int | None:
    """Queues the identifiers, each at its version, for every partner in scope, or those of them among `only`. The
    command's number, or None where there was nothing to tell."""
    if not keys:
        return None
    number: int = await conn.fetchval(
        _SQL.add_command,
        command.op,
        command.incident_id,
        command.receipt_id,
        len(keys),
        command.at,
        command.by,
        command.again,
    )
    added = await conn.fetch(_SQL.enqueue, number, command.op, keys, versions, only, command.again)
    partners, lanes = [row["partner_id"] for row in added], [row["lane"] for row in added]
    await conn.execute(_LANES.wake, partners, lanes, [row["chunks"] for row in added])
    return number


async def somebody_enrols(conn: Connection) -> bool:
    """Whether any partner wants devices enrolled at goods-in."""
    answer: bool = await conn.fetchval(_PARTNERS.has_enrolling)
    return answer
