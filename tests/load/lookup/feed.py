"""How soon those who wait at the change feed hear of an approval: since its commit, as the database noted it, and since
its answer, which may come after the change.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from random import Random
from statistics import median
from typing import NamedTuple

import aiohttp
import asyncpg

from app.access.roles import Role
from app.blocklist.feed import cursor_of
from app.core import imei
from app.core.db import Connection, asks_again

from ..figures import Figure
from . import ground
from .deciding import Desk
from .ground import PALLET, Gateway, Plan

APPROVALS = 20
WAITING = (1, 50)


class Heard(NamedTuple):
    """Milliseconds until the last of those who waited had the change."""

    commit: float
    answer: float


async def feed(plan: Plan) -> AsyncIterator[Figure]:
    stock = await ground.stocked(plan, plan.registered, plan.blocked)
    await _note_commits(plan)
    everybody = aiohttp.TCPConnector(limit=0)
    conn = await asyncpg.connect(stock.dsn)
    try:
        async with (
            ground.serving(plan, stock) as gateway,
            aiohttp.ClientSession(connector=everybody) as session,
        ):
            for waiting in WAITING:
                rounds = [await _round(gateway, session, conn, waiting) for _ in range(plan.repeat)]
                for figure in _figures(waiting, rounds):
                    yield figure
    finally:
        await conn.close()


def _figures(waiting: int, rounds: Sequence[Sequence[Heard]]) -> list[Figure]:
    return [
        Figure(
            f"{waiting} waiting, {APPROVALS} approvals: since the {since}, {name}, ms",
            [chosen([heard[place] for heard in found]) for found in rounds],
            at_most=250,
        )
        for place, since in enumerate(Heard._fields)
        for name, chosen in (("median", median), ("max", max))
    ]


async def _round(
    gateway: Gateway, session: aiohttp.ClientSession, conn: Connection, waiting: int
) -> list[Heard]:
    """Thefts of one device each, one after another."""
    (pallet,) = await ground.delivered(gateway.stock, PALLET)
    desk, found, random = Desk(gateway, session), [], Random(1)
    for key in map(ground.key, range(pallet * PALLET, pallet * PALLET + APPROVALS)):
        incident = await desk.draft(imeis=[imei.full(key)])
        await desk.submit(incident)
        cursor = cursor_of(await conn.fetchval("SELECT position FROM blocklist_head"))
        listening = [asyncio.create_task(_heard(gateway, session, cursor, key)) for _ in range(waiting)]
        # Now they all wait, and the approval comes at any moment between two looks at the database.
        await asyncio.sleep(0.5 + random.random() / 10)
        await desk.approve(incident)
        answered = time.time()
        heard = max(await asyncio.gather(*listening))
        committed = await conn.fetchval(_COMMITTED)
        found.append(Heard(1000 * (heard - committed), 1000 * (heard - answered)))
    return found


async def _heard(gateway: Gateway, session: aiohttp.ClientSession, cursor: str, key: int) -> float:
    """When the change had come."""
    headers = {"authorization": f"Bearer {gateway.keys[Role.CARRIER]}"}
    url = f"{gateway.url}/v1/blocklist/changes?cursor={cursor}&wait=60"
    async with session.get(url, headers=headers) as answer:
        said = await answer.json()
        now = time.time()
    assert [change["imei"] for change in said["changes"]] == [f"{key:014d}"], said
    return now


async def _note_commits(plan: Plan) -> None:
    """From now on the database notes when a transaction was committed, for which it is started again."""
    conn = await asyncpg.connect(plan.cluster)
    await conn.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    await conn.close()
    os.kill(plan.postmaster, signal.SIGINT)
    async with asyncio.timeout(60):
        while await _said(plan, "SHOW track_commit_timestamp") != "on":
            await asyncio.sleep(0.1)


async def _said(plan: Plan, question: str) -> object:
    """None where there is no database to ask at the moment."""
    try:
        conn = await asyncpg.connect(plan.cluster, timeout=5)
    except Exception as error:
        if not asks_again(error):
            raise
        return None
    try:
        return await conn.fetchval(question)
    finally:
        await conn.close()


_COMMITTED = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(xmin))::double precision FROM blocklist_head
"""
