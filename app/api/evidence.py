"""Evidence over HTTP: the pack of an incident, and receipts of what was done and told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from app.access.roles import Permission, Principal
from app.api.leftovers import Untaken, closes
from app.api.notes import Notes
from app.api.problems import AnyRequest
from app.api.receipts import Cursor, Limit
from app.audit.tiles import Proven
from app.core.db import Pool
from app.evidence import proofs
from app.evidence.asked import Asked, For
from app.evidence.make import Made, Packs

_SLICE = 1 << 16
# Bytes a second, after some seconds, that a reader takes at least.
PACE, GRACE = 64 * 1024, 60.0
_ZIP = "application/zip"
_FOR = "`police`: all; `insurer`: devices and value; `partner`: what it was told; `customs`: devices and movements."


class ProofPage(msgspec.Struct, frozen=True):
    """Entries with their proofs; `next` is the cursor of the next page, null on the last."""

    proofs: list[Proven]
    next: str | None


@get(
    "/{incident_id:int}/evidence",
    operation_id="downloadEvidence",
    summary="The evidence pack of an incident",
    opt=Notes(
        needs=Permission.EVIDENCE_READ,
        answer=_ZIP,
        tagged=True,
        missing="There is no such incident, or nothing of it was told to this partner.",
        conflict="No key signs the audit log, or nothing of the incident is under a signed checkpoint yet.",
    ).opt,
)
async def pack(
    *,
    request: AnyRequest,
    incident_id: FromPath[int],
    actor: NamedDependency[Principal],
    packs: NamedDependency[Packs],
    to: Annotated[For, QueryParameter(name="for", description=_FOR)] = For.POLICE,
    partner: Annotated[
        int | None, QueryParameter(description="Which, for a pack for a partner.", ge=1)
    ] = None,
    owner: Annotated[str | None, QueryParameter(description="The devices of this owner alone.")] = None,
) -> Response[Any]:
    """A zip with a report (PDF/A), the devices, what each partner was told and answered, the entries of the audit log
    with their proofs, a signed manifest, and `verify.py`, which checks all of it offline. The same data at the same
    checkpoint is the same file, byte for byte. That it was made is on the audit log."""
    actor.require(Permission.EVIDENCE_READ)
    made = await packs.make(actor, Asked(incident_id, to, partner, owner))
    tag = f'"{made.packed.sha256}"'
    if tag in request.headers.get("if-none-match", ""):
        made.remove()
        return Response(None, status_code=304, headers={"ETag": tag})
    pieces = _pieces(made)
    closes(request.scope, pieces)
    headers = {
        "ETag": tag,
        "Content-Length": str(made.packed.size),
        "Content-Disposition": f'attachment; filename="incident-{incident_id}-{to}.zip"',
    }
    # Begun, it removes what was made however the exchange ends.
    first = await anext(pieces)
    return Stream(_after(first, pieces), media_type=_ZIP, headers=headers)


async def _after(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in pieces:
        yield piece


async def _pieces(made: Made) -> AsyncGenerator[bytes, None]:
    try:
        began, taken = time.monotonic(), 0
        with made.path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _SLICE):
                yield piece
                taken += len(piece)
                if (took := time.monotonic() - began) > GRACE + taken / PACE:
                    raise Untaken(f"{taken:,} bytes of a pack were taken in {took:.0f} s")
    finally:
        made.remove()


@get(
    "/{incident_id:int}/proofs",
    operation_id="listProofs",
    summary="Receipts of what was done: the audit entries of an incident, each with its proof",
    opt=Notes(needs=Permission.EVIDENCE_READ).opt,
)
async def of_incident(
    incident_id: FromPath[int],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    limit: Limit = 100,
    after: Cursor = 0,
) -> ProofPage:
    """Decisions and deliveries, in the order in which they were written; each `proof` is a C2SP tlog-proof, null for a
    moment until it is under a signed checkpoint."""
    return await _page(pool, actor, incident_id, None, after, limit)


@get(
    "/{incident_id:int}/deliveries/{partner_id:int}/proofs",
    operation_id="listDeliveryProofs",
    summary="Receipts of what one partner was told of an incident",
    opt=Notes(needs=Permission.EVIDENCE_READ).opt,
)
async def of_deliveries(
    *,
    incident_id: FromPath[int],
    partner_id: FromPath[int],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    limit: Limit = 100,
    after: Cursor = 0,
) -> ProofPage:
    """Each entry tells of some calls: what was told, hashes of what was sent and answered, and the outcome."""
    return await _page(pool, actor, incident_id, partner_id, after, limit)


async def _page(
    pool: Pool, actor: Principal, incident_id: int, partner_id: int | None, after: int, limit: int
) -> ProofPage:
    async with pool.acquire(timeout=10) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        found = await proofs.page(conn, actor, incident_id, partner_id, after=after, limit=limit)
    return ProofPage(found, str(found[-1].entry_id) if len(found) == limit else None)


router = Router("/v1/incidents", route_handlers=[pack, of_incident, of_deliveries], tags=["Evidence"])
