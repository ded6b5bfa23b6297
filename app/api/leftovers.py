"""The ends of an exchange that would not end: a body that nobody read, as when its sender is refused, is passed over
before the answer goes out, and an answer that its asker does not take is broken off.

A server that closes on a client which is still sending resets the connection, and the answer is lost with it. Whoever
makes a long answer holds a connection to the database, for which others wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, cast

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import LitestarException
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from app.api.body import let_go
from app.core import log

MOST = 16 * 2**20
PATIENCE = 5.0
TO_TAKE = 30.0
"""Seconds for a piece of an answer to be taken. HTTP/2 lets a client take nothing, and look alive all the while."""


NOT_KEPT = (b"cache-control", b"no-store")
"""How an identifier stands is true at that moment alone; whose answer may be kept says so itself."""
_OPENED = "imei_gateway.opened"
_LOG = log.get("api")


class Untaken(ConnectionError):
    """The asker does not take his answer."""


def heard_out(app: ASGIApp) -> ASGIApp:
    """Wraps the application, which may answer before it has read a body."""

    async def hear_out(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, passes_over=_sends_a_body(scope))
        try:
            await app(scope, exchange.receive, exchange.send)
        except Untaken as error:
            _LOG.warning("api.untaken", route=scope.get("path_template"), error=str(error))
        except LitestarException as error:
            # The framework's word for what breaks an answer off in its middle.
            if not isinstance(error.__cause__, Untaken):
                raise
            _LOG.warning("api.untaken", route=scope.get("path_template"), error=str(error.__cause__))
        finally:
            exchange.end()
            let_go(scope)
            await _close(scope)

    return hear_out


def closes(scope: Scope, opened: AsyncGenerator[Any, Any]) -> None:
    """What an answer is read from is closed when the exchange has ended, however that was."""
    cast("dict[str, Any]", scope).setdefault(_OPENED, []).append(opened)


async def _close(scope: Scope) -> None:
    for opened in cast("dict[str, Any]", scope).pop(_OPENED, ()):
        await opened.aclose()


def _sends_a_body(scope: HTTPScope) -> bool:
    """Whether a body of bearable size is under way already, and not only once it is asked for."""
    headers = Headers.from_scope(scope)
    length = headers.get("content-length", "0")
    sized = length.isdecimal() and len(length) < 20 and 0 < int(length) <= MOST
    return (sized or "transfer-encoding" in headers) and "expect" not in headers


class _Exchange:
    """A request and its answer on their way, and nothing of the server's once they have ended: it keeps a
    connection open for as long as anything refers to its side of it, be it the traceback of an old error."""

    def __init__(self, receive: Receive, send: Send, *, passes_over: bool) -> None:
        self._receive = receive
        self._send = send
        self._is_heard = not passes_over

    async def receive(self) -> HTTPReceiveMessage:
        message = await self._receive()
        self._is_heard = message["type"] != "http.request" or not message["more_body"]
        return message  # type: ignore[return-value]

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if not self._is_heard:
                await self._pass_over()
            if not any(name.lower() == NOT_KEPT[0] for name, _ in message["headers"]):
                message["headers"] = [*message["headers"], NOT_KEPT]
        try:
            async with asyncio.timeout(TO_TAKE):
                await self._send(message)
        except TimeoutError:
            raise Untaken(f"nothing was taken for {TO_TAKE:g} s") from None

    def end(self) -> None:
        self._receive, self._send = _gone, _nobody

    async def _pass_over(self) -> None:
        """Receives the rest of the body and forgets it, up to a size and a time."""
        passed = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._is_heard and passed <= MOST:
                    message = await self.receive()
                    passed += len(message["body"]) if message["type"] == "http.request" else 0


async def _gone() -> HTTPReceiveMessage:
    return {"type": "http.disconnect"}


async def _nobody(message: Message) -> None:
    """Takes what is said after the end."""
