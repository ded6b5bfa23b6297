"""Verifies the log: derives everything again from the stored bytes, and trusts no hash that it finds.

Whoever owns the database and not the log's key cannot rewrite what was sealed: the signed checkpoints tell. That an
older copy of the whole was put in its place, only a checkpoint can tell that was kept elsewhere (a witness has one).
What nothing tells is that an entry was changed or removed before it was sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import asyncpg
import msgspec

from app.audit import checkpoint, note
from app.audit.checkpoint import Head
from app.audit.merkle import Frontier, leaf_hash, root
from app.audit.note import Verifier
from app.audit.seal import LEVELS, TILE
from app.core.db import Connection
from app.core.errors import Invalid
from app.core.sql import queries

_SQL = queries("audit")
_PAGE = 5_000


class Report(msgspec.Struct, frozen=True):
    """The verdict: what the log holds, the tree hash derived over it (hex), how many of its checkpoints bear a
    signature that was checked, and its first fault, if any."""

    entries: int
    sealed: int
    pending: int
    checkpoints: int
    root: str
    fault: str | None
    signed: int = 0


async def verify(
    conn: Connection,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    known: Sequence[Verifier] = (),
    outside: Sequence[Head] = (),
) -> Report:
    """Reads the whole log in constant memory; `on_progress` hears how many leaves of how many are done.

    With `known`, the keys that the log was ever signed with, every signature is checked; `outside` are heads of this
    log that were kept elsewhere, and are believed. RuntimeError outside a REPEATABLE READ transaction: a sealer at work
    meanwhile would look like a fault.
    """
    await _require_snapshot(conn)
    entries, sealed, pending, checkpoints = (await conn.fetch(_SQL.counts))[0]
    walk = _Walk(known, outside)
    leaves = await conn.cursor(_SQL.leaves)
    while rows := await leaves.fetch(_PAGE):
        ends = await conn.fetch(_SQL.checkpoints_between, walk.tree.size, walk.tree.size + len(rows))
        claimed = {end["size"]: end for end in ends}
        for row in rows:
            walk.step(row, claimed)
        if on_progress:
            on_progress(walk.tree.size, sealed)
    fault = walk.fault or await _entry_fault(conn) or walk.loose_fault() or await _head_fault(conn, walk.tree)
    fault = fault or await _node_fault(conn, walk.tiles) or walk.end_fault()
    return Report(entries, sealed, pending, checkpoints, walk.tree.root().hex(), fault, walk.signed)


async def _require_snapshot(conn: Connection) -> None:
    isolation = await conn.fetchval(_SQL.isolation)
    if not conn.is_in_transaction() or isolation not in ("repeatable read", "serializable"):
        raise RuntimeError("verify reads one snapshot: open a transaction with isolation='repeatable_read'")


class _Walk:
    """One pass over the leaves in order, each with its entry's body, and the checkpoints that stand on them."""

    def __init__(self, known: Sequence[Verifier], outside: Sequence[Head]) -> None:
        self.tree = Frontier()
        self.fault: str | None = None
        self.proven = 0
        self.loose: tuple[int, int] | None = None
        self.tiles: list[bytes] = []
        self.signed = 0
        self._tile: list[bytes] = []
        self._known = known
        self._outside = {head.size: head for head in outside}

    def step(self, row: asyncpg.Record, claimed: Mapping[int, asyncpg.Record]) -> None:
        seq, entry_id, stored, body = row
        leaf = stored if body is None else leaf_hash(body.encode())
        if self.fault is None and (seq != self.tree.size or leaf != stored or body is None):
            self.fault = _leaf_fault(self.tree.size, seq, entry_id, body)
        self._grow(leaf)
        if end := claimed.get(self.tree.size):
            self._hold_against(end, seq, entry_id)
        elif self.loose is None:
            self.loose = (seq, entry_id)
        if (head := self._outside.get(self.tree.size)) and head.root != self.tree.root():
            self.fault = self.fault or _rewritten(head, self.tree.root())

    def _grow(self, leaf: bytes) -> None:
        self.tree.append(leaf)
        self._tile.append(leaf)
        if len(self._tile) == TILE:
            self.tiles.append(root(self._tile))
            self._tile = []

    def _hold_against(self, end: asyncpg.Record, seq: int, entry_id: int) -> None:
        claimed, derived = end["root"], self.tree.root()
        if self.fault is None and derived != claimed:
            self.fault = (
                f"The checkpoint of size {seq + 1} (last leaf {seq}, entry {entry_id}) does not fit its "
                f"leaves: its root is {claimed.hex()} and they give {derived.hex()}. Either the checkpoint "
                f"was changed, or one of the leaves {self.proven} to {seq} was moved, added or replaced."
            )
        self.fault = self.fault or self._signature_fault(end["note"], derived)
        self.proven, self.loose = seq + 1, None

    def _signature_fault(self, written: str | None, derived: bytes) -> str | None:
        size = self.tree.size
        if not self._known:
            return None
        if written is None:
            return (
                f"The checkpoint of size {size} is not signed, and one before it is." if self.signed else None
            )
        try:
            opened, _ = note.opened(written, self._known)
            head = checkpoint.read(opened.text)
        except Invalid as error:
            return f"The checkpoint of size {size} is not ours: {error.detail}"
        self.signed += 1
        if (head.size, head.root) != (size, derived):
            return f"The checkpoint of size {size} bears the signature of another, of size {head.size}."
        return None

    def end_fault(self) -> str | None:
        """Whether a head from elsewhere is of a longer log."""
        longest = max(self._outside, default=0)
        if longest <= self.tree.size:
            return None
        return (
            f"The log has {self.tree.size} leaves, and a checkpoint that was kept elsewhere has {longest}: its end was"
            " cut off, or an older copy of it was put in its place."
        )

    def loose_fault(self) -> str | None:
        if self.loose is None:
            return None
        return (
            f"Leaf {self.loose[0]} (entry {self.loose[1]}) lies beyond the last checkpoint, whose size is "
            f"{self.proven}: the sealer did not put it there, or the checkpoint was removed."
        )


def _rewritten(head: Head, derived: bytes) -> str:
    return (
        f"The checkpoint of size {head.size} that was kept elsewhere has the root {head.root.hex()}, and the first"
        f" {head.size} leaves give {derived.hex()}: one of them was changed since, and all checkpoints after it anew."
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


async def _node_fault(conn: Connection, tiles: Sequence[bytes]) -> str | None:
    """Subtrees have the hashes that their leaves give; the sealer may be behind with them, and never ahead."""
    wanted = tiles
    for level in range(1, LEVELS + 1):
        for place, row in enumerate(await conn.fetch(_SQL.nodes, level)):
            if row["number"] != place or place >= len(wanted) or row["hash"] != wanted[place]:
                return (
                    f"The hash over subtree {row['number']} of level {level} is not what its leaves give: it was"
                    " changed, added, or one before it was removed."
                )
        wanted = [root(wanted[at : at + TILE]) for at in range(0, len(wanted) - TILE + 1, TILE)]
    return None
