"""The one place where errors become problem documents (RFC 9457): what is wrong, where, and what would
be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from app.access.roles import ScopeMissing
from app.api import notes
from app.api.dialect import Dialect
from app.api.flaws import said
from app.core import disk, log
from app.core.db import asks_again
from app.core.errors import Flaw, GatewayError, Invalid, Unavailable
from app.core.imei import shown

_SPACED_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\S* \d\d:?\d\d")
MEDIA_TYPE = "application/problem+json"
# What RFC 6750 wants to be said, clause 3.
_BEARER = 'Bearer realm="imei-gateway"'
_INVALID = ', error="invalid_token"'
_LOG = log.get("api")
AnyRequest = Request[Any, Any, Any]


class NotTaken(GatewayError):
    """A body in a form that is not taken here (415); the headers say which would be."""

    status = 415
    title = "Not in this form"

    def __init__(self, detail: str, code: str, headers: dict[str, str]) -> None:
        super().__init__(detail, code)
        self.headers = headers


class TooSlow(GatewayError):
    """A body that does not come in time (408)."""

    status = 408
    title = "Too slow"


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem document. `code` is stable, `detail` is for people, `errors` name each place."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    errors: tuple[Flaw, ...] = ()


def respond(status: int, problem: object, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A problem document as a response."""
    return Response(
        msgspec.json.encode(problem), status_code=status, media_type=MEDIA_TYPE, headers=headers or {}
    )


def from_error(error: GatewayError) -> Response[bytes]:
    """One of our own refusals."""
    problem = Problem(error.title, error.status, error.detail, error.code, errors=error.flaws)
    return respond(error.status, problem, _headers(error))


def _headers(error: GatewayError) -> dict[str, str]:
    if error.status == 401:
        return {"WWW-Authenticate": _BEARER + _INVALID if error.code.endswith("-unknown") else _BEARER}
    if isinstance(error, ScopeMissing):
        return {"WWW-Authenticate": f'{_BEARER}, error="insufficient_scope", scope="{error.scope}"'}
    return {"Retry-After": str(error.wait)} if error.wait else {}


def _ours(_: AnyRequest, error: GatewayError) -> Response[bytes]:
    return from_error(error)


def _not_taken(_: AnyRequest, error: NotTaken) -> Response[bytes]:
    return respond(415, Problem(error.title, 415, error.detail, error.code), error.headers)


def _frameworks(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework refused: no such route, no such method, a parameter out of its limits."""
    status = error.status_code
    if status == 400:
        return from_error(_parameters(request, error))
    if status == 404:
        detail = f"Nothing stands at {shown(request.scope['path'], 200)}; /docs lists what does."
        return respond(404, Problem("Not found", 404, detail, "no-such-resource"))
    if status == 405:
        allowed = _methods((error.headers or {}).get("allow", ""))
        detail = f"{shown(request.method)} is not possible here; possible: {allowed}."
        return respond(405, Problem("Not with this method", 405, detail, "method"), {"Allow": allowed})
    return _unexpected(request, error)


def _methods(routed: str) -> str:
    """The methods of a path; HEAD is answered wherever GET is."""
    methods = set(routed.split(", "))
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _parameters(request: AnyRequest, error: HTTPException) -> Invalid:
    found: Any = error.extra if isinstance(error.extra, list) else []
    names, forms = notes.parameters(request.route_handler), notes.forms(request.route_handler)
    wrong = [(names[item["key"]], str(item["message"])) for item in found if item.get("key") in names]
    flaws = tuple(
        _unescaped(misfit(name, message, forms[name], request.query_params.get(name)), request)
        for name, message in wrong
    )
    where = "; ".join(f"{flaw.pointer}: {flaw.detail}" for flaw in flaws)
    return Invalid(f"The query cannot be read: {where or error.detail}.", "query-wrong", flaws)


def misfit(name: str, message: str, form: Any, value: object) -> Flaw:
    """What msgspec says of a parameter. All of them came as text, so that it was text is no news."""
    return Flaw(said(form, value, message).removesuffix(", not a string"), name, "parameter-wrong")


def _unescaped(flaw: Flaw, request: AnyRequest) -> Flaw:
    """A time whose + came as a space, which is what + means in a query."""
    value = request.query_params.get(flaw.pointer, "")
    if not _SPACED_TIME.fullmatch(value):
        return flaw
    return msgspec.structs.replace(flaw, detail=f"{flaw.detail}; in a query, + is written %2B")


def _unstorable(_: AnyRequest, error: Exception) -> Response[bytes]:
    text = "A value cannot be stored: it holds a NUL character, or a number is out of range."
    return from_error(Invalid(text, "value-unstorable"))


def _unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A fault of the database that will pass is 503; anything else is ours to mend."""
    if isinstance(error, asyncpg.DiskFullError):
        _LOG.error("api.disk_full", error=repr(error))
        return from_error(disk.full())
    if asks_again(error) or isinstance(error, TimeoutError):
        return away(error)
    _LOG.error("api.failed", method=request.method, route=request.scope.get("path_template"), exc_info=error)
    text = "Something failed on our side; it has been logged. Nothing was done by halves."
    return respond(500, Problem("Something failed", 500, text, "internal"))


def away(error: Exception) -> Response[bytes]:
    """The database was not there, or not in time."""
    _LOG.warning("api.database_away", error=repr(error))
    text = "The database cannot be reached right now; nothing was lost. Try again in a moment."
    return from_error(Unavailable(text, "database-away"))


_ANSWERS: dict[type[Exception], Callable[..., Response[bytes]]] = {
    GatewayError: _ours,
    NotTaken: _not_taken,
    HTTPException: _frameworks,
    asyncpg.DataError: _unstorable,
    Exception: _unexpected,
}
HANDLERS: ExceptionHandlersMap = dict(_ANSWERS.items())


def in_dialects(dialects: Sequence[Dialect]) -> ExceptionHandlersMap:
    """The same refusals, below the path of a dialect in its form."""

    def speaking(handler: Callable[..., Response[bytes]]) -> Callable[..., Response[bytes]]:
        def answer(request: AnyRequest, error: Exception) -> Response[bytes]:
            said, path = handler(request, error), request.scope["path"]
            spoken = next((one for one in dialects if path.startswith(one.path)), None)
            return said if spoken is None else _spoken(spoken, request, said)

        return answer

    return {error: speaking(handler) for error, handler in _ANSWERS.items()}


def _spoken(dialect: Dialect, request: AnyRequest, said: Response[bytes]) -> Response[bytes]:
    problem = msgspec.json.decode(said.content, type=Problem)
    return Response(
        msgspec.json.encode(dialect.refusal(request, problem)),
        status_code=problem.status,
        media_type=dialect.media_type,
        headers={**said.headers, **dialect.headers(request, problem)},
    )
