"""Carriers ask: one identifier, or up to 10,000 in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from app.access.roles import Permission, Principal
from app.api.allowance import Allowance
from app.api.notes import Notes
from app.blocklist.answer import OneSerial, OneStatus, SerialAnswer, StatusAnswer, one_status, statuses, told
from app.blocklist.ask import Serial, key_of
from app.blocklist.enquiry import Enquiries
from app.blocklist.lookout import Via
from app.core import imei
from app.core.errors import Flaw, Invalid
from app.core.gs1 import BadKey
from app.devices.naming import by_serial

MOST, MOST_FLAWS = 10_000, 100
# Told to callers, and judged by `imei.asked`, which also takes other spellings of a URN.
_PATTERN = "^([0-9]{14,16}|urn:gsma:imei:[0-9]{8}-[0-9]{6}-[0-9])$"
Identifier = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _PATTERN})]
_SERIAL = "A serial with its GTIN: (01)…(21)…, an SGTIN as an EPC URI, or a GS1 Digital Link."
T = TypeVar("T")
Unit = Annotated[str, msgspec.Meta(description=_SERIAL)]


class StatusQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identifiers of 14, 15 or 16 digits, or IMEI URNs; and serials, for devices without an IMEI. 10,000 in all."""

    imeis: Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=MOST)] = ()
    serials: Annotated[tuple[Unit, ...], msgspec.Meta(max_length=MOST)] = ()


class StatusAnswers(msgspec.Struct, frozen=True):
    """The answers, in the order asked, all of one moment: `as_of` is the position of the change feed that they saw."""

    results: list[StatusAnswer]
    serials: list[SerialAnswer]
    as_of: int


API = Via("api")
_ASKS = Notes(needs=Permission.STATUS_READ)
_ASKS_SERIAL = Notes(needs=Permission.STATUS_READ, needed=("serial",))


@get("/{imei:str}", operation_id="askStatus", summary="Ask for the status of one identifier", opt=_ASKS.opt)
async def ask_one(
    imei: Annotated[str, PathParameter(description="14, 15 or 16 digits, or an IMEI URN.")],
    asker: NamedDependency[Principal],
    enquiries: NamedDependency[Enquiries],
) -> OneStatus:
    """`blocked` (an active claim), `suspect` (submitted, not yet approved), `clear` (registered, unclaimed)
    or `unknown`. The check digit is not judged: networks send a 0 there.

    Test IMEIs always answer the same, on every gateway: 009900990001010, 009900990001028 and 009900990001036 are
    `blocked` (stolen, lost, fraud), 009900990002000 is `suspect`, 009900990003008 is `clear` and 009900990004006
    `unknown`."""
    key = key_of(imei)
    return one_status(imei, await enquiries.one(asker, key, API), asker)


@get(
    "/", operation_id="askSerial", summary="Ask for the status of one device by serial", opt=_ASKS_SERIAL.opt
)
async def ask_serial(
    asker: NamedDependency[Principal],
    enquiries: NamedDependency[Enquiries],
    serial: Annotated[str | None, QueryParameter(description=_SERIAL)] = None,
) -> OneSerial:
    """For devices without an IMEI. A serial alone names a device only where it was declared so."""
    if serial is None:
        raise Invalid("The query names no device; it would have serial=(01)…(21)….", "serial-missing")
    answer = await enquiries.one(asker, unit_of(serial), API)
    return OneSerial(*told(answer.standing, asker), serial=serial, as_of=answer.as_of)


@post(
    "/",
    operation_id="askStatuses",
    status_code=200,
    request_max_body_size=2**20,
    summary="Ask for the status of many identifiers",
    opt=_ASKS.opt,
)
async def ask_many(
    said: NamedDependency[StatusQuestion],
    asker: NamedDependency[Principal],
    allowance: NamedDependency[Allowance],
    enquiries: NamedDependency[Enquiries],
) -> StatusAnswers:
    """The answers come in the order asked; one that is malformed refuses the request and is named. The example is of
    test IMEIs, which every gateway answers so."""
    _check_number(said)
    await allowance.spend(len(said.imeis) + len(said.serials) - 1)
    keys, units = _read(said)
    found = await enquiries.many(asker, keys, units, API)
    results = statuses(said.imeis, keys, found, asker)
    serials = [
        SerialAnswer(*told(found.of(unit), asker), serial=text)
        for text, unit in zip(said.serials, units, strict=True)
    ]
    return StatusAnswers(results, serials, found.as_of)


def _check_number(said: StatusQuestion) -> None:
    if len(said.imeis) + len(said.serials) > MOST:
        sentence = (
            f"There are {len(said.imeis) + len(said.serials):,} identifiers; it would be at most {MOST:,}."
        )
        raise Invalid(sentence, "too-many", (Flaw(sentence, "", "too-many"),))


def _read(said: StatusQuestion) -> tuple[list[int], list[Serial]]:
    """What is asked for, as the block list knows it. Raises Invalid, which names what is malformed."""
    flaws: list[Flaw] = []
    keys = imei.asked_all(said.imeis)
    wrong = [place for place, key in enumerate(keys) if key is None]
    for place in wrong[:MOST_FLAWS]:
        _tried(flaws, f"/imeis/{place}", key_of, said.imeis[place])
    units = [_tried(flaws, f"/serials/{place}", unit_of, text) for place, text in enumerate(said.serials)]
    if flaws:
        found = len(wrong) + units.count(None)
        more = f" The first {MOST_FLAWS} are told." if found > MOST_FLAWS else ""
        raise Invalid(
            f"{found:,} of the identifiers cannot be right.{more}", flaws[0].code, tuple(flaws[:MOST_FLAWS])
        )
    return [key for key in keys if key is not None], [unit for unit in units if unit is not None]


def _tried(flaws: list[Flaw], pointer: str, read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except Invalid as error:
        flaws.append(Flaw(error.detail, pointer, error.code))
        return None


def unit_of(text: str) -> Serial:
    """The unit in a question. Raises Invalid."""
    try:
        name = by_serial(text)
    except BadKey as error:
        raise Invalid(str(error), error.code) from None
    return Serial(name.serial, name.gtin)


router = Router("/v1/status", route_handlers=[ask_one, ask_serial, ask_many], tags=["Status"])
