"""The times for which an identifier was blocked. Tells no incident: those that blocked it at once are one block."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.blocklist.standing import REASONS, ReasonClass, Standing, Status
from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("blocklist")


class Block(msgspec.Struct, frozen=True):
    """From when, until when (None: it still is), and why."""

    since: datetime
    until: datetime | None
    reason: ReasonClass


async def blocks(conn: Connection, key: int, standing: Standing) -> list[Block]:
    """All blocks of an identifier, the oldest first, as of its standing: a block is the last of them, and without an
    end, exactly if it stands there."""
    rows = await conn.fetch(_SQL.past_blocks, [key])
    past = [Block(row["since"], row["until"], REASONS[row["kind"]]) for row in rows]
    if standing.status is not Status.BLOCKED or standing.since is None or standing.reason is None:
        return past
    # What has ended since the standing was read is told by the next answer.
    before = [block for block in past if block.since < standing.since]
    return [*before, Block(standing.since, None, standing.reason)]
