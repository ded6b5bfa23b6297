"""The sealer: gives entries their order, hashes them into the tree and sets a checkpoint.

There is one at a time: whoever holds the row of audit_head. Its work is one transaction of the caller, so a
crash leaves everything as it was. An entry is taken from audit_pending, never by position, so one that
commits late with a low id is sealed late and never missed.
"""

from __future__ import annotations

from datetime import datetime

from app.audit.merkle import Frontier, leaf_hash
from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("audit")


async def seal(conn: Connection, now: datetime, limit: int = 10_000) -> int:
    """Seals up to `limit` pending entries under one checkpoint; says how many. 0 if another is sealing."""
    head = await conn.fetchrow(_SQL.lock_head)
    if head is None:
        return 0
    taken = await conn.fetch(_SQL.take_pending, limit)
    if taken:
        hashes = [leaf_hash(row["body"].encode()) for row in taken]
        frontier = Frontier(head["size"], head["frontier"])
        for leaf in hashes:
            frontier.append(leaf)
        await conn.execute(_SQL.append_leaves, head["size"], [row["entry_id"] for row in taken], hashes)
        await conn.execute(_SQL.move_head, frontier.size, frontier.roots)
        await conn.execute(_SQL.set_checkpoint, frontier.size, frontier.root(), now)
    return len(taken)
