"""The sealer: gives entries their order, hashes them into the tree and sets a signed checkpoint.

There is one at a time: whoever holds the row of audit_head. Its work is one transaction of the caller, so a
crash leaves everything as it was. An entry is taken from audit_pending, never by position, so one that
commits late with a low id is sealed late and never missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from app.audit import note
from app.audit.checkpoint import Head
from app.audit.merkle import Frontier, leaf_hash, root
from app.audit.note import Signer
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.sql import queries

AT_ONCE = 10_000
TILE = 256
LEVELS = 7
_TILES_AT_ONCE = 64

_SQL = queries("audit")


async def seal(conn: Connection, now: datetime, limit: int = AT_ONCE, signers: Sequence[Signer] = ()) -> int:
    """Seals up to `limit` pending entries under one checkpoint, which all the signers sign; says how much it did. 0:
    there is nothing to do, or another is sealing."""
    head = await conn.fetchrow(_SQL.lock_head)
    if head is None:
        return 0
    # A log from before there were nodes gets them first: what a checkpoint says can then be proven at once.
    if filled := await _fill(conn, head["size"]):
        return filled
    await _introduce(conn, signers, now)
    taken = await conn.fetch(_SQL.take_pending, limit)
    if taken:
        frontier = await _append(conn, Frontier(head["size"], head["frontier"]), taken)
        await conn.execute(_SQL.set_checkpoint, frontier.size, frontier.root(), now, _note(frontier, signers))
        while await _fill(conn, frontier.size):
            pass
    return len(taken)


async def _append(conn: Connection, frontier: Frontier, taken: Sequence[asyncpg.Record]) -> Frontier:
    begin, hashes = frontier.size, [leaf_hash(row["body"].encode()) for row in taken]
    for leaf in hashes:
        frontier.append(leaf)
    await conn.execute(_SQL.append_leaves, begin, [row["entry_id"] for row in taken], hashes)
    await conn.execute(_SQL.move_head, frontier.size, frontier.roots)
    return frontier


def _note(frontier: Frontier, signers: Sequence[Signer]) -> str | None:
    if not signers:
        return None
    head = Head(signers[0].verifier.name, frontier.size, frontier.root())
    return note.signed(head.text(), signers)


async def _fill(conn: Connection, size: int) -> int:
    """Adds hashes of subtrees that are full and have none yet, of the lowest level that lacks any; how many."""
    for level in range(1, LEVELS + 1):
        wanted = size // TILE**level
        if not wanted:
            return 0
        there: int = await conn.fetchval(_SQL.nodes_of_level, level)
        if there < wanted:
            end = min(wanted, there + _TILES_AT_ONCE)
            below = await conn.fetch(_SQL.hashes, [level - 1], [there * TILE], [(end - there) * TILE])
            hashes = [row["hash"] for row in below]
            tiles = [root(hashes[at : at + TILE]) for at in range(0, len(hashes), TILE)]
            await conn.execute(_SQL.add_nodes, level, there, tiles)
            return len(tiles)
    return 0


async def _introduce(conn: Connection, signers: Sequence[Signer], now: datetime) -> None:
    """Who signs for the first time is told of in the log itself."""
    for one in signers:
        written = one.verifier.written()
        if await conn.fetchval(_SQL.add_verifier, written, now):
            await record(conn, [Entry("audit.key", "audit", "worker", now, {"verifier": written})])
