"""The audit log over HTTP."""

from __future__ import annotations

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from app.access.roles import Permission, Principal
from app.api.notes import Notes
from app.api.receipts import Cursor, Limit
from app.audit import read
from app.audit.read import Checkpoint, StoredEntry
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


router = Router("/v1/audit", route_handlers=[entries, checkpoint], tags=["Audit"])
