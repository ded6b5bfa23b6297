"""The audit log as any reader of transparency logs fetches it (C2SP tlog-tiles)."""

from __future__ import annotations

from litestar import MediaType, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access.roles import Permission, Principal
from app.api.notes import Notes
from app.audit import read, tiles
from app.core.db import Pool

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_UNSIGNED = "Nothing has been sealed and signed yet."


@get(
    "/checkpoint",
    operation_id="readSignedCheckpoint",
    summary="The signed head of the audit log",
    opt=Notes(needs=Permission.AUDIT_READ, answer="text/plain", missing=_UNSIGNED).opt,
)
async def checkpoint(actor: NamedDependency[Principal], pool: NamedDependency[Pool]) -> Response[str]:
    """A C2SP checkpoint: the log's name, its size and the base64 of its RFC 6962 tree hash, signed by the log and by
    the witnesses that have seen it."""
    actor.require(Permission.AUDIT_READ)
    async with pool.acquire(timeout=10) as conn:
        written = await read.note(conn)
    return Response(written, media_type=MediaType.TEXT, headers={"Cache-Control": "no-store"})


@get(
    "/tile/{place:path}",
    operation_id="readTile",
    summary="A tile of the audit log's tree",
    opt=Notes(
        needs=Permission.AUDIT_READ,
        answer="application/octet-stream",
        missing="There is no such tile, or the log is not so long yet.",
    ).opt,
)
async def tile(
    place: FromPath[str], actor: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> Response[bytes]:
    """`<level>/<number>` or, of a tile that is not full, `<level>/<number>.p/<width>`; the number in groups of three
    digits, all but the last with an x before: `0/x001/234.p/56`. 32 bytes for each hash. With `entries` for a level:
    the entries below, each after its length in two bytes."""
    actor.require(Permission.AUDIT_READ)
    asked = tiles.named(place.lstrip("/"))
    async with pool.acquire(timeout=10) as conn:
        content = await tiles.tile(conn, asked)
    return Response(content, media_type="application/octet-stream", headers=_FOR_EVER)


router = Router("/audit", route_handlers=[checkpoint, tile], tags=["Audit"])
