"""Receipts over HTTP: the list of them, what became of each, and its rejected rows as they came."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from app.access.roles import Principal
from app.api.goods_in import submit
from app.api.notes import Notes
from app.core.reach import Sight
from app.devices import receipts
from app.devices.receipts import FindingKind, Receipt, ReceiptKind, Verdict
from app.devices.rejects import RejectFormat, file_of


class ReceiptPage(msgspec.Struct, frozen=True):
    """The newest receipts first; `next` is the cursor of the next page, null on the last."""

    receipts: list[Receipt]
    next: str | None


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


Limit = Annotated[int, QueryParameter(ge=1, le=10_000, description="The most items on a page.")]
Cursor = Annotated[
    int,
    QueryParameter(ge=0, le=2**62, name="cursor", description="`next` of the page before; 0 for the first."),
]


@get("/", operation_id="listReceipts", summary="List receipts")
async def search(
    *,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    supplier: Annotated[str | None, QueryParameter(description="Only those of this supplier.")] = None,
    kind: Annotated[ReceiptKind | None, QueryParameter(description="Only those of this kind.")] = None,
    limit: Limit = 100,
    before: Cursor = 0,
) -> ReceiptPage:
    """What came in, by file, by request and by event."""
    async with sight.acquire() as conn:
        found = await receipts.latest(
            conn, actor, before=before or None, supplier=supplier, kind=kind, limit=limit
        )
    return ReceiptPage(found, str(found[-1].receipt_id) if len(found) == limit else None)


@get("/{receipt_id:int}", operation_id="readReceipt", summary="Read a receipt")
async def one(
    receipt_id: FromPath[int], actor: NamedDependency[Principal], sight: NamedDependency[Sight]
) -> Receipt:
    async with sight.acquire() as conn:
        return await receipts.find_receipt(conn, actor, receipt_id)


@get("/{receipt_id:int}/rejections", operation_id="listRejections", summary="Why rows were rejected")
async def rejections(
    receipt_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    limit: Limit = 1000,
    after: Cursor = 0,
) -> Rejections:
    """Line, value, code and sentence of each rejected row; a row with several flaws has several."""
    return Rejections(*await _findings(sight, actor, receipt_id, FindingKind.REJECTION, after, limit))


@get(
    "/{receipt_id:int}/warnings",
    operation_id="listWarnings",
    summary="What looked odd and was registered all the same",
)
async def warnings(
    receipt_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    limit: Limit = 1000,
    after: Cursor = 0,
) -> Findings:
    return Findings(*await _findings(sight, actor, receipt_id, FindingKind.WARNING, after, limit))


@get("/{receipt_id:int}/updates", operation_id="listUpdates", summary="What rows have set that was left open")
async def updates(
    receipt_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    limit: Limit = 1000,
    after: Cursor = 0,
) -> Findings:
    """Devices that were registered already and of which a row filled in more. That announced devices have
    arrived is counted in the receipt, and listed here only where they came to another pallet or site."""
    return Findings(*await _findings(sight, actor, receipt_id, FindingKind.UPDATE, after, limit))


async def _findings(
    sight: Sight, actor: Principal, receipt_id: int, kind: FindingKind, after: int, limit: int
) -> tuple[int, list[Verdict], str | None]:
    async with sight.acquire() as conn:
        found = await receipts.findings(conn, actor, receipt_id, kind, after=after, limit=limit)
    return receipt_id, found, str(found[-1].finding) if len(found) == limit else None


_TYPES = {
    RejectFormat.CSV: "text/csv",
    RejectFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    RejectFormat.NDJSON: "application/x-ndjson",
}


@get(
    "/{receipt_id:int}/rejects",
    operation_id="downloadRejects",
    summary="The rejected rows, to be fixed and sent again",
    opt=Notes(answer=_TYPES[RejectFormat.CSV], or_else=tuple(_TYPES.values())[1:]).opt,
)
async def rejects(
    receipt_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    format: Annotated[
        RejectFormat | None,
        QueryParameter(description="Of a table `csv` or `xlsx`, of JSON objects `ndjson`; else as it came."),
    ] = None,
) -> Stream:
    """The rows as they came, with two columns more, `reject_code` and `reject_sentence`, under the header of the
    file; those of a dispatch advice under `imei`, `serial`, `gtin`, `pallet` and so on. A CSV has the delimiter of the
    file; in an XLSX, the default where the file was one, every cell is text, so Excel leaves it as it is. Rows that
    were JSON objects are given back as NDJSON with two fields more. Sent again, the two are not read."""
    async with sight.acquire() as conn:
        file = await file_of(conn, actor, receipt_id, format)
    name = f'attachment; filename="receipt-{receipt_id}-rejects.{file.format}"'
    return Stream(file.parts(sight), media_type=_TYPES[file.format], headers={"Content-Disposition": name})


router = Router(
    "/v1/receipts",
    route_handlers=[submit, search, one, rejections, warnings, updates, rejects],
    tags=["Goods-in"],
)
