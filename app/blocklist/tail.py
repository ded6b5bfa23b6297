"""Who waits in this process for the block list to change. One look at the database serves all of them."""

from __future__ import annotations

import asyncio

from app.blocklist.feed import head
from app.core.db import Pool, asks_again

PULSE = 0.05


class Tail:
    """All that wait; one for each web process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._at_work: asyncio.Task[None] | None = None

    async def beyond(self, position: int, within: float) -> None:
        """Returns as soon as the block list has come further than this position, or so many seconds have passed.
        Raises what the database raised, unless it is only away."""
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[moved] = position
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        try:
            await asyncio.wait_for(moved, within)
        except TimeoutError:
            return
        finally:
            del self._waiting[moved]

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._look()
                await asyncio.sleep(PULSE)
        except Exception as error:  # all who wait hear of the fault
            for moved in self._waiting:
                if not moved.done():
                    moved.set_exception(error)
        finally:
            self._at_work = None

    async def _look(self) -> None:
        try:
            async with self._pool.acquire(timeout=10) as conn:
                now = await head(conn)
        except Exception as error:
            if not (asks_again(error) or isinstance(error, TimeoutError)):
                raise
            return
        for moved, position in self._waiting.items():
            if now.position > position and not moved.done():
                moved.set_result(None)
