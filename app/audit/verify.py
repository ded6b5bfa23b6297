"""Verifies the log: derives everything again from the stored bytes, and trusts no hash that it finds.

What a log without outside witnesses cannot show: that somebody rewrote all of it, checkpoints included, or
changed or removed an entry before it was sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import asyncpg
import msgspec

from app.audit.merkle import Frontier, leaf_hash
from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("audit")
_PAGE = 5_000


class Report(msgspec.Struct, frozen=True):
    """The verdict: what the log holds, the tree hash derived over it (hex), and its first fault, if any."""

    entries: int
    sealed: int
    pending: int
    checkpoints: int
    root: str
    fault: str | None


async def verify(conn: Connection, on_progress: Callable[[int, int], None] | None = None) -> Report:
    """Reads the whole log in constant memory; `on_progress` hears how many leaves of how many are done.

    RuntimeError outside a REPEATABLE READ transaction: a sealer at work meanwhile would look like a fault.
    """
    await _require_snapshot(conn)
    entries, sealed, pending, checkpoints = (await conn.fetch(_SQL.counts))[0]
    walk = _Walk()
    leaves = await conn.cursor(_SQL.leaves)
    while rows := await leaves.fetch(_PAGE):
        ends = await conn.fetch(_SQL.checkpoints_between, walk.tree.size, walk.tree.size + len(rows))
        claimed = {end["size"]: end["root"] for end in ends}
        for row in rows:
            walk.step(row, claimed)
        if on_progress:
            on_progress(walk.tree.size, sealed)
    fault = walk.fault or await _entry_fault(conn) or walk.loose_fault() or await _head_fault(conn, walk.tree)
    return Report(entries, sealed, pending, checkpoints, walk.tree.root().hex(), fault)


async def _require_snapshot(conn: Connection) -> None:
    isolation = await conn.fetchval(_SQL.isolation)
    if not conn.is_in_transaction() or isolation not in ("repeatable read", "serializable"):
        raise RuntimeError("verify reads one snapshot: open a transaction with isolation='repeatable_read'")


class _Walk:
    """One pass over the leaves in order, each with its entry's body, and the roots that checkpoints claim."""

    def __init__(self) -> None:
        self.tree = Frontier()
        self.fault: str | None = None
        self.proven = 0
        self.loose: tuple[int, int] | None = None

    def step(self, row: asyncpg.Record, claimed: Mapping[int, bytes]) -> None:
        seq, entry_id, stored, body = row
        leaf = stored if body is None else leaf_hash(body.encode())
        if self.fault is None and (seq != self.tree.size or leaf != stored or body is None):
            self.fault = _leaf_fault(self.tree.size, seq, entry_id, body)
        self.tree.append(leaf)
        if self.tree.size in claimed:
            self._hold_against(claimed[self.tree.size], seq, entry_id)
        elif self.loose is None:
            self.loose = (seq, entry_id)

    def _hold_against(self, claimed: bytes, seq: int, entry_id: int) -> None:
        derived = self.tree.root()
        if self.fault is None and derived != claimed:
            self.fault = (
                f"The checkpoint of size {seq + 1} (last leaf {seq}, entry {entry_id}) does not fit its "
                f"leaves: its root is {claimed.hex()} and they give {derived.hex()}. Either the checkpoint "
                f"was changed, or one of the leaves {self.proven} to {seq} was moved, added or replaced."
            )
        self.proven, self.loose = seq + 1, None

    def loose_fault(self) -> str | None:
        if self.loose is None:
            return None
        return (
            f"Leaf {self.loose[0]} (entry {self.loose[1]}) lies beyond the last checkpoint, whose size is "
            f"{self.proven}: the sealer did not put it there, or the checkpoint was removed."
        )


def _leaf_fault(wanted: int, seq: int, entry_id: int, body: str | None) -> str:
    if seq != wanted:
        return f"Leaf {wanted} is missing: leaf {seq} (entry {entry_id}) stands in its place."
    if body is None:
        return f"Leaf {seq} belongs to entry {entry_id}, which does not exist: the entry was deleted."
    return (
        f"Leaf {seq} (entry {entry_id}) is not the hash of the entry's body: "
        "the body or the leaf was changed after sealing."
    )


async def _entry_fault(conn: Connection) -> str | None:
    """Every entry is either pending or sealed, and sealed once."""
    stray = await conn.fetchrow(_SQL.stray)
    if stray is not None:
        return f"Entry {stray['entry_id']} {_stray_fault(stray)}."
    twice = await conn.fetchrow(_SQL.sealed_twice)
    if twice is not None:
        return (
            f"Entry {twice['entry_id']} is sealed twice, as the leaves {twice['first']} and {twice['last']}."
        )
    return None


def _stray_fault(stray: asyncpg.Record) -> str:
    if not stray["written"]:
        return "waits to be sealed and does not exist: the entry was deleted"
    if stray["seq"] is None:
        return "is neither sealed nor pending: its leaf was removed, or it was kept from the sealer"
    return f"is pending although it is sealed as leaf {stray['seq']}: it would be sealed twice"


async def _head_fault(conn: Connection, tree: Frontier) -> str | None:
    """Checkpoints end where the leaves end, and the sealer stands there too."""
    size = await conn.fetchval(_SQL.checkpoint_outside, tree.size)
    if size is not None:
        return f"The checkpoint of size {size} has no leaves to stand on: the log has {tree.size}."
    head = await conn.fetchrow(_SQL.head)
    if head is None:
        return "The sealer's head is gone: its row was deleted, and nothing can be sealed."
    if head["size"] != tree.size or head["frontier"] != tree.roots:
        return (
            f"The sealer's head (size {head['size']}) does not fit the {tree.size} leaves: "
            "it was changed, or leaves or checkpoints at the end were."
        )
    return None
