"""The proxy does to a call what it is told to do, and nothing once it is told to leave it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from app.adapters.contract import NoAnswer
from app.delivery.wire import HttpWire

from .proxy import Proxy, Toxic, proxied

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200


@pytest.fixture
async def heard() -> list[bytes]:
    """The heads of the requests that the server has heard."""
    return []


@pytest.fixture
async def proxy(heard: list[bytes]) -> AsyncIterator[Proxy]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while head := await reader.read(65536):
                heard.append(head)
                writer.write(REPLY)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with proxied(*server.sockets[0].getsockname()) as proxy:
        yield proxy
    server.close()


async def call(proxy: Proxy, deadline: float = 2.0) -> float:
    """How many seconds a call took."""
    wire, began = HttpWire(allow_private=True, deadline=deadline), time.monotonic()
    try:
        assert len((await wire.send("POST", f"http://127.0.0.1:{proxy.port}/")).body) == 200
    finally:
        await wire.close()
    return time.monotonic() - began


async def test_it_lets_through_what_it_is_not_told_to_harm(proxy, heard):
    assert await call(proxy) < 1
    assert (len(heard), proxy.harmed) == (1, 0)


@pytest.mark.parametrize(
    ("toxic", "least"),
    [(Toxic("latency", 0.3), 0.6), (Toxic("bandwidth", 150), 1.0), (Toxic("slicer", 10), 0.2)],
)
async def test_it_makes_a_call_slow(proxy, toxic, least):
    proxy.toxic = toxic
    assert await call(proxy, 5) > least
    assert proxy.harmed > 0


@pytest.mark.parametrize(
    ("toxic", "arrives"), [(Toxic("timeout"), 0), (Toxic("down"), 0), (Toxic("reset", 20), 1)]
)
async def test_it_makes_a_call_fail(proxy, heard, toxic, arrives):
    proxy.toxic = toxic
    with pytest.raises(NoAnswer):
        await call(proxy, 0.5)
    proxy.toxic = None
    assert await call(proxy) < 1
    assert len(heard) == arrives + 1


async def test_it_closes_late(proxy):
    proxy.toxic = Toxic("slow_close", 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write_eof()
    began = time.monotonic()
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert time.monotonic() - began > 0.4
    writer.close()
