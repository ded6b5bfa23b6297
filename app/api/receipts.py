"""Goods-in over HTTP. The body is spooled to disk first, so no transaction waits for a slow client."""

from __future__ import annotations

import hashlib
import tempfile
from datetime import datetime
from typing import Annotated, Any, BinaryIO

import asyncpg
import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from app.access.roles import Permission, Principal
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import TooLarge
from app.devices import register
from app.devices.intake import Defaults, guess, read
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


@post("/", summary="Register devices", request_max_body_size=None)
async def submit(
    request: Request[Any, Any, Any],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
    site: FromQuery[str] = "",
    owner: FromQuery[str] = "",
    currency: FromQuery[str] = "",
    filename: FromQuery[str] = "",
) -> Response[ReceiptAnswer]:
    """CSV (`text/csv`), NDJSON (`application/x-ndjson`) or `{"devices":[…]}`. Valid rows are registered
    although others are not; the same submission sent again changes nothing. `site`, `owner` and `currency`
    stand in where a row names none."""
    actor.require(Permission.RECEIPTS_WRITE)
    with tempfile.TemporaryFile() as spool:
        digest = await _spool(request, spool, settings.max_upload)
        form = guess(filename, request.headers.get("content-type", ""), spool.read(4096))
        defaults = Defaults(site=site, owner=owner, currency=currency)

        async def work(conn: Connection) -> Receipt:
            spool.seek(0)
            rows = read(spool, form, defaults)
            return await register.register(conn, actor, rows, source=f"api:{form}", digest=digest, now=now)

        receipt = await register_again(pool, work)
    return Response(_answer(receipt), status_code=201, headers={"Location": f"/v1/receipts/{receipt.receipt_id}"})


async def register_again(pool: Pool, work: Any) -> Receipt:
    """Runs a registration, again where another one has just registered one of the same devices."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(asyncpg.UniqueViolationError),
        stop=stop_after_attempt(5),
        wait=wait_random(0.05, 0.5),
        reraise=True,
    )
    receipt: Receipt = await retrying(transaction, pool, work)
    return receipt


async def _spool(request: Request[Any, Any, Any], spool: BinaryIO, limit: int) -> bytes:
    digest, size = hashlib.sha256(), 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge(
                f"The submission is larger than {limit:,} bytes; split it, or raise IMEI_GATEWAY_MAX_UPLOAD.",
                "body-too-large",
            )
        digest.update(part)
        spool.write(part)
    spool.seek(0)
    return digest.digest()


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


@get("/{receipt_id:int}", summary="Read a receipt")
async def one(
    receipt_id: FromPath[int], actor: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> Receipt:
    async with pool.acquire(timeout=10) as conn:
        return await register.find_receipt(conn, actor, receipt_id)


Limit = Annotated[int, QueryParameter(ge=1, le=10_000, description="The most items on a page.")]
Cursor = Annotated[
    int, QueryParameter(ge=0, le=2**62, name="cursor", description="`next` of the page before; 0 for the first.")
]


@get("/{receipt_id:int}/rejections", summary="Why rows were rejected")
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


@get("/{receipt_id:int}/warnings", summary="What looked odd and was registered all the same")
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
