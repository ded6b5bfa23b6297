"""Carriers ask: one identifier, or up to 10,000 in order."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from app.access.roles import Permission, Principal
from app.api.notes import Notes
from app.blocklist.ask import UNHEARD_OF, Counter, Standing, Status, look_up
from app.core import imei as imeis
from app.core.db import Pool
from app.core.errors import Flaw, Invalid

MOST = 10_000
# Told to callers, and judged by `imei.asked`, which also takes other spellings of a URN.
_PATTERN = "^([0-9]{14,16}|urn:gsma:imei:[0-9]{8}-[0-9]{6}-[0-9])$"
Identifier = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _PATTERN})]


class StatusAnswer(msgspec.Struct, frozen=True):
    """One answer: the identifier as it was asked, its status, since when, and the listing's version."""

    imei: str
    status: Status
    since: datetime | None
    version: int


class StatusQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identifiers of 14, 15 or 16 digits, or IMEI URNs."""

    imeis: Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=MOST)]


class StatusAnswers(msgspec.Struct, frozen=True):
    """The answers, in the order asked."""

    results: list[StatusAnswer]


@get("/{imei:str}", operation_id="askStatus", summary="Ask for the status of one identifier")
async def ask_one(
    imei: Annotated[str, PathParameter(description="14, 15 or 16 digits, or an IMEI URN.")],
    asker: NamedDependency[Principal],
    counter: NamedDependency[Counter],
) -> StatusAnswer:
    """`blocked` (an active claim), `suspect` (submitted, not yet approved), `clear` (registered, unclaimed)
    or `unknown`. The check digit is not judged: networks send a 0 there."""
    key = imeis.asked(imei)
    if key is None:
        raise Invalid(_malformed(imei), "imei-malformed")
    return _answer(imei, await counter.ask(key))


@post(
    "/",
    operation_id="askStatuses",
    status_code=200,
    request_max_body_size=2**20,
    summary="Ask for the status of many identifiers",
    opt=Notes(needs=Permission.STATUS_READ).opt,
)
async def ask_many(
    said: NamedDependency[StatusQuestion], asker: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> StatusAnswers:
    """The answers come in the order asked; one that is malformed refuses the request and is named."""
    keys = [imeis.asked(text) for text in said.imeis]
    flaws = tuple(
        Flaw(_malformed(text), f"/imeis/{place}", "imei-malformed")
        for place, (text, key) in enumerate(zip(said.imeis, keys, strict=True))
        if key is None
    )
    if flaws:
        raise Invalid(f"{len(flaws)} of the identifiers cannot be right.", "imei-malformed", flaws[:1000])
    async with pool.acquire(timeout=10) as conn:
        found = await look_up(conn, sorted({key for key in keys if key is not None}))
    return StatusAnswers(
        [_answer(text, found.get(key or 0, UNHEARD_OF)) for text, key in zip(said.imeis, keys, strict=True)]
    )


def _answer(text: str, standing: Standing) -> StatusAnswer:
    return StatusAnswer(text, standing.status, standing.since, standing.version)


def _malformed(text: str) -> str:
    return f"'{imeis.shown(text)}' is not an identifier; it would be 14, 15 or 16 digits."


router = Router("/v1/status", route_handlers=[ask_one, ask_many], tags=["Status"])
