"""The engine under pressure, phase by phase: clean, with a transaction that pins what vacuum would remove, with more
work than it can do, with long readers, and after it. Prints the figures of each phase; run with `-m soak -s`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

from app.adapters.contract import Reply
from app.core.db import Pool, open_pool, transaction
from app.delivery import lanes, send
from app.delivery.contacts import Contacts
from app.delivery.partners import Limits

from .people import KEYRING, block, new_incident, release
from .world import FIRST_KEY, World

pytestmark = pytest.mark.soak

PARTNERS = 10
DEVICES = 10_000
ROUNDS = 6
_DEAD = "SELECT n_dead_tup, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'partner_lane'"


class Phase(NamedTuple):
    """Orders (identifiers × partners) settled a second, p99 of claiming in ms, dead rows among the lanes."""

    name: str
    rate: float
    claim_p99_ms: float
    dead: int

    def __str__(self) -> str:
        return f"{self.name}: {self.rate:,.0f} orders/s, claim p99 {self.claim_p99_ms:.1f} ms, {self.dead} dead rows"


class Instant:
    """Implements `contract.Wire` for a partner that says yes at once: the figures are the database's alone."""

    async def send(self, method: str, url: str, *, headers: Any = None, body: bytes = b"") -> Any:
        return Reply(204, {}, b"")

    async def close(self) -> None:
        return


async def drain(pool: Pool, world: World, claims: list[float]) -> None:
    """Two workers' worth of loops until nothing is open; each claim's time is noted."""

    async def work() -> None:
        idle = 0
        while idle < 3:
            leased_at = time.monotonic()
            async with pool.acquire() as conn:
                began = time.perf_counter()
                claimed = await lanes.claim(conn, 8, 25.0)
                claims.append(time.perf_counter() - began)
            await asyncio.gather(*(send.work_lane(world.desk, lane, leased_at) for lane in claimed))
            idle = 0 if claimed else idle + 1

    await asyncio.gather(work(), work())


async def decided(pool: Pool) -> None:
    """The last theft is released, or the next one declared."""
    incident = await pool.fetchval("SELECT max(incident_id) FROM incident")
    held = await pool.fetchval(
        "SELECT EXISTS (SELECT FROM claim WHERE incident_id = $1 AND state = 1)", incident
    )
    decide, which = (release, incident) if held else (block, await new_incident(pool))
    keys = [FIRST_KEY + which * DEVICES + number for number in range(DEVICES)]
    await transaction(pool, lambda conn: decide(conn, which, keys))


async def phase(name: str, pool: Pool, world: World, rounds: int = ROUNDS, backlog: int = 1) -> Phase:
    """Rounds of: a theft declared, or released (`backlog` times over), then told to everybody. Each is of devices of
    its own, for what was told before of the same ones is read as well, and nobody tells of a phone forty times."""
    claims: list[float] = []
    settled, began = 0, time.perf_counter()
    for _ in range(rounds):
        for _ in range(backlog):
            await decided(pool)
        await drain(pool, world, claims)
        settled += DEVICES * PARTNERS * backlog
    took = time.perf_counter() - began
    assert await pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0") == 0
    dead = await pool.fetchrow(_DEAD)
    found = Phase(name, settled / took, sorted(claims)[int(len(claims) * 0.99)] * 1000, dead["n_dead_tup"])
    print(
        f"\n{found}, {dead['n_tup_hot_upd'] / max(1, dead['n_tup_upd']):.1%} HOT, load {os.getloadavg()[0]:.1f}"
    )
    return found


@asynccontextmanager
async def snapshots(pool: Pool, count: int) -> AsyncIterator[None]:
    """So many transactions that go on reading what was."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            conn = await stack.enter_async_context(pool.acquire())
            await conn.execute("SET idle_in_transaction_session_timeout = 0")
            await stack.enter_async_context(conn.transaction(isolation="repeatable_read"))
            await conn.fetchval("SELECT count(*) FROM partner_lane")
        yield


@pytest.fixture
async def crowd(pool: Pool) -> World:
    """Many partners that say yes at once."""
    world = World(pool)
    contacts: Any = Contacts(lambda _: Instant(), KEYRING)  # type: ignore[arg-type, return-value]
    world.desk = msgspec.structs.replace(world.desk, contacts=contacts)
    for _ in range(PARTNERS):
        await world.partner(limits=Limits(max_inflight=16), batch=1000)
    await world.recover(await world.declare([1]))
    return world


async def test_claims_stay_quick_and_work_goes_on(crowd, pool, database):
    await phase("warm-up", pool, crowd, rounds=3)
    clean = await phase("clean", pool, crowd)
    readers = await open_pool(database, size=5)
    async with snapshots(readers, 1):
        pinned = await phase("one transaction held open", pool, crowd)
    async with snapshots(readers, 4):
        read = await phase("four readers", pool, crowd)
    over = await phase("half as much again at once", pool, crowd, rounds=ROUNDS // 2, backlog=3)
    await pool.execute("VACUUM partner_lane")
    after = await phase("recovered", pool, crowd)
    readers.terminate()
    for found in (clean, pinned, read, over, after):
        # On a machine of one's own; beside other work the clean phase says what is usual.
        assert found.claim_p99_ms < max(20, 3 * clean.claim_p99_ms), found
    assert pinned.rate > 0.5 * clean.rate
    assert read.rate > 0.5 * clean.rate
    assert after.rate > 0.8 * clean.rate
