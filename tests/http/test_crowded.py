"""Somebody holds every connection that the database has: who asks is told so soon, and nothing waits without end."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from .conftest import serving

# Far beyond what a pool waits for a connection.
SOON = 15


@pytest.fixture
async def gateway(cluster, template, tmp_path):
    async with serving(cluster, template, tmp_path, "web", "worker") as gateway:
        yield gateway


async def test_a_crowded_database_is_told_of_at_once(gateway, cluster):
    admin = gateway.clients["admin"]
    async with AsyncExitStack() as crowd:
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                crowd.push_async_callback((await asyncpg.connect(cluster)).close)
        began = time.monotonic()
        answers = await asyncio.gather(*(admin.get("/v1/partners") for _ in range(60)))
        assert time.monotonic() - began < SOON
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert {answer.json()["code"] for answer in refused} == {"database-away"}
        assert all("retry-after" in answer.headers for answer in refused)
        assert {answer.status_code for answer in answers} <= {200, 503}
        # Its own health needs no connection more than it has.
        assert (await admin.get("/health/live")).status_code == 200
    assert {
        answer.status_code for answer in await asyncio.gather(*(admin.get("/v1/partners") for _ in range(60)))
    } == {200}
