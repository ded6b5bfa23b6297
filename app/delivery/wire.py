"""The way out to one partner: HTTP under one deadline, one byte cap and one small pool of connections; and files.
To public addresses only, unless its row allows others.

Requests go to the httpx-aiohttp transport directly: above it httpx.AsyncClient spends more time per call
on redirects, cookies and proxies, none of which we follow, keep or read.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from app.adapters.contract import Files, NoAnswer, Place, Reply
from app.delivery import reach
from app.delivery.files import Places
from app.delivery.introduction import Introduction
from app.delivery.reach import NotReached
from app.delivery.tls import public_context

_OURS = {"accept-encoding": "identity", "user-agent": "imei-gateway"}

# What is raised where there was no connection, so that nothing was sent.
NO_CONNECTION = (
    aiohttp.ClientConnectorError, ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError, NotReached,
)  # fmt: skip
# InvalidURL is no HTTPError, and aiohttp's own errors are not all translated by the transport.
_TROUBLE = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError)


class HttpWire:
    """Implements `contract.Wire`. One per partner, so that a slow one holds nobody else's connections."""

    def __init__(
        self,
        *,
        deadline: float = 15.0,
        cap: int = 2**20,
        connections: int = 8,
        tls: ssl.SSLContext | None = None,
        allow_private: bool = False,
        resolver: AbstractResolver | None = None,
        files_root: str = "",
    ) -> None:
        """`deadline` in seconds spans connecting, sending and reading; `cap` in bytes bounds an answer. `resolver`
        stands in place of the system's. Below `files_root` stand the directories of this machine where files may be
        exchanged; empty: nowhere."""
        self._deadline = deadline
        self._cap = cap
        self._places = Places(files_root, deadline, allow_private)
        self._introduction = Introduction()
        tls = tls or public_context()

        def session() -> aiohttp.ClientSession:
            connector = Connector(
                allow_private, limit=connections, ssl=tls, keepalive_timeout=30, resolver=resolver
            )
            session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            # It would send a PUT or DELETE whose connection broke once more, unseen, and has no public way to say no.
            session._retry_connection = False
            return session

        self._transport = AiohttpTransport(verify=tls, trust_env=False, client=session)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        try:
            async with asyncio.timeout(self._deadline):
                request = httpx.Request(method, url, headers={**(headers or {}), **_OURS}, content=body)
                return await self._introduction.made(lambda: self._exchange(request))
        except TimeoutError:
            raise NoAnswer(f"timed out after {self._deadline:g} s") from None
        except _TROUBLE as error:
            raise NoAnswer(_plainly(error)) from None

    def files(self, place: Place) -> Files:
        return self._places.at(place)

    async def close(self) -> None:
        """Close every connection. A wire that is closed sends no more."""
        await self._transport.aclose()
        await self._places.close()

    async def _exchange(self, request: httpx.Request) -> Reply:
        response = await self._transport.handle_async_request(request)
        try:
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers.raw
            }
            self._refuse_unreadable(headers)
            return Reply(response.status_code, headers, await self._body(response))
        finally:
            await response.aclose()

    def _refuse_unreadable(self, headers: Mapping[str, str]) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise NoAnswer("answer is compressed, which we asked it not to be")
        length = headers.get("content-length", "")
        if length.isdigit() and len(length) < 20 and int(length) > self._cap:
            raise NoAnswer(self._too_large)

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        # The response's own iterators take as long again for what they count, decode and cut to size.
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for part in response.stream:
            body += part
            if len(body) > self._cap:
                raise NoAnswer(self._too_large)
        return bytes(body)

    @property
    def _too_large(self) -> str:
        return f"answer larger than {self._cap / 2**20:g} MiB"


class Connector(aiohttp.TCPConnector):
    """Judges each address at the socket that is about to be connected to it, and again, before anything is sent, at
    the connection that has come of it: no name can mean one thing when it is judged and another when it is used."""

    def __init__(self, allow_private: bool, **options: Any) -> None:
        self._allow_private = allow_private
        super().__init__(**{"socket_factory": self._socket, **options})

    def _socket(self, found: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = found
        self._judge(address[0])
        return socket.socket(family, kind, protocol)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's own)
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        if self._allow_private:
            return connection
        try:
            self._judge(_peer(connection))
        except OSError:
            connection.close()
            raise
        return connection

    def _judge(self, address: str) -> None:
        if not self._allow_private and not reach.is_public(address):
            raise NotReached


def _peer(connection: aiohttp.connector.Connection) -> str:
    """The address at the other end. Raises ConnectionResetError where that is gone already."""
    peer = connection.transport and connection.transport.get_extra_info("peername")
    if not peer:
        raise ConnectionResetError(errno.ECONNRESET, "gone")
    address: str = peer[0]
    return address


def _plainly(error: BaseException) -> str:
    """What went wrong in a few words that name no address, header or content."""
    causes = [*_causes(error)][::-1]
    for kind, words in _WORDS:
        for cause in causes:
            if isinstance(cause, kind):
                return words(cause)
    return "the request could not be sent"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _system_words(error: OSError) -> str:
    if error.errno:
        return os.strerror(error.errno).lower()
    # As asyncio reports an end before TLS was agreed on.
    return (
        "connection closed in the TLS handshake"
        if type(error) is ConnectionResetError
        else "connection failed"
    )


# The transport reports a refused connection and bad TLS as a time-out: only the causes tell them apart.
_WORDS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (NotReached, str),
    (ssl.SSLCertVerificationError, lambda error: f"TLS: {error.verify_message}"),
    (ssl.SSLError, lambda error: f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"),
    (socket.gaierror, lambda _: "host name not found"),
    (aiohttp.ServerDisconnectedError, lambda _: "connection closed without an answer"),
    (aiohttp.ClientPayloadError, lambda _: "answer broke off"),
    (aiohttp.ClientResponseError, lambda _: "answer is not HTTP"),
    (OSError, _system_words),
)
