"""The block list as a whole, for those who keep a copy of it, and what each day changed."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from app.access.roles import Permission, Principal
from app.api import feed
from app.api.leftovers import closes
from app.api.notes import Notes
from app.api.problems import AnyRequest
from app.blocklist import export
from app.blocklist.ask import Serial
from app.blocklist.export import After, Exports, Form, Net
from app.blocklist.feed import cursor_of, head
from app.core import imei
from app.core.db import Pool
from app.core.errors import Flaw, Invalid, Missing
from app.core.gs1 import BadKey
from app.devices.naming import by_serial

_TYPES = {Form.NDJSON: "application/x-ndjson", Form.CSV: "text/csv", Form.OPERATOR: "text/csv"}
_GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE)
_SLICE = 1 << 16
# It may be kept, and is asked for with If-None-Match before each use.
_ASKED_AGAIN = {"Cache-Control": "no-cache"}
_AFTER = "To go on where a download broke off: the IMEI, or the serial as (01)…(21)…, of the last whole line."


@get(
    "/",
    operation_id="downloadBlocklist",
    summary="The whole block list",
    opt=Notes(
        needs=Permission.BLOCKLIST_READ,
        answer=_TYPES[Form.NDJSON],
        or_else=("text/csv",),
        tagged=True,
        link='What changed since (rel="changes").',
    ).opt,
)
async def download(
    request: AnyRequest,
    asker: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    exports: NamedDependency[Exports],
    format: Annotated[
        Form, QueryParameter(description="`operator`: the blocked IMEIs as `imei,block_date,reasons`.")
    ] = Form.NDJSON,
    after: Annotated[str | None, QueryParameter(description=_AFTER)] = None,
) -> Response[Any]:
    """Every identifier that is blocked or suspect, all of one moment: of IMEIs the first 14 digits, which are what is
    to be compared, in their order; then serials. The header `Link` (rel="changes") leads to what changed since. A
    download that broke off may go on with `after`: apply the changes from the **first** answer's link then, and the
    copy is right, because each change says how an identifier stands. In CSV, a serial that a spreadsheet would
    take for a formula (one that begins with = + - or @) has an apostrophe before it. Compressed where `Accept-Encoding`
    has gzip."""
    start, zipped = await _start(pool, after), bool(_GZIP.search(request.headers.get("accept-encoding", "")))
    if asked := request.headers.get("if-none-match"):
        async with pool.acquire(timeout=10) as conn:
            tag = _tag((await head(conn)).position, format, start, zipped)
        if _is_known(asked, tag):
            return Response(None, status_code=304, headers=_ASKED_AGAIN | {"ETag": tag})
    pieces = exports.read(asker.key_id, format, start)
    closes(request.scope, pieces)
    position = int(await anext(pieces))
    headers = _ASKED_AGAIN | {
        "ETag": _tag(position, format, start, zipped),
        "Link": f'</v1/blocklist/changes?cursor={cursor_of(position)}>; rel="changes"',
        "Vary": "Accept-Encoding",
        **({"Content-Encoding": "gzip"} if zipped else {}),
    }
    body = _zipped(pieces) if zipped else _plain(pieces)
    return Stream(body, media_type=_TYPES[format], headers=headers)


async def _start(pool: Pool, after: str | None) -> After:
    if after is None:
        return After()
    key = imei.asked(after)
    if key is not None:
        return After(key)
    try:
        name = by_serial(after)
    except BadKey as error:
        raise Invalid(str(error), error.code, (Flaw(str(error), "after", error.code),)) from None
    async with pool.acquire(timeout=10) as conn:
        return await export.after_unit(conn, Serial(name.serial, name.gtin))


def _tag(position: int, form: Form, start: After, zipped: bool) -> str:
    return f'"{position}-{form}-{start.key}-{start.serial_id or 0}{"-gzip" if zipped else ""}"'


def _is_known(asked: str, tag: str) -> bool:
    """Whether If-None-Match says that the asker has what bears this tag, strongly or weakly (RFC 9110, 13.1.2)."""
    return asked == "*" or tag in re.split(r"\s*,\s*(?:W/)?", asked.strip().removeprefix("W/"))


async def _plain(pieces: AsyncIterator[str | int]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        async for part in _sliced(str(piece).encode()):
            yield part


async def _zipped(pieces: AsyncIterator[str | int]) -> AsyncIterator[bytes]:
    # The fastest level, whose ratio on such lines is near that of the best; with the header of a gzip file.
    zipper = zlib.compressobj(level=1, wbits=31)
    async for piece in pieces:
        # Beside the event loop: others ask meanwhile.
        async for part in _sliced(await asyncio.to_thread(zipper.compress, str(piece).encode())):
            yield part
    yield zipper.flush()


@get(
    "/filter",
    operation_id="downloadBlocklistFilter",
    summary="The blocked IMEIs as a Bloom filter, for checking offline",
    opt=Notes(
        needs=Permission.BLOCKLIST_READ,
        answer="application/octet-stream",
        missing="None was made yet: a worker makes one within seconds of its start.",
        tagged=True,
    ).opt,
)
async def download_filter(
    request: AnyRequest, asker: NamedDependency[Principal], exports: NamedDependency[Exports]
) -> Response[Any]:
    """For a shop that checks a handset without a network: 1.8 bytes for each blocked IMEI. One that is not in it was
    not blocked when it was made. One that seems to be in it is perhaps blocked, and is to be asked for: of a thousand
    that are not blocked, about one seems so. Suspects, devices without an IMEI, and test IMEIs are not in it. It is
    made anew within a minute or two of a change; `ETag` is the position of the change feed that it was made at.

    The file, every number with its most significant byte first: `IGBF`, a byte with the version 1, a byte with the
    number of hashes k, two zeros; in 8 bytes each the number of bits m, the number of keys, the position, and the
    seconds since 1970 when it was made; then the bits, of each byte the highest first. A key is the first 14 digits of
    an IMEI in ASCII. Its SHA-256 begins with two numbers of 8 bytes; a and b are these modulo m. An IMEI is in the
    filter only if all bits (a + i · b) modulo m are set, for i from 0 to k - 1. deploy/FILTER.md has readers of twenty
    lines in Python and JavaScript."""
    found = await exports.filters.latest()
    headers = _ASKED_AGAIN | {"ETag": f'"{found.position}"'}
    if _is_known(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(None, status_code=304, headers=headers)
    headers["Content-Length"] = str(len(found.content))
    return Stream(_sliced(found.content), media_type="application/octet-stream", headers=headers)


async def _sliced(content: bytes) -> AsyncIterator[bytes]:
    """A slow reader holds a slice, not the whole."""
    for at in range(0, len(content), _SLICE):
        yield content[at : at + _SLICE]


@get(
    "/days/{day:str}",
    operation_id="downloadBlocklistDay",
    summary="What a day changed, as operators exchange it",
    opt=Notes(
        needs=Permission.BLOCKLIST_READ,
        answer="text/csv",
        missing="This is no day; it would be like 2026-12-22.",
        conflict="The day is not over yet.",
        gone="The changes of this day are not kept any more: read the whole list.",
    ).opt,
)
async def download_day(
    day: Annotated[str, PathParameter(description="A day that is over (UTC), as 2026-12-22.")],
    asker: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
    change: Annotated[
        Net,
        QueryParameter(description="IMEIs that the day blocked, unblocked, or left blocked in another way."),
    ] = Net.BLOCKED,
) -> Response[str]:
    """`imei,block_date,reasons`: what became of each IMEI from midnight to midnight (UTC), in the end; of an IMEI the
    first 14 digits. Complete, and the same for ever, from five minutes past midnight on."""
    async with pool.acquire(timeout=10) as conn:
        text = await export.day(conn, _day(day), change, now)
    name = f'attachment; filename="blocklist-{day}-{change}.csv"'
    return Response(text, media_type="text/csv", headers={"Content-Disposition": name})


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise Missing(f"'{imei.shown(text)}' is no day; it would be like 2026-12-22.", "no-day") from None


_HANDLERS = [download, download_filter, feed.follow, download_day]
router = Router("/v1/blocklist", route_handlers=_HANDLERS, tags=["Block list"])
