"""3GPP N5g-eir_EquipmentIdentityCheck (TS 29.511): a 5G core asks, `imei-` and `imeisv-` alike."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api.dialect import Dialect
from app.api.notes import Notes
from app.api.problems import AnyRequest, Problem
from app.blocklist.enquiry import Enquiries
from app.blocklist.lookout import Via
from app.blocklist.standing import Status
from app.core import imei
from app.core.config import Settings
from app.core.errors import Flaw, Invalid, Missing

_WORDS = {Status.BLOCKED: "BLACKLISTED", Status.SUSPECT: "GREYLISTED", Status.CLEAR: "WHITELISTED"}


class EirResponseData(msgspec.Struct, frozen=True):
    """The status of an equipment: WHITELISTED, BLACKLISTED or GREYLISTED."""

    status: str


class InvalidParam(msgspec.Struct, frozen=True):
    param: str
    reason: str


class EirProblem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A problem document with 3GPP's `cause`, where there is one for it (TS 29.571 clause 5.2.4.1, TS 29.500 table
    5.2.7.2-1). What a token lacks stands in WWW-Authenticate (RFC 6750)."""

    title: str
    status: int
    detail: str
    cause: str = ""
    invalid_params: list[InvalidParam] = []


# Of 401, 403 and 405 the table names none, and of 503 only congestion, upon which a core would send less for long.
_CAUSES = {429: "NF_CONGESTION_RISK", 500: "SYSTEM_FAILURE"}


def _refusal(_: AnyRequest, problem: Problem) -> EirProblem:
    wrong = [InvalidParam(f"query {flaw.pointer}", flaw.detail) for flaw in problem.errors]
    title = HTTPStatus(problem.status).phrase
    return EirProblem(title, problem.status, problem.detail, _cause(problem), wrong)


def _cause(problem: Problem) -> str:
    if problem.code == UNKNOWN:
        return "ERROR_EQUIPMENT_UNKNOWN"
    if problem.status != 400:
        return _CAUSES.get(problem.status, "")
    if not problem.errors:
        return "INVALID_MSG_FORMAT"
    of_pei = [flaw.code for flaw in problem.errors if flaw.pointer == "pei"]
    if MISSING in of_pei:
        return "MANDATORY_QUERY_PARAM_MISSING"
    return "MANDATORY_QUERY_PARAM_INCORRECT" if of_pei else "OPTIONAL_QUERY_PARAM_INCORRECT"


PATH = "/n5g-eir-eic/"
UNKNOWN, MISSING = "equipment-unknown", "parameter-missing"
DIALECT = Dialect(PATH, EirProblem, _refusal)
Pei = Annotated[
    str | None,
    QueryParameter(
        description="`imei-` and 15 digits, or `imeisv-` and 16; a PEI that carries no IMEI is unknown equipment."
    ),
]
Supi = Annotated[
    str | None,
    QueryParameter(
        min_length=1, description="Of an `imsi-`, the mobile country code says where the device is used."
    ),
]
Gpsi = Annotated[str | None, QueryParameter(min_length=1, description="Taken, and not looked at.")]
Features = Annotated[
    str | None,
    QueryParameter(
        name="supported-features",
        pattern="^[A-Fa-f0-9]*$",
        description="Features of the one who asks, in hexadecimal; none of them changes the answer.",
    ),
]
_IMSI = re.compile(r"imsi-([0-9]{3})[0-9]{2,12}")


@get(
    "/equipment-status",
    operation_id="checkEquipment",
    summary="3GPP equipment identity check",
    opt=Notes(
        missing="The equipment is unknown, and unknown is not configured to be answered otherwise.",
        dialect=DIALECT,
        any_query=True,
        needed=("pei",),
        needs=Permission.N5G_EIR,
    ).opt,
)
async def equipment_status(
    asker: NamedDependency[Principal],
    enquiries: NamedDependency[Enquiries],
    settings: NamedDependency[Settings],
    pei: Pei = None,
    supi: Supi = None,
    gpsi: Gpsi = None,
    features: Features = None,
) -> EirResponseData:
    """Blocked is BLACKLISTED, suspect GREYLISTED, clear WHITELISTED; unknown is 404 ERROR_EQUIPMENT_UNKNOWN, or what
    IMEI_GATEWAY_UNKNOWN_EQUIPMENT says. One handset has one answer, by whichever of its 15th digits or software
    versions it is asked for. Of a `supi` the country of the SIM is kept with a sighting, and nothing else. No optional
    feature is spoken here; parameters that are not known are passed over.

    Test IMEIs always answer the same, on every gateway: `imei-009900990001010` is BLACKLISTED, `imei-009900990002000`
    GREYLISTED, `imei-009900990003008` WHITELISTED, and `imei-009900990004006` unknown."""
    key = _key(pei)
    status = Status.UNKNOWN if key is None else (await enquiries.one(asker, key, _via(supi))).standing.status
    word = _WORDS.get(status, settings.unknown_equipment)
    if word == "404":
        no_imei = "That PEI carries no IMEI; one that does is imei- and 15 digits, or imeisv- and 16."
        never = "This equipment was never registered here and nobody has claimed it."
        raise Missing(no_imei if key is None else never, UNKNOWN)
    return EirResponseData(word)


def _via(supi: str | None) -> Via:
    """The mobile country code of an IMSI (TS 23.003, clause 2.2) is all that is kept of it."""
    found = _IMSI.fullmatch(supi or "")
    return Via("n5g-eir", f"mcc:{found[1]}" if found else "")


def _key(pei: str | None) -> int | None:
    """The key in a PEI, None for one that carries no IMEI. Raises Invalid."""
    if pei is None:
        raise _wrong("it is missing; it would be imei- and 15 digits", MISSING)
    try:
        return imei.pei(pei)
    except imei.BadPei as error:
        raise _wrong(str(error), "parameter-wrong") from None


def _wrong(reason: str, code: str) -> Invalid:
    return Invalid(f"pei: {reason}", "query-wrong", (Flaw(reason, "pei", code),))


router = Router(f"{PATH}v1", route_handlers=[equipment_status], tags=["3GPP N5g-eir"])
