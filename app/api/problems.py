"""The one place where errors become problem documents (RFC 9457): what is wrong, where, what would be right."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from app.core import log
from app.core.db import asks_again
from app.core.errors import Flaw, GatewayError, Invalid, TooLarge, Unavailable

MEDIA_TYPE = "application/problem+json"
_LOG = log.get("api")
AnyRequest = Request[Any, Any, Any]


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
    return respond(error.status, problem, _headers(error.status))


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="imei-gateway"'}
    return {"Retry-After": "2"} if status == 503 else {}


def _ours(_: AnyRequest, error: GatewayError) -> Response[bytes]:
    return from_error(error)


def _frameworks(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework refused: no such route, a body that cannot be read, a parameter out of range."""
    if error.status_code == 413:
        return from_error(TooLarge("The body is larger than this resource takes.", "body-too-large"))
    if error.status_code == 400:
        return from_error(_unreadable(error))
    titles = {404: "Not found", 405: "Not with this method"}
    detail = {
        404: f"Nothing stands at {request.url.path}; /docs lists what does.",
        405: f"{request.method} is not possible here; /docs lists what is.",
    }.get(error.status_code, error.detail)
    title = titles.get(error.status_code, "The request is wrong")
    code = {404: "no-such-resource", 405: "method"}.get(error.status_code, "request")
    return respond(error.status_code, Problem(title, error.status_code, detail, code), dict(error.headers or {}))


def _unreadable(error: HTTPException) -> Invalid:
    found: Any = error.extra or []
    flaws = tuple(
        Flaw(str(item.get("message", "")), str(item.get("key", "")), str(item.get("source", "")))
        for item in (found if isinstance(found, list) else [])
        if isinstance(item, dict)
    )
    cause = error.__cause__
    why = flaws[0].detail if flaws else str(cause) if isinstance(cause, msgspec.MsgspecError) else error.detail
    return Invalid(f"The request cannot be read: {why}", "request-unreadable", flaws)


def _garbled(_: AnyRequest, error: Exception) -> Response[bytes]:
    kind = "nested too deeply" if isinstance(error, RecursionError) else "not valid UTF-8"
    return from_error(Invalid(f"The body is {kind}; it would be a JSON document.", "request-unreadable"))


def _unstorable(_: AnyRequest, error: Exception) -> Response[bytes]:
    text = "A value cannot be stored: it holds a NUL character, or a number is out of range."
    return from_error(Invalid(text, "value-unstorable"))


def _unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A fault of the database that will pass is 503; anything else is ours to mend."""
    if asks_again(error) or isinstance(error, TimeoutError):
        _LOG.warning("api.database_away", error=repr(error))
        text = "The database cannot be reached right now; nothing was lost. Try again in a moment."
        return from_error(Unavailable(text, "database-away"))
    _LOG.error("api.failed", method=request.method, route=request.scope.get("path_template"), exc_info=error)
    text = "Something failed on our side; it has been logged. Nothing was done by halves."
    return respond(500, Problem("Something failed", 500, text, "internal"))


HANDLERS: ExceptionHandlersMap = {
    GatewayError: _ours,
    HTTPException: _frameworks,
    RecursionError: _garbled,
    UnicodeError: _garbled,
    asyncpg.DataError: _unstorable,
    Exception: _unexpected,
}
