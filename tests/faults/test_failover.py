"""The database is lost, and its standby promoted: what was acknowledged stands, and the partners hear all of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from app.core.db import open_pool, transaction
from app.core.migrate import migrate

from .pair import pair
from .people import add_partner, block, new_incident
from .workers import at_work
from .world import FIRST_KEY

# The database has fifteen seconds from the loss of the one to work on the other.
SOON = 15


async def test_the_standby_of_a_lost_database_goes_on(eir, tmp_path, ask_eir):
    async with pair() as both, at_work(both.dsn, tmp_path, 2) as workers:
        pool = await open_pool(both.dsn, size=4)
        async with pool.acquire() as conn:
            await migrate(conn)
        await add_partner(pool, "eir", "eir_push", {"url": eir.url})
        for worker in workers:
            worker.start()
        kept = list[int]()
        deciding = asyncio.create_task(_decide(pool, kept))
        while len(await ask_eir("/identifiers?state=blocked")) < 20:
            await asyncio.sleep(0.1)
        known, lost_at = set(kept), time.monotonic()
        await both.fail_over()
        while not set(kept) - known:
            await asyncio.sleep(0.05)
        took = time.monotonic() - lost_at
        await asyncio.sleep(1)
        deciding.cancel()
        async with asyncio.timeout(60):
            while await pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0"):
                await asyncio.sleep(0.2)
        listed = {row["key"] for row in await pool.fetch("SELECT key FROM listing WHERE blocked_by > 0")}
        pool.terminate()
        blocked = set(await ask_eir("/identifiers?state=blocked&limit=100000"))
    print(
        f"\ndecided anew {took:.1f} s after the loss; {len(kept)} decisions, {len(known)} of them before it"
    )
    assert took < SOON
    assert set(kept) <= listed
    assert blocked == {f"{key:014d}" for key in listed}


async def _decide(pool, kept):
    """One device after the other; those are kept of which it was said that they stand."""
    for key in range(FIRST_KEY, FIRST_KEY + 100_000):
        with suppress(Exception):
            incident = await new_incident(pool)
            await transaction(pool, lambda conn, i=incident, k=key: block(conn, i, [k]))
            kept.append(key)
        await asyncio.sleep(0.02)
