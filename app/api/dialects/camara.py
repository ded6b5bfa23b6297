"""CAMARA DeviceAuthenticity (work in progress there, of commonalities 0.6): shops, insurers and operators ask what is
reported of a device. A body may say more than is asked for, as its schema allows; the check digit is not judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, post
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from app.access.roles import Permission, Principal
from app.api import body
from app.api.dialect import Dialect
from app.api.guards import well_formed
from app.api.notes import Notes
from app.api.problems import AnyRequest, Problem
from app.api.watch import told
from app.blocklist.ask import key_of
from app.blocklist.enquiry import Enquiries
from app.blocklist.lookout import Via
from app.blocklist.standing import ReasonClass, Standing, Status
from app.core.errors import Invalid
from app.core.imei import shown

_VIA = Via("camara")
PATH = "/device-authenticity/"
CORRELATOR = "x-correlator"
_PATTERN = r"^[a-zA-Z0-9-_:;.\/<>{}]{0,256}$"
_CORRELATOR = re.compile(r"[a-zA-Z0-9_:;./<>{}-]{0,256}")
_IMEI = re.compile("[0-9]{15}")
Word = Literal[
    "allowed", "lost", "stolen", "blacklisted", "blocked", "fraud", "non-payment", "regulatory", "unknown"
]
_WORDS: Mapping[ReasonClass, Word] = {
    ReasonClass.STOLEN: "stolen",
    ReasonClass.LOST: "lost",
    ReasonClass.FRAUD: "fraud",
}
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    # CAMARA names none for these two.
    408: "REQUEST_TIMEOUT",
    413: "CONTENT_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    # Its QUOTA_EXCEEDED is of what was bought; ours fills up again within a minute.
    429: "TOO_MANY_REQUESTS",
    503: "UNAVAILABLE",
}
_SHOWN_FLAWS = 10


class ImeiQuestion(msgspec.Struct, frozen=True):
    """The IMEI of a device: 15 digits, the last of which may be any."""

    imei: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[0-9]{15}$"})]


class ImeiStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What is known of a device, when that was read, and since when it is reported, if it is."""

    imei: str
    operational_status: Word
    last_checked: datetime
    reported_date: datetime | UnsetType = UNSET


class ErrorInfo(msgspec.Struct, frozen=True):
    """A refusal: the HTTP status, a code for machines, and what is wrong and would be right."""

    status: int
    code: str
    message: str


def _refusal(_: AnyRequest, problem: Problem) -> ErrorInfo:
    message = problem.detail
    if len(problem.errors) > 1:
        flaws = [f"{flaw.pointer}: {flaw.detail}" for flaw in problem.errors[:_SHOWN_FLAWS]]
        message = " ".join((message, *flaws))
    return ErrorInfo(problem.status, _CODES.get(problem.status, "INTERNAL"), message)


def _correlate(request: AnyRequest) -> bool:
    """Whatever becomes of a request, its answer has the correlator: that which was sent, or else the request's id.
    Whether what was sent is usable."""
    sent, headers = ", ".join(request.headers.getall(CORRELATOR, [])), told(request.scope)
    fits = _CORRELATOR.fullmatch(sent) is not None
    headers[CORRELATOR] = sent if sent and fits else headers["x-request-id"]
    return fits


def _headers(request: AnyRequest, _: Problem) -> dict[str, str]:
    # Where there is no such route or method, nobody has looked at it yet.
    _correlate(request)
    return {}


_SCHEMA = {"type": "string", "pattern": _PATTERN}
DIALECT = Dialect(
    PATH,
    ErrorInfo,
    _refusal,
    media_type="application/json",
    headers=_headers,
    told={CORRELATOR: {"description": "That of the request, or one that was made up.", "schema": _SCHEMA}},
)
_HEADER = {
    "name": CORRELATOR,
    "in": "header",
    "description": "Names the request across systems; it stands in the answer.",
    "schema": _SCHEMA,
}


async def correlated(request: AnyRequest) -> None:
    """Raises Invalid where the correlator, or the query, cannot be right."""
    if not _correlate(request):
        text = f"The header {CORRELATOR} would be up to 256 letters, digits and -_:;./<>{{}}, and stand once."
        raise Invalid(text, "correlator-malformed")
    await well_formed(request)


@post(
    "/check-status",
    operation_id="checkImeiStatus",
    status_code=200,
    request_max_body_size=body.FEW,
    summary="CAMARA: check the status of an IMEI",
    opt=Notes(dialect=DIALECT, needs=Permission.DEVICE_AUTHENTICITY, headers=(_HEADER,)).opt,
)
async def check_status(
    said: NamedDependency[ImeiQuestion],
    asker: NamedDependency[Principal],
    enquiries: NamedDependency[Enquiries],
    now: NamedDependency[datetime],
) -> ImeiStatus:
    """Blocked is what the reason says: `stolen`, `lost` or `fraud`, with `reportedDate`, since when. Registered and not
    reported is `allowed`. What is in no register, be it never heard of, is `unknown`, and so is what is suspect: an
    owner has reported it, and nobody has decided yet."""
    standing = (await enquiries.one(asker, _key(said.imei), _VIA)).standing
    reported = standing.since if standing.status is Status.BLOCKED else None
    return ImeiStatus(said.imei, _word(standing), now, reported or UNSET)


def _key(text: str) -> int:
    """Raises Invalid: here a device has 15 digits and no other form."""
    if not _IMEI.fullmatch(text):
        raise Invalid(f"imei: '{shown(text)}' is not an IMEI; it would be 15 digits.", "imei-malformed")
    return key_of(text)


def _word(standing: Standing) -> Word:
    """CAMARA's registers are allowed, prohibited and tracked, and its words have none for what is only tracked, as a
    suspect is. It is not `allowed`: then a shop would buy it while the second person is being asked. It is nothing
    prohibited either, which would make one person's word a verdict. `unknown` vouches for nothing. Of what is on no
    list its text says `unknown`; IDENTIFIER_NOT_FOUND would say that there are more lists than ours to look at."""
    if standing.status is Status.BLOCKED and standing.reason is not None:
        return _WORDS[standing.reason]
    return "allowed" if standing.status is Status.CLEAR else "unknown"


router = Router(
    f"{PATH}vwip",
    route_handlers=[check_status],
    before_request=correlated,
    tags=["CAMARA DeviceAuthenticity"],
)
