"""One operator's EIR in a process of its own, which keeps its own books, and real workers that tell it: through an
adapter that strikes its own process at a chosen moment."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx

from app.core.db import Pool, transaction
from app.delivery.send import Terms
from app.sandbox.server import Running

from .people import add_partner, block, new_incident, release
from .workers import SHORT, at_work
from .world import FIRST_KEY, in_lane

KEYS = [FIRST_KEY + number for number in range(64)]
LANE = in_lane(24)
NAMES = [f"{key:014d}" for key in KEYS]
_PROGRESS = "SELECT sum(done + already) FROM progress JOIN command USING (command_id) WHERE NOT again"


class Scene:
    """A partner, its row, and the decisions about the keys."""

    def __init__(self, pool: Pool, dsn: str, eir: Running, packages: str, folder: Path) -> None:
        self.pool, self.dsn, self.eir, self.packages, self.folder = pool, dsn, eir, packages, folder

    async def partner(self, **settings: Any) -> None:
        settings = {"url": self.eir.url, "once": str(self.folder / "struck"), **settings}
        await add_partner(self.pool, "eir", "fragile", settings)
        self.incident = await new_incident(self.pool)

    async def block(self, keys: list[int]) -> None:
        await transaction(self.pool, lambda conn: block(conn, self.incident, keys))

    async def release(self, keys: list[int]) -> None:
        await transaction(self.pool, lambda conn: release(conn, self.incident, keys))

    async def open(self) -> int:
        count: int = await self.pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0")
        return count

    async def settled(self, within: float) -> float:
        """Seconds until nothing is open."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while await self.open():
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def slow(self, ms: int) -> None:
        """The partner takes so long for each call."""
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.put(f"{self.eir.url}/sandbox/faults", json={"latency_ms": ms})

    async def ask(self, path: str = "") -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.eir.url}/sandbox{path}")).json()

    async def blocked(self) -> list[str]:
        found: list[str] = (await self.ask("/identifiers?state=blocked&limit=100000"))["identifiers"]
        return found

    def workers(self, count: int, terms: Terms = SHORT) -> Any:
        return at_work(self.dsn, self.folder, count, terms=terms, path=self.packages)

    async def done(self) -> int:
        """How many orders count as done, those apart that were told again."""
        count: int = await self.pool.fetchval(_PROGRESS)
        return count

    async def history(self, name: str) -> list[str]:
        """What the partner was told of one identifier, in its order."""
        said: list[str] = (await self.ask(f"/identifiers/{name}"))["history"]
        return [words.split()[0] for words in said]
