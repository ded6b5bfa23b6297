"""Calls on their way, and the workers that make them: each stops where the test decides what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from app.adapters.contract import Reply
from app.core.db import Connection, Pool
from app.delivery.lanes import Lane

from .ledger import Told, read_event


class Network(Protocol):
    """Where a call arrives, and what time it is there."""

    def clock(self) -> float: ...

    def arrive(self, visit: Visit) -> None: ...


class Visit:
    """One call on its way to a partner and back. `acted`: the partner has heard it; `gone`: it never will."""

    def __init__(self, partner: int, key: str, orders: tuple[Told, ...], sent_at: float) -> None:
        self.partner, self.key, self.orders, self.sent_at = partner, key, orders, sent_at
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.acted = self.gone = False
        self.said: dict[str, str] = {}

    @property
    def lanes(self) -> set[int]:
        return {int(order.name[:14]) % 16 for order in self.orders}


class Session:
    """One lease being worked by one worker. A frozen one hears nothing until it is thawed."""

    def __init__(self, lane: Lane, leased_at: float, task: asyncio.Task[None]) -> None:
        self.lane, self.leased_at, self.task = lane, leased_at, task
        self.visit: Visit | None = None
        self.frozen = False
        self.stall: Stall | None = None
        self.held_back: list[Callable[[], None]] = []

    @property
    def open_visit(self) -> Visit | None:
        return self.visit if self.visit and not self.visit.reply.done() and not self.task.done() else None

    @property
    def rests(self) -> bool:
        stalled = self.stall is not None and self.stall.waiting
        return self.task.done() or stalled or self.open_visit is not None


class Stall:
    """A pool at whose second connection, that which asks the partner's rate, its worker stops: it has read what is to
    be told and not told it yet, and is put to sleep there, as the system may do with any process."""

    def __init__(self, pool: Pool, moved: asyncio.Event) -> None:
        self._pool, self._moved, self._asked = pool, moved, 0
        self._go = asyncio.Event()
        self.waiting = False

    def acquire(self, **how: Any) -> Any:
        self._asked += 1
        return self._later(how) if self._asked == 2 else self._pool.acquire(**how)

    @asynccontextmanager
    async def _later(self, how: Any) -> AsyncIterator[Connection]:
        self.waiting = True
        self._moved.set()
        await self._go.wait()
        async with self._pool.acquire(**how) as conn:
            yield conn

    def release(self, conn: Any) -> Any:
        return self._pool.release(conn)

    def wake(self) -> None:
        self.waiting = False
        self._go.set()


class Line:
    """Implements `contract.Wire`: every call stops here until the test says what becomes of it."""

    def __init__(self, network: Network, partner: int) -> None:
        self._network, self._partner = network, partner

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        key = (headers or {})["webhook-id"]
        visit = Visit(self._partner, key, read_event(body), self._network.clock())
        self._network.arrive(visit)
        return await visit.reply

    async def close(self) -> None:
        return
