"""The first call to a partner goes out alone: wrong credentials are tried once, and lock no account.

Whoever comes meanwhile waits for it. Once the partner has answered anybody otherwise than with 401 or 403, there is
nothing to wait for any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.adapters.contract import Denied, Reply

PATIENCE = 2.0
"""Seconds in which whoever was turned away may come again with what was asked for (a token, a nonce), and the engine
may pause the partner."""


class HeldBack(Denied):
    """No call was made, for another one was turned away."""


class Introduction:
    """How one wire is introduced. Made anew with it when the settings change."""

    def __init__(self) -> None:
        self._alone = asyncio.Lock()
        self._known = asyncio.Event()
        self._turned_away: asyncio.Task[object] | None = None
        self._status = 0
        self._until = 0.0

    async def made(self, exchange: Callable[[], Awaitable[Reply]]) -> Reply:
        """The reply of an exchange, in its turn. Raises HeldBack, without it, where another one was turned away."""
        while not self._known.is_set():
            if self._is_barred():
                await self._wait_for_another()
                continue
            async with self._alone:
                if not self._known.is_set() and not self._is_barred():
                    return self._noted(await exchange())
        return await exchange()

    def _is_barred(self) -> bool:
        return time.monotonic() < self._until and asyncio.current_task() is not self._turned_away

    async def _wait_for_another(self) -> None:
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                await self._known.wait()
        except TimeoutError:
            raise HeldBack(
                f"HTTP {self._status}: the partner does not accept our credentials; one call has asked for all"
            ) from None

    def _noted(self, reply: Reply) -> Reply:
        if reply.status in (401, 403):
            self._turned_away, self._status = asyncio.current_task(), reply.status
            self._until = time.monotonic() + PATIENCE
        else:
            self._known.set()
        return reply
