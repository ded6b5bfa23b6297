"""A TCP proxy that harms what passes through it: slow, narrow, sliced, held up, cut, closed late, or not there.

What it has not handed on when the caller goes away it never hands on: a call that was given up on does not arrive.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal, NamedTuple

Kind = Literal["latency", "bandwidth", "slow_close", "timeout", "reset", "slicer", "down"]
KINDS: tuple[Kind, ...] = ("latency", "bandwidth", "slow_close", "timeout", "reset", "slicer", "down")
# Closing with this says RST and not FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


class Toxic(NamedTuple):
    """`amount` is seconds for latency and slow_close, bytes a second for bandwidth, bytes for slicer and for reset
    (after how many of the answer); the others need none."""

    kind: Kind
    amount: float = 0.0


class Proxy:
    """One way to one server. `toxic` may be changed at any time, and holds for what passes from then on."""

    def __init__(self, host: str, port: int) -> None:
        self._beyond = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self.toxic: Toxic | None = None
        # What comes to it waits for it, even when there is another one by then.
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0
        self.connections = 0
        self.harmed = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is(self, kind: Kind) -> bool:
        return self.toxic is not None and self.toxic.kind == kind

    @property
    def _amount(self) -> float:
        return self.toxic.amount if self.toxic else 0.0

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        try:
            if self._is("down"):
                self.harmed += 1
                return
            beyond, answer = await asyncio.open_connection(*self._beyond)
            try:
                await self._both(reader, answer, beyond, writer)
            finally:
                _abort(answer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            _abort(writer)
            self._tasks.discard(task)

    async def _both(
        self,
        reader: asyncio.StreamReader,
        answer: asyncio.StreamWriter,
        beyond: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Either side's end is the end of both."""
        ways = {
            asyncio.create_task(self._pump(reader, answer, back=False)),
            asyncio.create_task(self._pump(beyond, writer, back=True)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self._is("slow_close"):
                self.harmed += 1
                await asyncio.sleep(self._amount)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := await reader.read(65536):
                self.harmed += self.toxic is not None
                if self._is("down") or (back and self._is("reset") and passed + len(data) > self._amount):
                    return
                passed += len(data)
                await self._hold()
                if not back and reader.at_eof():  # the caller went away meanwhile
                    return
                await self._hand_on(data, writer)

    async def _hold(self) -> None:
        if self._is("latency"):
            await asyncio.sleep(self._amount)
        while self._is("timeout"):
            await asyncio.sleep(0.05)
        await self.gate.wait()

    async def _hand_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        size = max(1, int(self._amount)) if self._is("slicer") or self._is("bandwidth") else len(data)
        pause = 1.0 if self._is("bandwidth") else 0.01
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            if start + size < len(data):
                await asyncio.sleep(pause)


def _abort(writer: asyncio.StreamWriter) -> None:
    held = writer.transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
