"""Goods-in over HTTP: a file comes in, as the body of a request or in a form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api import upload
from app.api.notes import Notes
from app.api.once import Once
from app.api.problems import AnyRequest
from app.core.config import Settings
from app.core.db import Connection
from app.core.errors import TooLarge
from app.devices import mappings, register
from app.devices.incoming import opened, turn
from app.devices.intake import Defaults, Format, guess, read_defaults
from app.devices.receipts import Receipt, ReceiptKind, Terms


class ReceiptAnswer(Receipt, frozen=True, kw_only=True):
    """What a submission came to, and where it says why."""

    rejections_url: str
    rejects_url: str
    warnings_url: str
    updates_url: str


class Said(NamedTuple):
    """What is said of a file: in the query, or in the form in which it comes."""

    site: str
    owner: str
    currency: str
    filename: str
    supplier: str
    mapping: str
    kind: ReceiptKind
    declared: int | None
    confirm: int

    def defaults(self) -> Defaults:
        return read_defaults(site=self.site, owner=self.owner, currency=self.currency)

    def terms(self, form: Format, digest: bytes) -> Terms:
        return Terms(f"api:{form}", digest, self.kind, self.supplier.strip(), self.declared, self.confirm)


@post(
    "/",
    operation_id="registerDevices",
    summary="Register devices",
    request_max_body_size=None,
    opt=Notes(body=True, headers=(upload.HEADER,), missing="There is no stored mapping of that name.").opt,
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
        ReceiptKind,
        QueryParameter(description="An announcement is of goods on their way; they arrive later."),
    ] = ReceiptKind.ARRIVAL,
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
    """CSV (`text/csv`), NDJSON (`application/x-ndjson`), `{"devices": […]}`, XLSX or an EANCOM DESADV
    (`application/edifact`), each gzipped or not; as the body, or as the one file of a form, in a part of any name.
    Valid rows are registered although others are not; the same submission sent again changes nothing. `site`,
    `owner` and `currency` stand in where a row names none.

    A form may say what the query may, in a field of the same name, but nothing twice."""
    actor.require(Permission.RECEIPTS_WRITE)
    said = Said(site, owner, currency, filename, supplier, mapping, kind, declared, confirm)
    # What is wrong in a query is told before its file comes.
    said.defaults()
    async with upload.opened() as spool:
        said, form, digest = await _spool(request, spool, said, settings)
        defaults, terms = said.defaults(), said.terms(form, digest)

        async def work(conn: Connection) -> ReceiptAnswer:
            columns = await mappings.chosen(conn, actor, name=said.mapping, supplier=terms.supplier, own={})
            async with opened(spool, form, defaults, columns) as incoming:
                with _confirmable():
                    return _answer(await register.register(conn, actor, incoming, terms, now=now))

        async with turn(spool, form):
            return await once(work, location=_url, also=register.MET_ANOTHER)


async def _spool(
    request: AnyRequest, spool: BinaryIO, said: Said, settings: Settings
) -> tuple[Said, Format, bytes]:
    """What is said of the file, in its form as well, its format and its digest; it is on the spool then."""
    sent = await upload.spooled(request, spool, settings.max_upload)
    said = said._replace(**sent.said)
    size = spool.tell()
    spool.seek(0)
    form = guess(said.filename or sent.filename, sent.sent_as, spool.read(4096))
    if form is Format.JSON and size > settings.max_body:
        raise TooLarge(
            f"A JSON document may have {settings.max_body:,} bytes; as NDJSON or CSV it may be larger.",
            "body-too-large",
        )
    return said, form, sent.digest


@contextmanager
def _confirmable() -> Iterator[None]:
    try:
        yield
    except register.Unusual as error:
        advice = "If that is right, send it again with confirm= and its number of rows."
        raise register.Unusual(f"{error.detail} {advice}", error.code) from None


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
