"""A bare client: the same adapter and the same transport as the engine's, the same batches, as many calls in flight,
and no engine, no database, no record. A process of its own, told on its input what to send; it says how long it took.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx
import uvloop
from httpx_aiohttp import AiohttpTransport

from app.adapters import registry
from app.adapters.contract import Adapter, Batch, Op, Order, Outcome, Reply
from app.core import imei

from . import ground
from .ground import Plan


async def took(
    plan: Plan, kind: str, partners: Sequence[Mapping[str, Any]], inflight: int, keys: Sequence[int]
) -> float:
    """Seconds from the first call to the end of the last, for partners of these settings that are each told all."""
    told = json.dumps({"kind": kind, "partners": partners, "inflight": inflight, "keys": list(keys)})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ground.environ(plan),
    )  # fmt: skip
    said, _ = await process.communicate(told.encode())
    return float(said)


class _Wire:
    """What a short script would send with."""

    def __init__(self, connections: int) -> None:
        connector = aiohttp.TCPConnector(limit=connections)
        self._transport = AiohttpTransport(client=lambda: aiohttp.ClientSession(connector=connector))

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        request = httpx.Request(method, url, headers=headers, content=body)
        response = await self._transport.handle_async_request(request)
        return Reply(response.status_code, response.headers, await response.aread())

    async def close(self) -> None:
        await self._transport.aclose()


async def _main(kind: str, partners: list[dict[str, Any]], inflight: int, keys: list[int]) -> float:
    orders = [Order(key, 1, imei=imei.full(key)) for key in keys]
    began = time.monotonic()
    await asyncio.gather(*(_tell(registry.make(kind, settings), inflight, orders) for settings in partners))
    return time.monotonic() - began


async def _tell(adapter: Adapter, inflight: int, orders: Sequence[Order]) -> None:
    wire, size = _Wire(inflight), adapter.batch_size
    batches = [tuple(orders[start : start + size]) for start in range(0, len(orders), size)]

    async def work() -> None:
        while batches:
            told = batches.pop()
            batch = Batch(f"bare-{told[0].key}", Op.BLOCK, told, datetime.now(UTC))
            answers = await adapter.send(batch, wire)
            assert all(answer.outcome is Outcome.DONE for answer in answers), answers

    await asyncio.gather(*(work() for _ in range(inflight)))
    await wire.close()


if __name__ == "__main__":
    print(uvloop.run(_main(**json.load(sys.stdin))))
