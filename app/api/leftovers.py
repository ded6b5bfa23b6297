"""The rest of a body that nobody read, as when its sender is refused: passed over before the answer goes out.

A server that closes on a client which is still sending resets the connection, and the answer is lost with it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from app.api.body import let_go

MOST = 16 * 2**20
PATIENCE = 5.0


def heard_out(app: ASGIApp) -> ASGIApp:
    """Wraps the application, which may answer before it has read a body."""

    async def hear_out(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, passes_over=_sends_a_body(scope))
        try:
            await app(scope, exchange.receive, exchange.send)
        finally:
            exchange.end()
            let_go(scope)

    return hear_out


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
        if message["type"] == "http.response.start" and not self._is_heard:
            await self._pass_over()
        await self._send(message)

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
