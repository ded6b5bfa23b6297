"""A crash between the work and its answer: the web process killed, or its connection, at three moments.

A trigger of the test holds a transaction at the moment that is wanted. Afterwards there are the work and its
reply, or neither; and the same request under the same key leads to one effect.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.core.db import Connection, open_pool

from .asking import problem
from .conftest import Gateway, serving
from .test_idempotency import REPLAYED, a_key, draft_of, same

WAIT = "BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END"
MOMENTS = {
    "in the work": "TRIGGER held AFTER INSERT ON audit_entry FOR EACH STATEMENT",
    "after the reply": "TRIGGER held AFTER UPDATE ON reply FOR EACH ROW",
    "in COMMIT": "CONSTRAINT TRIGGER held AFTER UPDATE ON reply DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
}
BOTH, NEITHER = (1, 1), (0, 0)


@pytest.fixture(scope="module")
async def frail(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    async with serving(cluster, template, tmp_path_factory.mktemp("frail"), "web") as gateway:
        async with connected(gateway) as conn:
            await conn.execute(f"CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $${WAIT}$$")
        yield gateway


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[Connection]:
    async with await open_pool(gateway.dsn, size=1, as_owner=True) as pool, pool.acquire() as conn:
        yield conn


@dataclass
class Held:
    """A request whose transaction waits at its moment, and the backend that it waits in."""

    conn: Connection
    request: asyncio.Task[httpx.Response]
    backend: int

    async def let_go(self) -> None:
        """Lets the transaction go on, and waits until its backend has ended with it."""
        await self.conn.execute("SELECT pg_advisory_unlock(7)")
        busy = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND xact_start IS NOT NULL"
        async with asyncio.timeout(10):
            while await self.conn.fetchval(busy, self.backend):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def held(gateway: Gateway, moment: str, said: Any, headers: dict[str, str]) -> AsyncIterator[Held]:
    async with connected(gateway) as conn:
        await conn.execute(f"CREATE {MOMENTS[moment]} EXECUTE FUNCTION wait()")
        await conn.execute("SELECT pg_advisory_lock(7)")
        request = asyncio.create_task(gateway["admin"].post("/v1/incidents", json=said, headers=headers))
        waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(10):
            while not (backend := await conn.fetchval(waiting)):
                await asyncio.sleep(0.02)
        yield Held(conn, request, backend)
        await conn.execute("SELECT pg_advisory_unlock_all()")
        await conn.execute("DROP TRIGGER held ON " + ("audit_entry" if moment == "in the work" else "reply"))


async def found(conn: Connection, said: Any, headers: dict[str, str]) -> tuple[int, int]:
    """How many incidents there are, and how many replies."""
    incidents = await conn.fetchval("SELECT count(*) FROM incident WHERE title = $1", said["title"])
    replies = await conn.fetchval("SELECT count(*) FROM reply WHERE key = $1", headers["idempotency-key"])
    return incidents, replies


async def again(gateway: Gateway, said: Any, headers: dict[str, str]) -> httpx.Response:
    """The same request, as soon as there is a web process to take it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(httpx.TransportError):
                return await gateway["admin"].post("/v1/incidents", json=said, headers=headers)
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("moment", "left"), [("in the work", NEITHER), ("after the reply", NEITHER), ("in COMMIT", BOTH)]
)
async def test_the_web_process_is_killed(frail, moment, left):
    said, headers = draft_of(), a_key()
    async with held(frail, moment, said, headers) as it:
        (pid,) = frail.running.pids("web")
        os.killpg(pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await it.request
        await it.let_go()
        assert await found(it.conn, said, headers) == left
    answer = await again(frail, said, headers)
    assert (answer.status_code, REPLAYED in answer.headers) == (201, left == BOTH)
    async with connected(frail) as conn:
        assert await found(conn, said, headers) == BOTH


@pytest.mark.parametrize("moment", ["in the work", "after the reply"])
async def test_the_connection_is_lost_before_commit(frail, moment):
    """The web process begins anew by itself."""
    said, headers = draft_of(), a_key()
    async with held(frail, moment, said, headers) as it:
        await it.conn.execute("SELECT pg_terminate_backend($1)", it.backend)
        await it.let_go()
        answer = await it.request
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)
        assert await found(it.conn, said, headers) == BOTH
    same(answer, await again(frail, said, headers))


async def test_the_connection_is_lost_in_commit(frail):
    """Nobody knows what came of it: the answer says so, and the same request under its key finds out."""
    said, headers = draft_of(), a_key()
    async with held(frail, "in COMMIT", said, headers) as it:
        await it.conn.execute("SELECT pg_terminate_backend($1)", it.backend)
        problem(await it.request, 503)
        assert await found(it.conn, said, headers) == NEITHER
    answer = await again(frail, said, headers)
    assert (answer.status_code, REPLAYED in answer.headers) == (201, False)
    async with connected(frail) as conn:
        assert await found(conn, said, headers) == BOTH


async def test_the_same_while_it_is_under_way(frail):
    said, headers = draft_of(), a_key()
    async with held(frail, "after the reply", said, headers) as it:
        for sent in (said, draft_of()):
            async with asyncio.timeout(3):
                answer = await again(frail, sent, headers)
            problem(answer, 409, "key-in-flight")
            assert answer.headers["retry-after"] == "1"
        await it.let_go()
        first = await it.request
    same(first, await again(frail, said, headers))
    async with connected(frail) as conn:
        assert await found(conn, said, headers) == BOTH


async def test_rows_that_others_hold_are_waited_for(frail):
    """Impatience is for the key alone: work waits for a lock as long as it does without a key."""
    admin, headers = frail["admin"], a_key()
    path = (await admin.post("/v1/incidents", json=draft_of())).headers["location"]
    async with connected(frail) as conn:
        async with conn.transaction():
            await conn.execute("SELECT FROM incident FOR UPDATE")
            request = asyncio.create_task(
                admin.post(f"{path}/withdraw", json={"reason": "r"}, headers=headers)
            )
            await asyncio.sleep(0.5)
        assert (await request).status_code == 200
