"""What is noted of every request: a request id, a figure, a log line; and what every answer to it is to tell.

Never a path parameter, a header or a body.
"""

from __future__ import annotations

import os
import time
from functools import cache
from random import Random
from typing import Any, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Histogram
from structlog.stdlib import BoundLogger

from app.core import log

REGISTRY = CollectorRegistry()
_SECONDS = Histogram(
    "imei_gateway_http_seconds",
    "Time to the end of the answer",
    ["method", "route", "status"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
_seconds = cache(_SECONDS.labels)
_LOG = log.get("api")
# Anybody can send any word as a method, and each new one would be a figure for ever.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_MET_NOBODY = frozenset({401, 405, 501})
_HEADERS = "imei_gateway.headers"
# What browsers are told of every answer that says nothing else: it is data, of ours alone, and no page.
_SAFE = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
_BY_TLS_ALONE = {b"strict-transport-security": b"max-age=31536000"}
_UNSEEN = ("/health/live", "/health/ready", "/metrics")


def watched(app: ASGIApp, public_url: str = "") -> ASGIApp:
    """Wraps the application; costs a few microseconds a request. The log is set up by then. Where people reach it by
    TLS, their browsers are told to come by nothing else."""
    safe = _SAFE | (_BY_TLS_ALONE if public_url.startswith("https:") else {})
    heard = _LOG.bind()
    # To ask the system for each number takes ten times as long.
    numbers = Random(os.urandom(32))

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began, status, request_id = time.perf_counter(), 500, f"{numbers.getrandbits(128):032x}"
        told(scope)["x-request-id"] = request_id

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(name.encode(), value.encode()) for name, value in told(scope).items()]
                said = {name for name, _ in message["headers"]}
                added += [header for header in safe.items() if header[0] not in said]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            _note(heard, scope, status, time.perf_counter() - began, request_id)

    return watch


def told(scope: Scope) -> dict[str, str]:
    """The headers that the answer to this request will have, whatever it is; its `x-request-id` from the beginning."""
    found: dict[str, str] = cast("dict[str, Any]", scope).setdefault(_HEADERS, {})
    return found


def _note(heard: BoundLogger, scope: HTTPScope, status: int, took: float, request_id: str) -> None:
    route = scope.get("path_template") or "unmatched"
    method = scope["method"] if scope["method"] in _METHODS else "other"
    # Strangers try every method of every route; those that came to a handler are as many as there are.
    met = status not in _MET_NOBODY and method not in ("OPTIONS", "other")
    _seconds(*((method, route, status) if met else ("any", "refused", status))).observe(took)
    if route not in _UNSEEN:
        heard.debug(
            "api.answered", method=method, route=route, status=status, ms=round(took * 1000, 1),
            request_id=request_id,
        )  # fmt: skip
