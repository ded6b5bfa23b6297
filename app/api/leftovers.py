"""The rest of a body that nobody read, as when its sender is refused: passed over before the answer goes out.

A server that closes on a client which is still sending resets the connection, and the answer is lost with it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

MOST = 16 * 2**20
PATIENCE = 5.0


def heard_out(app: ASGIApp) -> ASGIApp:
    """Wraps the application, which may answer before it has read a body."""

    async def hear_out(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not _sends_a_body(scope):
            await app(scope, receive, send)
            return
        rest = _Rest(receive)

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                await rest.pass_over()
            await send(message)

        await app(scope, rest.receive, answering)

    return hear_out


def _sends_a_body(scope: HTTPScope) -> bool:
    """Whether a body of bearable size is under way already, and not only once it is asked for."""
    headers = Headers.from_scope(scope)
    length = headers.get("content-length", "0")
    sized = length.isdecimal() and len(length) < 20 and 0 < int(length) <= MOST
    return (sized or "transfer-encoding" in headers) and "expect" not in headers


class _Rest:
    """What has not yet been received of a body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> HTTPReceiveMessage:
        message = await self._receive()
        self._ended = message["type"] != "http.request" or not message["more_body"]
        return message  # type: ignore[return-value]

    async def pass_over(self) -> None:
        """Receives the rest and forgets it, up to a size and a time."""
        passed = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._ended and passed <= MOST:
                    message = await self.receive()
                    passed += len(message["body"]) if message["type"] == "http.request" else 0
