"""Goods-in over HTTP. The body is spooled to disk first, so no transaction waits for a slow client."""

from __future__ import annotations

import hashlib
import tempfile
from datetime import datetime
from typing import Annotated, BinaryIO

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.problems import AnyRequest, NotTaken
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import TooLarge
from app.devices import register
from app.devices.intake import Format, guess, read, read_defaults
from app.devices.register import Receipt, Verdict


class ReceiptAnswer(msgspec.Struct, frozen=True):
    """What a submission came to: rows = registered + unchanged + rejected."""

    receipt_id: int
    rows: int
    registered: int
    unchanged: int
    rejected: int
    warnings: int
    rejections_url: str
    warnings_url: str


class Findings(msgspec.Struct, frozen=True):
    """A page of findings; `next` is the cursor of the next page, null on the last."""

    receipt_id: int
    findings: list[Verdict]
    next: str | None


class Rejections(msgspec.Struct, frozen=True):
    """A page of rejections; `next` is the cursor of the next page, null on the last."""

    receipt_id: int
    rejections: list[Verdict]
    next: str | None


@post(
    "/",
    operation_id="registerDevices",
    summary="Register devices",
    request_max_body_size=None,
    opt=Notes(body=True).opt,
)
async def submit(
    *,
    request: AnyRequest,
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
    site: Annotated[str, QueryParameter(description="The site of rows that name none.")] = "",
    owner: Annotated[str, QueryParameter(description="The owner of rows that name none.")] = "",
    currency: Annotated[
        str,
        QueryParameter(
            description="The currency of unit values that name none, such as EUR; it has no default."
        ),
    ] = "",
    filename: Annotated[
        str, QueryParameter(description="Tells the format where the content type does not.")
    ] = "",
) -> Response[ReceiptAnswer]:
    """CSV (`text/csv`), NDJSON (`application/x-ndjson`) or `{"devices": […]}`. Valid rows are registered
    although others are not; the same submission sent again changes nothing. `site`, `owner` and `currency`
    stand in where a row names none."""
    actor.require(Permission.RECEIPTS_WRITE)
    defaults = read_defaults(site=site, owner=owner, currency=currency)
    with tempfile.TemporaryFile() as spool:
        form, digest = await _spool(request, spool, filename, settings)

        async def work(conn: Connection) -> Receipt:
            spool.seek(0)
            rows = read(spool, form, defaults)
            return await register.register(conn, actor, rows, source=f"api:{form}", digest=digest, now=now)

        receipt = await transaction(pool, work, also=register.MET_ANOTHER)
    return Response(
        _answer(receipt), status_code=201, headers={"Location": f"/v1/receipts/{receipt.receipt_id}"}
    )


async def _spool(
    request: AnyRequest, spool: BinaryIO, filename: str, settings: Settings
) -> tuple[Format, bytes]:
    """The format and the digest of the body, which is on the spool then."""
    sent_as = request.headers.get("content-type", "")
    if sent_as.lower().startswith("multipart/"):
        text = "The body is a form; it would be the file itself, with its content type: text/csv, for one."
        raise NotTaken(text, "body-form", {"Accept": "text/csv, application/x-ndjson, application/json"})
    digest = hashlib.sha256()
    async for part in body.stream(request, settings.max_upload):
        digest.update(part)
        spool.write(part)
    size = spool.tell()
    spool.seek(0)
    form = guess(filename, sent_as, spool.read(4096))
    if form is Format.JSON and size > settings.max_body:
        raise TooLarge(
            f"A JSON document may have {settings.max_body:,} bytes; as NDJSON or CSV it may be larger.",
            "body-too-large",
        )
    return form, digest.digest()


def _answer(receipt: Receipt) -> ReceiptAnswer:
    url = f"/v1/receipts/{receipt.receipt_id}"
    return ReceiptAnswer(
        receipt.receipt_id,
        receipt.rows,
        receipt.registered,
        receipt.unchanged,
        receipt.rejected,
        receipt.warnings,
        f"{url}/rejections",
        f"{url}/warnings",
    )


@get("/{receipt_id:int}", operation_id="readReceipt", summary="Read a receipt")
async def one(
    receipt_id: FromPath[int], actor: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> Receipt:
    async with pool.acquire(timeout=10) as conn:
        return await register.find_receipt(conn, actor, receipt_id)


Limit = Annotated[int, QueryParameter(ge=1, le=10_000, description="The most items on a page.")]
Cursor = Annotated[
    int,
    QueryParameter(ge=0, le=2**62, name="cursor", description="`next` of the page before; 0 for the first."),
]


@get("/{receipt_id:int}/rejections", operation_id="listRejections", summary="Why rows were rejected")
async def rejections(
    receipt_id: FromPath[int],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    limit: Limit = 1000,
    after: Cursor = 0,
) -> Rejections:
    """Line, value, code and sentence of each rejected row; a row with several flaws has several."""
    async with pool.acquire(timeout=10) as conn:
        found = await register.findings(conn, actor, receipt_id, rejected=True, after=after, limit=limit)
    return Rejections(receipt_id, found, _next(found, limit))


@get(
    "/{receipt_id:int}/warnings",
    operation_id="listWarnings",
    summary="What looked odd and was registered all the same",
)
async def warnings(
    receipt_id: FromPath[int],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    limit: Limit = 1000,
    after: Cursor = 0,
) -> Findings:
    async with pool.acquire(timeout=10) as conn:
        found = await register.findings(conn, actor, receipt_id, rejected=False, after=after, limit=limit)
    return Findings(receipt_id, found, _next(found, limit))


def _next(found: list[Verdict], limit: int) -> str | None:
    return str(found[-1].finding) if len(found) == limit else None


router = Router("/v1/receipts", route_handlers=[submit, one, rejections, warnings], tags=["Goods-in"])
