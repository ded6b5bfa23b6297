"""Reads the log back as it is stored, for people and for other rooms; `verify` is what checks it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from app.core.db import Connection
from app.core.errors import Missing
from app.core.sql import queries

_SQL = queries("audit")


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry as stored: its leaf's number and hash (hex) once it is sealed, and its parsed body."""

    entry_id: int
    seq: int | None
    leaf: str | None
    body: dict[str, Any]


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of the log: how many leaves, the tree hash over them (hex), and both as a signed note; null where no key
    signs the log."""

    size: int
    root: str
    at: datetime
    note: str | None


async def entries(
    conn: Connection, *, after: int, limit: int, subject: str | None = None, kind: str | None = None
) -> list[StoredEntry]:
    """The next entries by entry_id, beyond `after` (0 for the first page).

    For pages that people read: an entry that commits late can appear behind a cursor. `seq` has no such gaps.
    """
    if subject is not None:
        rows = await conn.fetch(_SQL.entries_of_subject, after, limit, subject, kind)
    elif kind is not None:
        rows = await conn.fetch(_SQL.entries_of_kind, after, limit, kind)
    else:
        rows = await conn.fetch(_SQL.entries, after, limit)
    return [_stored(row) for row in rows]


def _stored(row: asyncpg.Record) -> StoredEntry:
    leaf = row["hash"].hex() if row["hash"] else None
    return StoredEntry(row["entry_id"], row["seq"], leaf, msgspec.json.decode(row["body"]))


async def checkpoint(conn: Connection) -> Checkpoint | None:
    """The newest checkpoint; None before anything is sealed."""
    row = await conn.fetchrow(_SQL.last_checkpoint)
    return Checkpoint(row["size"], row["root"].hex(), row["sealed_at"], row["note"]) if row else None


async def note(conn: Connection) -> str:
    """The newest checkpoint that is signed. Raises Missing."""
    row = await conn.fetchrow(_SQL.last_note)
    if row is None:
        raise Missing(
            "No checkpoint has been signed yet: a worker does it within seconds, if IMEI_GATEWAY_AUDIT_KEY or"
            " IMEI_GATEWAY_AUDIT_KEY_FILE gives it a key.",
            "nothing-signed",
        )
    return str(row["note"])
