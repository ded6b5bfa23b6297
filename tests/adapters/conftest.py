"""Practice partners on real sockets in the test's own loop, and batches to tell them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from app.adapters import registry
from app.adapters.contract import Adapter, Answer, Batch, Op, Order
from app.core.imei import full
from app.delivery.wire import HttpWire
from app.sandbox import server
from app.sandbox.faults import Faults
from app.sandbox.stage import Stage

SINCE = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)


@dataclass
class Twin:
    """A practice partner, and an adapter and a wire that speak to it."""

    url: str
    stage: Stage
    adapter: Adapter
    wire: HttpWire

    async def tell(self, op: Op, orders: tuple[Order, ...], key: str = "p:1") -> list[Answer]:
        batch = Batch(key, op, orders, datetime.now(UTC), since=SINCE)
        return list(await self.adapter.send(batch, self.wire))

    async def outcomes(self, op: Op, orders: tuple[Order, ...], key: str = "p:1") -> list[str]:
        return [answer.outcome.value for answer in await self.tell(op, orders, key)]

    def order(self, **faults) -> None:
        self.stage.misbehaviour.order(Faults(**faults))


MakeTwin = Callable[..., Awaitable[Twin]]


@pytest.fixture
async def twin() -> AsyncIterator[MakeTwin]:
    """Starts a practice partner: `await twin(kind, options, settings=…, deadline=…)`."""
    closing = []

    async def start(kind: str, options=None, *, settings=None, deadline: float = 5, clock=None) -> Twin:
        stage = Stage(kind, Random(7), *([clock] if clock else []))
        runner = web.AppRunner(
            server.build(kind, options, stage),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.1,
        )
        await runner.setup()
        await web.TCPSite(runner, server.LOOPBACK, 0).start()
        url = f"http://{server.LOOPBACK}:{runner.addresses[0][1]}"
        adapter = registry.make(kind, server.settings(kind, url, options) | (settings or {}))
        wire = HttpWire(deadline=deadline, allow_private=True)
        closing.append((wire, runner))
        return Twin(url, stage, adapter, wire)

    yield start
    for wire, runner in closing:
        await wire.close()
        await runner.cleanup()


def imeis(count: int, start: int = 35_000_000_000_000) -> tuple[Order, ...]:
    return tuple(Order(start + place, version=1, imei=full(start + place)) for place in range(count))


def serials(count: int) -> tuple[Order, ...]:
    return tuple(Order(place, version=1, serial=f"R58M{place:06d}") for place in range(count))


class Drop:
    """A practice partner that takes files, and an adapter that leaves them there."""

    def __init__(self, stage: Stage, adapter, wire: HttpWire, root: Path | None) -> None:
        self.stage, self.adapter, self.wire, self.root = stage, adapter, wire, root

    async def tell(self, op: Op, orders: tuple[Order, ...], key: str = "key-1", **other):
        batch = Batch(key, op, orders, datetime.now(UTC), since=SINCE, **other)
        return list(await self.adapter.send(batch, self.wire))

    async def reports(self, count: int = 1):
        """The reports, once so many have come."""
        async with asyncio.timeout(5):
            while len(found := await self.adapter.poll(self.wire, SINCE)) < count:
                await asyncio.sleep(0.02)
        return found

    async def acknowledged(self) -> list[tuple[str, str, str]]:
        """What the next acknowledgement says, which is then put away."""
        (report,) = await self.reports()
        await self.adapter.put_away([report.name], self.wire)
        return [(said.name, said.op.value, said.answer.outcome.value) for said in report.confirmations]


@pytest.fixture
async def drop(tmp_path):
    """`await drop(kind, local=…)`: by SFTP, or in a directory of this machine."""
    closing = []

    async def start(kind, *, local=False, deadline=5, **settings):
        root = tmp_path / "root" / f"partner-{len(closing)}" if local else None
        options = {"look_every_s": 0.02} | ({"directory": str(root)} if root else {})
        stage = Stage(kind)
        runner = web.AppRunner(server.build(kind, options, stage), shutdown_timeout=0.1)
        await runner.setup()
        adapter = registry.make(kind, server.settings(kind, stage.spoken, options) | settings)
        wire = HttpWire(deadline=deadline, files_root=str(tmp_path / "root"), allow_private=True)
        closing.append((wire, runner))
        return Drop(stage, adapter, wire, root)

    yield start
    for wire, runner in closing:
        await wire.close()
        await runner.cleanup()
