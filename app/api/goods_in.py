"""Goods-in over HTTP: a file comes in. The body is spooled to disk first, so no transaction waits for a slow
client."""

from __future__ import annotations

import tempfile
from datetime import datetime
from typing import Annotated, BinaryIO

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.once import Once
from app.api.problems import AnyRequest, NotTaken
from app.core.config import Settings
from app.core.db import Connection
from app.core.errors import TooLarge
from app.devices import mappings, register
from app.devices.incoming import opened, turn
from app.devices.intake import Format, guess, read_defaults
from app.devices.receipts import Goods, Receipt, Terms


class ReceiptAnswer(Receipt, frozen=True, kw_only=True):
    """What a submission came to, and where it says why."""

    rejections_url: str
    rejects_url: str
    warnings_url: str
    updates_url: str


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
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
    site: Annotated[str, QueryParameter(description="The site of rows that name none.")] = "",
    owner: Annotated[str, QueryParameter(description="The owner of rows that name none.")] = "",
    currency: Annotated[
        str, QueryParameter(description="The currency, in three letters, of unit values that have none.")
    ] = "",
    filename: Annotated[
        str, QueryParameter(description="Tells the format where the content type does not.")
    ] = "",
    supplier: Annotated[
        str,
        QueryParameter(
            description="Who sends it: its usual size, and its mapping of columns.", max_length=200
        ),
    ] = "",
    mapping: Annotated[
        str, QueryParameter(description="The stored mapping by which its columns are read.", max_length=200)
    ] = "",
    kind: Annotated[
        Goods, QueryParameter(description="An announcement is of goods on their way; they arrive later.")
    ] = Goods.ARRIVAL,
    declared: Annotated[
        int | None, QueryParameter(description="How many rows it should hold.", ge=0, le=2**31 - 1)
    ] = None,
    confirm: Annotated[
        int,
        QueryParameter(
            description="Up to how many rows are wanted, where that is unusual.", ge=0, le=2**31 - 1
        ),
    ] = 0,
) -> Response[ReceiptAnswer]:
    """CSV (`text/csv`), NDJSON (`application/x-ndjson`) or `{"devices": […]}`. Valid rows are registered
    although others are not; the same submission sent again changes nothing. `site`, `owner` and `currency`
    stand in where a row names none."""
    actor.require(Permission.RECEIPTS_WRITE)
    defaults = read_defaults(site=site, owner=owner, currency=currency)
    with tempfile.TemporaryFile() as spool:
        form = await _spool(request, spool, filename, settings)
        terms = Terms(f"api:{form}", await body.digest(request), kind, supplier.strip(), declared, confirm)

        async def work(conn: Connection) -> ReceiptAnswer:
            columns = await mappings.chosen(conn, actor, name=mapping, supplier=terms.supplier, own={})
            async with opened(spool, form, defaults, columns) as incoming:
                return _answer(await register.register(conn, actor, incoming, terms, now=now))

        async with turn(spool):
            return await once(work, location=_url, also=register.MET_ANOTHER)


async def _spool(request: AnyRequest, spool: BinaryIO, filename: str, settings: Settings) -> Format:
    """The format of the body, which is on the spool then."""
    sent_as = request.headers.get("content-type", "")
    if sent_as.lower().startswith("multipart/"):
        text = "The body is a form; it would be the file itself, with its content type: text/csv, for one."
        raise NotTaken(text, "body-form", {"Accept": "text/csv, application/x-ndjson, application/json"})
    async for part in body.stream(request, settings.max_upload):
        spool.write(part)
    size = spool.tell()
    spool.seek(0)
    form = guess(filename, sent_as, spool.read(4096))
    if form is Format.JSON and size > settings.max_body:
        raise TooLarge(
            f"A JSON document may have {settings.max_body:,} bytes; as NDJSON or CSV it may be larger.",
            "body-too-large",
        )
    return form


def _url(receipt: Receipt) -> str:
    return f"/v1/receipts/{receipt.receipt_id}"


def _answer(receipt: Receipt) -> ReceiptAnswer:
    url = _url(receipt)
    return ReceiptAnswer(
        **msgspec.structs.asdict(receipt),
        rejections_url=f"{url}/rejections",
        rejects_url=f"{url}/rejects",
        warnings_url=f"{url}/warnings",
        updates_url=f"{url}/updates",
    )
