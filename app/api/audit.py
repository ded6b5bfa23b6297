"""The audit log over HTTP."""

from __future__ import annotations

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.access.roles import Permission, Principal
from app.api.notes import Notes
from app.api.receipts import Cursor, Limit
from app.audit import read, tiles
from app.audit.read import Checkpoint, StoredEntry
from app.audit.tiles import Proven
from app.core.db import Pool
from app.core.errors import Missing


class EntryPage(msgspec.Struct, frozen=True):
    """Entries by number; `next` is the cursor of the next page, null on the last."""

    entries: list[StoredEntry]
    next: str | None


@get("/entries", operation_id="listEntries", summary="Read the audit log")
async def entries(
    *,
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    subject: FromQuery[str | None] = None,
    kind: FromQuery[str | None] = None,
    limit: Limit = 100,
    after: Cursor = 0,
) -> EntryPage:
    """All of it, or what concerns one `subject` (`incident:7`, `partner:2`, `receipt:9`), or is of one
    `kind`."""
    actor.require(Permission.AUDIT_READ)
    async with pool.acquire(timeout=10) as conn:
        found = await read.entries(conn, after=after, limit=limit, subject=subject, kind=kind)
    return EntryPage(found, str(found[-1].entry_id) if len(found) == limit else None)


@get(
    "/checkpoint",
    operation_id="readCheckpoint",
    summary="The head of the audit log",
    opt=Notes(missing="Nothing has been sealed yet.").opt,
)
async def checkpoint(actor: NamedDependency[Principal], pool: NamedDependency[Pool]) -> Checkpoint:
    """How many entries are sealed, and the RFC 6962 tree hash over them."""
    actor.require(Permission.AUDIT_READ)
    async with pool.acquire(timeout=10) as conn:
        found = await read.checkpoint(conn)
    if found is None:
        raise Missing(
            "Nothing has been sealed yet; a worker seals new entries within seconds.", "nothing-sealed"
        )
    return found


@get(
    "/entries/{entry_id:int}/proof",
    operation_id="proveEntry",
    summary="The proof that the audit log holds an entry",
    opt=Notes(
        needs=Permission.AUDIT_READ,
        missing="There is no such entry.",
        conflict="The entry is not under a signed checkpoint yet.",
    ).opt,
)
async def proof(
    entry_id: FromPath[int], actor: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> Proven:
    """What stands in the log, byte for byte, and a C2SP tlog-proof of it, which can be checked without us: the hash of
    the leaf is the SHA-256 of a zero byte and the body."""
    actor.require(Permission.AUDIT_READ)
    async with pool.acquire(timeout=10) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        return await tiles.proven(conn, entry_id)


router = Router("/v1/audit", route_handlers=[entries, checkpoint, proof], tags=["Audit"])
