"""How EPCIS 2.0 speaks over HTTP: the versions that both sides must share, headers, and types of problems."""

from __future__ import annotations

import re
from typing import Any

from litestar.datastructures import ResponseHeader

from app.api.dialect import Dialect
from app.api.guards import well_formed
from app.api.problems import AnyRequest, Problem
from app.core.config import Settings
from app.core.errors import GatewayError, Invalid
from app.core.imei import shown
from app.epcis.store import Behaviour

VERSIONS = {"GS1-EPCIS-Version": "2.0", "GS1-CBV-Version": "2.0"}
ALWAYS = [ResponseHeader(name=name, value=value) for name, value in VERSIONS.items()]
BEHAVIOUR = "GS1-Capture-Error-Behaviour"
FORMAT = "GS1-EPC-Format"

_OURS = re.compile(r"2\.0(?:\.[0-9]+)?\Z")
_NUMBER = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}\Z")
_JSON = ("application/json", "application/ld+json", "application/*", "*/*")
_KEPT = ("Never_Translates", "No_Preference")
_TYPES = {
    401: "SecurityException",
    403: "SecurityException",
    404: "NoSuchResourceException",
    406: "NotAcceptableException",
    409: "ResourceAlreadyExistsException",
    413: "CaptureLimitExceededException",
    415: "UnsupportedMediaTypeException",
}

UNACCEPTABLE = (
    "What is wanted is spoken in no version, media type or EPC format of ours: EPCIS 2.0 and CBV 2.0, as JSON, "
    "with EPCs as they came."
)


class NotAcceptable(GatewayError):
    """What is wanted is not spoken here (406)."""

    status = 406
    title = "Not spoken here"


def kind(problem: Problem) -> str:
    """The type of a problem, as EPCIS names it."""
    if problem.status == 400:
        name = "QueryParameterException" if problem.code == "query-wrong" else "ValidationException"
    else:
        name = _TYPES.get(problem.status, "ImplementationException")
    return f"epcisException:{name}"


def _typed(_: AnyRequest, problem: Problem) -> Problem:
    problem.type = kind(problem)
    return problem


def _headers(request: AnyRequest, problem: Problem) -> dict[str, str]:
    return VERSIONS | (limits(request.app.state.settings) if problem.status == 413 else {})


DIALECT = Dialect("/epcis/", Problem, _typed, headers=_headers)


def limits(settings: Settings) -> dict[str, str]:
    return {
        "GS1-EPCIS-Capture-Limit": str(settings.epcis_capture_limit),
        "GS1-EPCIS-Capture-File-Size-Limit": str(settings.epcis_file_size_limit),
    }


async def agreed(request: AnyRequest) -> None:
    """Raises NotAcceptable where both sides share no version, media type or EPC format."""
    await well_formed(request)
    for standard in ("EPCIS", "CBV"):
        _agree_on(request, standard)
    asked = request.headers.get(FORMAT, "Never_Translates")
    if asked not in _KEPT:
        text = f"{FORMAT} is '{shown(asked)}'; EPCs are answered as they came, so it would be {' or '.join(_KEPT)}."
        raise NotAcceptable(text, "epc-format")
    accepted = request.headers.get("accept", "*/*")
    if not any(_accepts(part) for part in accepted.split(",")):
        text = f"Only '{shown(accepted, 100)}' is accepted; answers come as application/json."
        raise NotAcceptable(text, "media-type")


def _agree_on(request: AnyRequest, standard: str) -> None:
    version = request.headers.get(f"GS1-{standard}-Version", "2.0")
    least, most = (request.headers.get(f"GS1-{standard}-{end}", "2.0") for end in ("Min", "Max"))
    in_range = _NUMBER.match(least) and _NUMBER.match(most) and _number(least)[:2] <= (2, 0) <= _number(most)
    if not _OURS.match(version) or not in_range:
        text = f"{standard} {shown(version)} ({shown(least)} to {shown(most)}) is wanted; 2.0 is spoken here."
        raise NotAcceptable(text, "version")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _accepts(part: str) -> bool:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    return kind in _JSON and not any(re.fullmatch(r"q=0(?:\.0*)?", piece) for piece in parameters)


def behaviour(request: AnyRequest) -> Behaviour:
    """What one bad event is to do to its capture. Raises Invalid."""
    asked = request.headers.get(BEHAVIOUR, Behaviour.ROLLBACK)
    if asked not in list(Behaviour):
        text = f"{BEHAVIOUR} is '{shown(asked)}'; it would be {' or '.join(Behaviour)}."
        raise Invalid(text, "error-behaviour")
    return Behaviour(asked)


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string", **schema},
    }


VERSION_HEADERS = tuple(
    _header(f"GS1-{standard}-Version", f"The version of {standard} that is sent: 2.0.")
    for standard in ("EPCIS", "CBV")
)
RANGE_HEADERS = tuple(
    _header(f"GS1-{standard}-{end}", f"The {which} version of {standard} that is understood.")
    for standard in ("EPCIS", "CBV")
    for end, which in (("Min", "lowest"), ("Max", "highest"))
)
BEHAVIOUR_HEADER = _header(
    BEHAVIOUR,
    "`rollback`: all events are stored or none. `proceed`: each stands or falls alone.",
    enum=list(Behaviour),
    default=Behaviour.ROLLBACK,
)
FORMAT_HEADER = _header(FORMAT, "EPCs are answered as they came.", enum=list(_KEPT))
