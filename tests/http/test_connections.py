"""Requests as raw bytes: bodies that break off, lengths that lie, requests that hide another one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import asyncpg
import pytest

from .asking import CSV, register, stock
from .conftest import Gateway


async def exchange(gateway: Gateway, data: bytes, *, then: str = "read") -> bytes:
    """What comes back until the server closes or falls silent; `then` may be to leave, or to send no more."""
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(data)
    await writer.drain()
    if then == "leave":
        await asyncio.sleep(0.2)
        writer.transport.abort()
        return b""
    if then == "end":
        writer.write_eof()
    found = b""
    try:
        async with asyncio.timeout(1):
            while part := await reader.read(65_536):
                found += part
    except TimeoutError:
        pass
    writer.transport.abort()
    return found


def post(gateway: Gateway, path: str, sent_as: str, framing: str) -> bytes:
    key = gateway.keys["admin"]
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: {sent_as}\r\n"
    return f"{head}{framing}\r\n\r\n".encode()


async def receipts(gateway: Gateway) -> int:
    params = {"kind": "receipt.registered", "limit": "10000"}
    return len((await gateway["admin"].get("/v1/audit/entries", params=params)).json()["entries"])


async def left_open(gateway: Gateway) -> int:
    """The transactions that have waited for their client for a second; the worker's own wait for far less."""
    await asyncio.sleep(1.2)
    conn = await asyncpg.connect(gateway.dsn)
    number: int = await conn.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second'"
    )
    await conn.close()
    return number


@pytest.mark.parametrize("then", ["leave", "end"])
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
async def test_an_upload_that_breaks_off_registers_nothing(gateway, manager, framing, then):
    goods = stock(2)
    before = await receipts(gateway)
    body = goods.csv
    if "chunked" in framing:
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    answer = await exchange(gateway, post(gateway, "/v1/receipts", "text/csv", framing) + body, then=then)
    assert then == "leave" or answer.startswith(b"HTTP/1.1 400 ")
    assert await left_open(gateway) == 0
    assert await receipts(gateway) == before
    found = (await manager.get("/v1/devices", params={"pallet": goods.pallet})).json()
    assert found["devices"] == []
    assert (await register(gateway["goods-in"], goods))["registered"] == 2


async def test_a_client_that_leaves_before_the_answer(gateway, manager):
    goods = stock(2)
    framing = f"Content-Length: {len(goods.csv)}"
    await exchange(gateway, post(gateway, "/v1/receipts", "text/csv", framing) + goods.csv, then="leave")
    assert await left_open(gateway) == 0
    devices = (await manager.get("/v1/devices", params={"pallet": goods.pallet})).json()["devices"]
    assert len(devices) in (0, 2)


async def test_a_decision_that_breaks_off_is_none(gateway):
    said = b'{"title": "BROKEN OFF", "scope": {"serials": ["A"]}}'
    for framing, body in (
        ("Content-Length: 1000", said),
        ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(said), said)),
    ):
        await exchange(
            gateway, post(gateway, "/v1/incidents", "application/json", framing) + body, then="leave"
        )
    await asyncio.sleep(0.3)
    latest = (await gateway["admin"].get("/v1/incidents", params={"limit": 20})).json()["incidents"]
    assert "BROKEN OFF" not in [incident["title"] for incident in latest]


@pytest.mark.parametrize(
    ("path", "sent_as"), [("/v1/incidents", "application/json"), ("/v1/receipts", "text/csv")]
)
async def test_an_announced_body_over_the_limit_is_not_waited_for(gateway, path, sent_as):
    answer = await exchange(gateway, post(gateway, path, sent_as, "Content-Length: 99999999999"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert b"body-too-large" in answer


async def test_a_chunked_body_without_end_is_cut(gateway):
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(post(gateway, "/v1/incidents", "application/json", "Transfer-Encoding: chunked"))
    sent = 0
    # Who never stops sending may be cut off without hearing why.
    with suppress(ConnectionError):
        while sent < 200_000_000:
            writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            await writer.drain()
            sent += 65_536
    writer.transport.abort()
    assert sent < 100_000_000
    assert reader.exception() or (await reader.read(12)) in (b"", b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 60",
        "Content-Length: +5",
        "Content-Length: -5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "X: y\r\n Transfer-Encoding: chunked",
    ],
)
async def test_a_request_hides_no_other(gateway, framing):
    hidden = b"0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await exchange(gateway, post(gateway, "/v1/status", "application/json", framing) + hidden)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"live"' not in answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/status/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/status/a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nAuthorization: a\0b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda value: repr(value[:30]),
)
async def test_what_is_no_request_is_refused(gateway, data):
    answer = await exchange(gateway, data)
    assert answer == b"" or answer.split()[1][:1] == b"4"
    assert (await gateway["nobody"].get("/health/live")).status_code == 200


async def test_the_rest_of_a_body_is_no_request(gateway):
    body = b'{"title": "t", "scope": {"serials": ["A"]}}GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'
    answer = await exchange(
        gateway, post(gateway, "/v1/incidents", "application/json", "Content-Length: 5") + body
    )
    assert b'"live"' not in answer
    assert all(part.split()[0][:1] == b"4" for part in answer.split(b"HTTP/1.1 ")[1:])


async def test_two_that_send_the_same_at_once(gateway):
    goods = stock(50)
    client = gateway["goods-in"]
    sent = [client.post("/v1/receipts", content=goods.csv, headers=CSV) for _ in range(8)]
    answers = [response.json() for response in await asyncio.gather(*sent)]
    assert sum(answer["registered"] for answer in answers) == 50
    assert all(answer["registered"] + answer["unchanged"] == 50 for answer in answers)


@pytest.mark.parametrize("size", [1_000, 300_000, 8_000_000])
async def test_who_is_refused_hears_of_it_while_still_sending(gateway, size):
    """Not a reset connection, which is what most clients make of an answer that comes too early."""
    for client, path, status in (
        (gateway["nobody"], "/v1/receipts", 401),
        (gateway["carrier"], "/v1/receipts", 403),
        (gateway["admin"], "/v1/status", 415),
        (gateway["admin"], "/nope", 404),
        (gateway["admin"], "/docs", 405),
    ):
        for content in (b"x" * size, parts(size)):
            assert (await client.post(path, content=content, headers=CSV)).status_code == status


async def parts(size: int):
    for start in range(0, size, 65_536):
        yield b"x" * min(65_536, size - start)


async def test_who_waits_to_be_asked_is_not_asked_for_what_is_refused(gateway):
    framing = "Content-Length: 5\r\nExpect: 100-continue"
    answer = await exchange(gateway, post(gateway, "/v1/status", "text/plain", framing))
    assert answer.startswith(b"HTTP/1.1 415 ")
