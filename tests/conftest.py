"""A real PostgreSQL for every test that asks: one server for the session, a database for each test."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from random import Random
from uuid import uuid4

import asyncpg
import pytest

from app.core.db import Connection, Pool, open_pool
from app.core.keyring import Keyring
from app.core.migrate import migrate
from app.core.postgres import running

# Whoever runs the tests in the background of a script has Ctrl-C ignored, and commands inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def sibling(dsn: str, database: str) -> str:
    """The DSN of another database of the same server."""
    return dsn.replace("/gateway?", f"/{database}?")


async def administer(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of a server of this test session."""
    async with running(tmp_path_factory.mktemp("cluster")) as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def template(cluster: str) -> str:
    """The name of a migrated database, which the tests' own are cloned from."""
    await administer(cluster, "CREATE DATABASE template_gateway")
    conn = await asyncpg.connect(sibling(cluster, "template_gateway"), timeout=10)
    await migrate(conn)
    await conn.close()
    return "template_gateway"


@pytest.fixture
async def database(cluster: str, template: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test alone."""
    name = f"test_{uuid4().hex}"
    await administer(cluster, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield sibling(cluster, name)
    await administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    """A key for partners' secrets."""
    return Keyring([b"k" * 32], Random(3).randbytes)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database)
    yield pool
    pool.terminate()


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Pool]:
    """As whoever owns the database, for what the service may not do."""
    pool = await open_pool(database, as_owner=True)
    yield pool
    pool.terminate()


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn
