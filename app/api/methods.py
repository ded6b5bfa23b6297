"""The methods that every path answers beside its own: HEAD wherever there is GET, and OPTIONS.

The framework refuses the one, and tells with the other only the first method of a path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from contextlib import suppress

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

# No path has it, so the refusal lists what the path has.
_NO_METHOD = "NONE"
_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def every_method(app: ASGIApp, own: Container[str] = ()) -> ASGIApp:
    """Wraps the application. The paths of `own` answer OPTIONS themselves."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await _asked_as("GET", scope, _headed(app), receive, send)
        elif scope["method"] == "OPTIONS" and scope["path"] not in own:
            await _asked_as(_NO_METHOD, scope, app, receive, _Options(send).send)
        else:
            await app(scope, receive, send)

    return answer


async def _asked_as(method: str, scope: HTTPScope, app: ASGIApp, receive: Receive, send: Send) -> None:
    asked = scope["method"]
    scope["method"] = method  # type: ignore[typeddict-item]
    try:
        await app(scope, receive, send)
    finally:
        scope["method"] = asked


def _headed(app: ASGIApp) -> ASGIApp:
    """The same answer without its body; what would stream for long is not waited for."""

    async def head(scope: Scope, receive: Receive, send: Send) -> None:
        streams = asyncio.Event()

        async def bodiless(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif not streams.is_set():
                await send(_END)
                if message.get("more_body"):
                    streams.set()

        tasks = [asyncio.ensure_future(it) for it in (app(scope, receive, bodiless), streams.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]

    return head


class _Options:
    """Turns the refusal of a method into the answer to OPTIONS; any other answer stays."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_refusal = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405:
            self._is_refusal = True
            allow = [pair for pair in message["headers"] if pair[0].lower() == b"allow"]
            message = {**message, "status": 204, "headers": allow}
        elif self._is_refusal:
            message = _END
        await self._send(message)
