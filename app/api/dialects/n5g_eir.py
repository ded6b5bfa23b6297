"""3GPP N5g-eir_EquipmentIdentityCheck (TS 29.511): a 5G core asks, `imei-` and `imeisv-` alike."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api.notes import Notes
from app.api.problems import respond
from app.blocklist.enquiry import Enquiries
from app.blocklist.standing import Status
from app.blocklist.witness import Via
from app.core import imei
from app.core.config import Settings

_WORDS = {Status.BLOCKED: "BLACKLISTED", Status.SUSPECT: "GREYLISTED", Status.CLEAR: "WHITELISTED"}


class EirResponseData(msgspec.Struct, frozen=True):
    """The status of an equipment: WHITELISTED, BLACKLISTED or GREYLISTED."""

    status: str


class InvalidParam(msgspec.Struct, frozen=True):
    param: str
    reason: str


class EirProblem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A problem document with 3GPP's `cause` (TS 29.571 clause 5.2.4.1)."""

    title: str
    status: int
    cause: str
    detail: str
    invalid_params: list[InvalidParam] = []


Pei = Annotated[
    str | None,
    QueryParameter(
        description="`imei-` and 15 digits, or `imeisv-` and 16; another PEI is unknown equipment."
    ),
]
Supi = Annotated[
    str | None,
    QueryParameter(description="Of an `imsi-`, the mobile country code says where the device is used."),
]
_IMSI = re.compile(r"imsi-([0-9]{3})[0-9]{2,12}")
_UNKNOWN = "The equipment is unknown, and unknown is not configured to be answered otherwise."


@get(
    "/equipment-status",
    operation_id="checkEquipment",
    summary="3GPP equipment identity check",
    opt=Notes(
        missing=_UNKNOWN, problem=EirProblem, form=EirResponseData, any_query=True, needs=Permission.N5G_EIR
    ).opt,
)
async def equipment_status(
    asker: NamedDependency[Principal],
    enquiries: NamedDependency[Enquiries],
    settings: NamedDependency[Settings],
    pei: Pei = None,
    supi: Supi = None,
) -> Response[Any]:
    """Blocked is BLACKLISTED, suspect GREYLISTED, clear WHITELISTED; unknown is 404
    ERROR_EQUIPMENT_UNKNOWN, or what IMEI_GATEWAY_UNKNOWN_EQUIPMENT says. Of a `supi` the country of the SIM is kept
    with a sighting, and nothing else; `gpsi` and `supported-features` are taken and not looked at.

    Test IMEIs always answer the same, on every gateway: `imei-009900990001010` is BLACKLISTED, `imei-009900990002000`
    GREYLISTED, `imei-009900990003008` WHITELISTED, and `imei-009900990004006` unknown."""
    if pei is None:
        return _wrong("MANDATORY_QUERY_PARAM_MISSING", "it is missing; it would be imei- and 15 digits")
    try:
        key = imei.pei(pei)
    except imei.BadPei as error:
        return _wrong("MANDATORY_QUERY_PARAM_INCORRECT", str(error))
    status = Status.UNKNOWN if key is None else (await enquiries.one(asker, key, _via(supi))).standing.status
    word = _WORDS.get(status, settings.unknown_equipment)
    return _unknown() if word == "404" else Response(EirResponseData(word))


def _via(supi: str | None) -> Via:
    """The mobile country code of an IMSI (TS 23.003, clause 2.2) is all that is kept of it."""
    found = _IMSI.fullmatch(supi or "")
    return Via("n5g-eir", f"mcc:{found[1]}" if found else "")


def _wrong(cause: str, reason: str) -> Response[bytes]:
    flaw = InvalidParam("query pei", reason)
    return respond(400, EirProblem("Bad Request", 400, cause, f"pei: {reason}", [flaw]))


def _unknown() -> Response[bytes]:
    detail = "This equipment was never registered here and nobody has claimed it."
    return respond(404, EirProblem("Not Found", 404, "ERROR_EQUIPMENT_UNKNOWN", detail))


router = Router("/n5g-eir-eic/v1", route_handlers=[equipment_status], tags=["3GPP N5g-eir"])
