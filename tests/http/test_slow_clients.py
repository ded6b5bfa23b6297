"""Clients that say nothing, or say it slowly: they are ended in time, and meanwhile stand in nobody's way."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from .asking import JSON
from .conftest import Gateway
from .test_connections import exchange, post
from .test_partners import added

# What is waited for at most: 10 s, a sweep, and the rest of a body that is passed over.
SOON = 25


async def opened(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(gateway.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def until_closed(gateway: Gateway, data: bytes) -> bytes:
    """All that comes back until the server ends the connection, which it must."""
    reader, writer = await opened(gateway)
    writer.write(data)
    async with asyncio.timeout(SOON):
        found = await reader.read()
    writer.transport.abort()
    return found


def announced(partner: int, framing: str) -> bytes:
    return (
        f"POST /v1/partners/{partner}/confirmations HTTP/1.1\r\nHost: x\r\nwebhook-id: 1\r\n"
        f"webhook-timestamp: {datetime.now(UTC).timestamp():.0f}\r\nwebhook-signature: v1,x\r\n{framing}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("said", [b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_hundreds_that_say_nothing_more_stand_in_nobodys_way(gateway, said):
    held = [await opened(gateway) for _ in range(700)]
    for reader, writer in held:
        writer.write(said)
        if said:
            assert (await asyncio.wait_for(reader.read(15), 10)) == b"HTTP/1.1 200 OK"
    headers = {"authorization": f"Bearer {gateway.keys['carrier']}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False, timeout=5) as client:
        assert (await client.get("/v1/status/490154203237518")).status_code == 200
    for _, writer in held:
        writer.transport.abort()


async def test_nobody_is_waited_for_for_ever(gateway, admin):
    partner = (await added(admin, "Slow brand", "knox_guard"))["id"]
    half = b'{"title": "half'
    answers = await asyncio.gather(
        until_closed(gateway, b""),
        until_closed(gateway, b"P"),
        until_closed(gateway, b"PRI * HTTP/2.0\r\n"),
        until_closed(
            gateway, post(gateway, "/v1/incidents", "application/json", "Content-Length: 90") + half
        ),
        until_closed(gateway, post(gateway, "/v1/receipts", "text/csv", "Content-Length: 90") + b"imei\n"),
        until_closed(gateway, announced(partner, "Content-Length: 90") + half),
    )
    assert answers[:3] == [b""] * 3
    for answer in answers[3:]:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body-too-slow" in answer


async def test_a_line_that_is_only_slow_is_waited_for(gateway):
    async def dripping():
        for _ in range(12):
            await asyncio.sleep(1)
            yield b" " * 16_384
        yield b'{"imeis": []}'

    began = time.monotonic()
    answer = await gateway["carrier"].post("/v1/status", content=dripping(), headers=JSON)
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    assert time.monotonic() - began > 11


async def test_what_partners_report_is_not_read_before_their_headers_are(gateway, admin):
    confirms = (await added(admin, "Heard brand", "knox_guard"))["id"]
    confirms_not = (await added(admin, "Unheard register"))["id"]
    framing = "Content-Length: 5\r\nExpect: 100-continue"
    for partner in (999_999, confirms_not, confirms):
        assert (await exchange(gateway, announced(partner, framing))).split()[1] == b"100"
        bare = f"POST /v1/partners/{partner}/confirmations HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode()
        assert (await exchange(gateway, bare)).split()[1] == b"401"
