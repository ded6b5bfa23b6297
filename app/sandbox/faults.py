"""Misbehaviour to order: what a practice partner does wrong, how often, and the middleware that acts it out.

Chance comes from the generator that is passed in, time from the clock that is passed in.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Annotated, Literal

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]

# Closing with this says RST and not FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is ordered. `applied`: calls that fail, hang, drop or garble have had their effect before."""

    latency_ms: Annotated[float, msgspec.Meta(ge=0, le=600_000)] = 0
    jitter_ms: Annotated[float, msgspec.Meta(ge=0, le=600_000)] = 0
    fail_rate: Rate = 0
    fail_status: Literal[500, 502, 503, 504] = 500
    hang_rate: Rate = 0
    drop_rate: Rate = 0
    garble_rate: Rate = 0
    applied: bool = False
    refuse_rate: Rate = 0
    item_retry_rate: Rate = 0
    result_fail_rate: Rate = 0
    calls_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    down_for_s: Annotated[float, msgspec.Meta(ge=0, le=10_000_000)] = 0


class Misbehaviour:
    """Acts out the faults that are ordered, and counts each that it has acted out."""

    def __init__(self, rng: Random, clock: Callable[[], float]) -> None:
        self._rng = rng
        self._clock = clock
        self.acted: Counter[str] = Counter()
        self.order(Faults())

    def order(self, faults: Faults) -> None:
        """Replace what was ordered before; `down_for_s` begins now."""
        self.ordered = faults
        self._quiet = faults == Faults()
        self._down_until = self._clock() + faults.down_for_s
        self._allowance = self._burst
        self._counted_at = self._clock()

    def forget(self) -> None:
        self.acted.clear()
        self.order(Faults())

    def item(self) -> Literal["fine", "refused", "retry"]:
        """What becomes of one identifier of a call."""
        if self._quiet:
            return "fine"
        if self._happens("refused", self.ordered.refuse_rate):
            return "refused"
        return "retry" if self._happens("retry", self.ordered.item_retry_rate) else "fine"

    def result_fails(self) -> bool:
        """Whether an accepted order comes to nothing later."""
        return self._happens("result_failed", self.ordered.result_fail_rate)

    def is_down(self) -> bool:
        """Whether it answers nobody for now."""
        down = self._clock() < self._down_until
        self.acted["down"] += down
        return down

    async def fate(self) -> Literal["fine", "dropped", "hung", "failed"]:
        """What becomes of a file that is left at the partner, once its time has passed."""
        if self._quiet:
            return "fine"
        if self.is_down():
            return "dropped"
        await self._linger()
        match self._fault():
            case None:
                return "fine"
            case "hung" | "dropped" as fault:
                return fault
        return "failed"

    async def act(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """One call to the partner, well or badly."""
        if self._quiet:
            return await handler(request)
        if self.is_down():
            return _reset(request)
        await self._linger()
        wait = self._wait()
        if wait:
            self.acted["limited"] += 1
            return web.Response(status=429, headers={"Retry-After": str(math.ceil(wait))})
        fault = self._fault()
        if fault is None:
            return await handler(request)
        return await self._misbehave(fault, request, handler)

    async def _misbehave(self, fault: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request) if self.ordered.applied or fault == "garbled" else None
        if fault == "hung":
            await asyncio.Event().wait()
        if fault == "dropped":
            return _reset(request)
        if fault == "garbled" and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            return web.Response(status=answer.status, body=answer.body[: len(answer.body) // 2] + b"\xff{")
        return web.Response(status=self.ordered.fail_status, text="practice failure")

    def _fault(self) -> str | None:
        chances = {
            "hung": self.ordered.hang_rate,
            "dropped": self.ordered.drop_rate,
            "failed": self.ordered.fail_rate,
            "garbled": self.ordered.garble_rate,
        }
        return next((name for name, rate in chances.items() if self._happens(name, rate)), None)

    def _happens(self, name: str, rate: float) -> bool:
        happens = rate > 0 and self._rng.random() < rate
        self.acted[name] += happens
        return happens

    async def _linger(self) -> None:
        delay = self.ordered.latency_ms + self.ordered.jitter_ms * self._rng.random()
        if delay:
            await asyncio.sleep(delay / 1000)

    @property
    def _burst(self) -> float:
        return max(1.0, self.ordered.calls_per_second or 0)

    def _wait(self) -> float:
        """Seconds until the rate limit has room; 0 takes the room that there is (a token bucket)."""
        rate = self.ordered.calls_per_second
        if rate is None:
            return 0.0
        now = self._clock()
        self._allowance = min(self._burst, self._allowance + (now - self._counted_at) * rate)
        self._counted_at = now
        if self._allowance < 1:
            return (1 - self._allowance) / rate
        self._allowance -= 1
        return 0.0


def _reset(request: web.Request) -> web.Response:
    """Break the connection off; the response that is returned reaches nobody."""
    if request.transport is not None:
        held = request.transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        request.transport.abort()
    return web.Response()
