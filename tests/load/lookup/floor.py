"""The floor of many IMEIs a question, in a process of its own: the body read, one statement on one connection, the
answers written, as fast as we can write it by hand. No HTTP, no key, and nothing is judged.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from random import Random

import msgspec
import uvloop

from app.core.db import Connection, open_pool

from .ground import Stock, drawn

BODIES = 16
WORDS = ("clear", "suspect", "blocked")
CLASSES = {"theft": "stolen", "robbery": "stolen", "loss": "lost", "fraud": "fraud"}
_UNKNOWN = ("unknown", None, None, None, 0)

_STATEMENT = """
SELECT d.key, l.status, l.since, l.version, i.kind, i.reference
FROM device_imei AS d
LEFT JOIN listing AS l USING (key)
LEFT JOIN incident AS i ON i.incident_id = l.held_by[1]
WHERE d.key = ANY ($1::bigint [])
"""


class _Answer(msgspec.Struct):
    imei: str
    status: str
    since: object
    reason: str | None
    reference: str | None
    version: int


async def answered(stock: Stock, size: int, seconds: float) -> float:
    """IMEIs a second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, stock.dsn, str(stock.registered), str(size), str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    return float(said)


async def _main(dsn: str, registered: int, size: int, seconds: float) -> float:
    stock, random = Stock(dsn, registered, 0, iter(())), Random(1)
    bodies = [json.dumps({"imeis": drawn(random, stock, size)}).encode() for _ in range(BODIES)]
    async with await open_pool(dsn, size=1) as pool, pool.acquire() as conn:
        await _answer(conn, bodies[0])
        count, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            await _answer(conn, bodies[count % BODIES])
            count += 1
        return count * size / (time.monotonic() - began)


async def _answer(conn: Connection, body: bytes) -> bytes:
    imeis = msgspec.json.decode(body)["imeis"]
    keys = [int(text[:14]) for text in imeis]
    rows = await conn.fetch(_STATEMENT, keys)
    told = {
        key: (WORDS[status or 0], since, CLASSES.get(kind), reference, version or 0)
        for key, status, since, version, kind, reference in rows
    }
    answers = [_Answer(text, *told.get(key, _UNKNOWN)) for text, key in zip(imeis, keys, strict=True)]
    return msgspec.json.encode({"results": answers})


if __name__ == "__main__":
    dsn, registered, size, seconds = sys.argv[1:]
    print(uvloop.run(_main(dsn, int(registered), int(size), float(seconds))))
