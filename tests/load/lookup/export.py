"""The whole block list over HTTP, beside the same rows copied out of the database, and beside the text of the gateway's
own statement without HTTP.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg

from app.access.roles import Role
from app.blocklist.export import After, Form, lines
from app.core.db import open_pool

from ..figures import Figure
from . import ground
from .ground import Gateway, Plan, Stock

WAYS = {"NDJSON": ("ndjson", ""), "CSV": ("csv", ""), "NDJSON, gzip": ("ndjson", "gzip")}


async def export(plan: Plan) -> AsyncIterator[Figure]:
    """All that is registered is blocked here."""
    stock = await ground.stocked(plan, plan.registered, plan.registered)
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    copied: list[float] = []
    stated: dict[str, list[float]] = {"ndjson": [], "csv": []}
    async with ground.serving(plan, stock) as gateway:
        for _ in range(plan.repeat):
            copied.append(stock.blocked / await _copied(stock))
            for form, found in stated.items():
                found.append(stock.blocked / await _stated(stock, Form(form)))
            for way, (form, coding) in WAYS.items():
                rates[way].append(stock.blocked / await asyncio.to_thread(_read, gateway, form, coding))
    for way, found in rates.items():
        yield Figure(f"{way}, rows/s (floor: COPY)", found, at_least=500_000, floor=copied)
        yield Figure(f"{way}, rows/s (floor: its statement)", found, floor=stated[WAYS[way][0]])


def _read(gateway: Gateway, form: str, coding: str) -> float:
    """Seconds until the last byte has come."""
    address = urlsplit(gateway.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    headers = {"authorization": f"Bearer {gateway.keys[Role.CARRIER]}", "accept-encoding": coding}
    began = time.monotonic()
    connection.request("GET", f"/v1/blocklist?format={form}", headers=headers)
    answer = connection.getresponse()
    parts = []
    while part := answer.read1(1 << 20):
        parts.append(part)
    took = time.monotonic() - began
    connection.close()
    body = b"".join(parts)
    lines = (gzip.decompress(body) if coding else body).count(b"\n")
    assert answer.status == 200, body
    assert lines == gateway.stock.blocked + (form == "csv"), lines
    return took


async def _copied(stock: Stock) -> float:
    conn, size = await asyncpg.connect(stock.dsn), 0

    async def count(part: bytes) -> None:
        nonlocal size
        size += len(part)

    try:
        began = time.monotonic()
        await conn.copy_from_query(_ROWS, output=count, format="csv", timeout=600)
        return time.monotonic() - began
    finally:
        await conn.close()


async def _stated(stock: Stock, form: Form) -> float:
    async with await open_pool(stock.dsn, size=1, min_size=1) as pool:
        began = time.monotonic()
        async for _ in lines(pool, form, After()):
            pass
        return time.monotonic() - began


_ROWS = """
SELECT lpad(l.key::text, 14, '0'), l.status, l.since, i.kind, i.reference, l.version
FROM listing AS l
JOIN incident AS i ON i.incident_id = l.held_by[1]
WHERE l.status > 0
ORDER BY l.key
"""
