"""Brand and model by TAC over HTTP: the user's file is imported, and what is known is read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from app.access.roles import Permission, Principal
from app.api import upload
from app.api.notes import Notes
from app.api.once import Once
from app.api.problems import AnyRequest
from app.api.receipts import Cursor, Limit
from app.core.config import Settings
from app.core.db import Connection, Pool
from app.devices import tac
from app.devices.tac import FindingVerdict, Tac, TacFinding, TacImport
from app.devices.tac_file import read

_SOURCE = (
    "Whose data these are, such as `osmocom`; without it, the name of the file's form: osmocom, gsma or csv."
)
_REPLACE = "Whether this file wins where another source says otherwise."


class TacImportAnswer(TacImport, frozen=True):
    """What an import came to: lines = imported + unchanged + updated + rejected."""

    findings_url: str


class TacFindings(msgspec.Struct, frozen=True):
    """A page of findings; `next` is the cursor of the next page, null on the last."""

    import_id: int
    findings: list[TacFinding]
    next: str | None


class TacPage(msgspec.Struct, frozen=True):
    """A page of TACs; `next` is the cursor of the next page, null on the last."""

    tacs: list[Tac]
    next: str | None


@post(
    "/",
    operation_id="importTacs",
    summary="Import a TAC database",
    request_max_body_size=None,
    opt=Notes(body=True, headers=(upload.HEADER,)).opt,
)
async def submit(
    *,
    request: AnyRequest,
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
    source: Annotated[str, QueryParameter(description=_SOURCE)] = "",
    replace: Annotated[bool, QueryParameter(description=_REPLACE)] = False,
) -> Response[TacImportAnswer]:
    """A file of your own, recognised by its content: Osmocom's TAC DB (CSV), the GSMA's device database (with
    pipes), or a CSV with the header `tac,brand,model`; as the body, or as the one file of a form, which may hold
    `source` and `replace` too. A source may correct what it said itself; what another source says is kept, and
    only what it leaves empty is filled, unless `replace` is true. The same file again changes nothing. Orders
    that were given to partners stand as they are."""
    actor.require(Permission.TACS_WRITE)
    async with upload.opened() as spool:
        sent = await upload.spooled(request, spool, settings.max_upload)
        said: dict[str, Any] = {"source": source, "replace": replace} | sent.said

        async def work(conn: Connection) -> TacImportAnswer:
            spool.seek(0)
            done = await tac.import_tacs(conn, actor, read(spool), **said, digest=sent.digest, now=now)
            return _answer(done)

        return await once(work, location=lambda done: f"/v1/tacs/imports/{done.import_id}")


def _answer(done: TacImport) -> TacImportAnswer:
    fields = {name: getattr(done, name) for name in TacImport.__struct_fields__}
    return TacImportAnswer(**fields, findings_url=f"/v1/tacs/imports/{done.import_id}/findings")


@get("/", operation_id="findTacs", summary="Find TACs")
async def search(
    *,
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    wanted: Annotated[
        str | None, QueryParameter(name="tac", description="8 digits, or an IMEI of 14 to 16.")
    ] = None,
    brand: FromQuery[str | None] = None,
    limit: Limit = 1000,
    after: Cursor = 0,
) -> TacPage:
    """All that are known, those of a `brand` (in any case), or one `tac`."""
    tacs = None if wanted is None else [tac.asked(wanted)]
    async with pool.acquire(timeout=10) as conn:
        found = await tac.known(
            conn, actor, tacs=tacs, brand=brand, after=min(after, tac.LARGEST), limit=limit
        )
    return TacPage(found, str(int(found[-1].tac)) if len(found) == limit else None)


@get("/imports/{import_id:int}", operation_id="readTacImport", summary="Read an import of TACs")
async def one(
    import_id: FromPath[int], actor: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> TacImportAnswer:
    async with pool.acquire(timeout=10) as conn:
        return _answer(await tac.find_import(conn, actor, import_id))


@get(
    "/imports/{import_id:int}/findings",
    operation_id="listTacFindings",
    summary="What an import rejected, changed or found odd",
)
async def findings(
    *,
    import_id: FromPath[int],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    verdict: Annotated[FindingVerdict | None, QueryParameter(description="Only those.")] = None,
    limit: Limit = 1000,
    after: Cursor = 0,
) -> TacFindings:
    """Line, value, code and sentence of each line that was rejected, that changed what was known, or that has a
    warning."""
    async with pool.acquire(timeout=10) as conn:
        found = await tac.findings(conn, actor, import_id, verdict=verdict, after=after, limit=limit)
    return TacFindings(import_id, found, str(found[-1].finding) if len(found) == limit else None)


router = Router("/v1/tacs", route_handlers=[submit, search, one, findings], tags=["Brands"])
