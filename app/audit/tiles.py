"""The tree as others fetch it (C2SP tlog-tiles), and proofs made of it.

A tile is 256 hashes of one level in a row; level l + 1 holds the roots over full tiles of level l. What no tile holds
is hashed from one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import asyncpg
import msgspec

from app.audit import proof
from app.audit.merkle import root
from app.audit.proof import Span
from app.audit.seal import LEVELS, TILE
from app.core.db import Connection
from app.core.errors import Conflict, Missing
from app.core.sql import queries

ENTRIES = "entries"
"""Where a level would stand in the path of a bundle of entries."""
_PATH = re.compile(
    r"(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<number>(?:x[0-9]{3}/){0,4}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
_PROOF = "c2sp.org/tlog-proof@v1"

_SQL = queries("audit")


class Tile(NamedTuple):
    """Which tile: its level (None: the entries below level 0), number, and how many of its 256 there are."""

    level: int | None
    number: int
    width: int


class Proven(msgspec.Struct, frozen=True):
    """An entry with the proof that the log holds it: what stands in the log, byte for byte, and a tlog-proof, which a
    signed checkpoint ends. `proof` is null where the entry is not under a signed checkpoint yet."""

    entry_id: int
    body: str
    proof: str | None


def named(path: str) -> Tile:
    """The tile of a path such as `0/x001/234.p/56`. Raises Missing for what cannot be one."""
    match = _PATH.fullmatch(path)
    width = int(match["width"] or TILE) if match else 0
    if match is None or (match["width"] and width >= TILE):
        raise Missing("There is no such tile; one looks like /audit/tile/0/x001/234.p/56.", "tile-missing")
    number = int(match["number"].replace("x", "").replace("/", ""))
    return Tile(None if match["level"] == ENTRIES else int(match["level"]), number, width)


async def tile(conn: Connection, asked: Tile) -> bytes:
    """The hashes of a tile, or the entries, each after its length in two bytes. Raises Missing where the log is not so
    long."""
    first = asked.number * TILE
    if asked.level is None:
        rows = await conn.fetch(_SQL.bodies, first, asked.width)
        parts = [_counted(row["body"].encode()) for row in rows]
    elif asked.level > LEVELS or first > 2**62:
        parts = []
    else:
        rows = await conn.fetch(_SQL.hashes, [asked.level], [first], [asked.width])
        parts = [row["hash"] for row in rows]
    if len(parts) < asked.width:
        raise Missing("The log is not so long yet; its checkpoint says how long it is.", "tile-missing")
    return b"".join(parts)


def _counted(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


async def prove(conn: Connection, entry_ids: Sequence[int]) -> list[Proven]:
    """Entries by their numbers, each with its proof under the newest checkpoint that witnesses have signed, or else
    under the newest, in the caller's snapshot; those that are not there are left out."""
    heads = [
        row for row in (await conn.fetchrow(_SQL.last_witnessed), await conn.fetchrow(_SQL.last_note)) if row
    ]
    rows = await conn.fetch(_SQL.places, entry_ids)
    under = {row["entry_id"]: _first_over(heads, row["seq"]) for row in rows}
    paths = {
        row["entry_id"]: proof.inclusion(row["seq"], head["size"])
        for row in rows
        if (head := under[row["entry_id"]])
    }
    hash_of = await _hashes(conn, [span for path in paths.values() for span in path])

    def written(row: asyncpg.Record) -> str | None:
        head = under[row["entry_id"]]
        return _written(row["seq"], map(hash_of, paths[row["entry_id"]]), head["note"]) if head else None

    return [Proven(row["entry_id"], row["body"], written(row)) for row in rows]


class Path(NamedTuple):
    """An entry as it stands in the log, its leaf's number, and the hashes that prove it, from the leaf up."""

    entry_id: int
    body: str
    seq: int
    hashes: list[bytes]


async def paths(conn: Connection, entry_ids: Sequence[int], size: int) -> list[Path]:
    """Entries with their proofs under the tree of `size` leaves, which all of them are in. ValueError."""
    rows = await conn.fetch(_SQL.places, entry_ids)
    spans = [proof.inclusion(row["seq"], size) for row in rows]
    hash_of = await _hashes(conn, [span for path in spans for span in path])
    return [
        Path(row["entry_id"], row["body"], row["seq"], [hash_of(span) for span in path])
        for row, path in zip(rows, spans, strict=True)
    ]


def _first_over(heads: Sequence[asyncpg.Record], seq: int | None) -> asyncpg.Record | None:
    return next((head for head in heads if seq is not None and seq < head["size"]), None)


async def proven(conn: Connection, entry_id: int) -> Proven:
    """One entry with its proof. Raises Missing, and Conflict (`not-sealed`) where it has none yet."""
    found = await prove(conn, [entry_id])
    if not found:
        raise Missing(f"There is no entry {entry_id}.", "entry-missing")
    if found[0].proof is None:
        raise Conflict(
            f"Entry {entry_id} is not under a signed checkpoint yet: a worker with a key sets one within seconds.",
            "not-sealed",
        )
    return found[0]


async def grown(conn: Connection, old: int, size: int) -> list[bytes]:
    """The proof that the log of `size` leaves begins with that of `old`. ValueError."""
    spans = proof.consistency(old, size)
    hash_of = await _hashes(conn, spans)
    return [hash_of(span) for span in spans]


def _written(index: int, path: Iterable[bytes], checkpoint: str) -> str:
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in path)
    return f"{_PROOF}\nindex {index}\n{hashes}\n{checkpoint}"


async def _hashes(conn: Connection, spans: Iterable[Span]) -> Callable[[Span], bytes]:
    """The tree hashes of parts of the tree, from as few stored hashes as there can be."""
    ranges = sorted({_stored(part) for span in set(spans) for part in proof.full(span)})
    columns = [list(column) for column in zip(*ranges, strict=True)] or [[], [], []]
    rows = await conn.fetch(_SQL.hashes, *columns)
    stored = {(row["level"], row["number"]): row["hash"] for row in rows}

    def full(part: Span) -> bytes:
        level, first, width = _stored(part)
        return root([stored[level, number] for number in range(first, first + width)])

    return lambda span: proof.hashed(span, full)


def _stored(part: Span) -> tuple[int, int, int]:
    """The hashes that a full subtree is over, at the highest level that has any: level, first and how many."""
    width = part.end - part.start
    level = (width.bit_length() - 1) // 8
    return level, part.start // TILE**level, width // TILE**level
