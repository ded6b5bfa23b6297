"""The gateway as its callers meet it: a real server on a database of its own, and a key for each role."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from aiohttp import web

from app.access import keys
from app.access.ends import Ends
from app.access.keys import NewKey
from app.access.roles import Role
from app.audit import signing
from app.audit.note import Kind
from app.cli import service
from app.core.config import Settings
from app.core.db import Connection, open_pool
from app.core.keyring import new_key
from app.core.reach import Reach
from app.sandbox import server
from app.sandbox.stage import Stage

from ..conftest import administer, sibling
from .asking import decided, drafted, register, stock

MAX_UPLOAD = 2_000_000
MAX_BODY = 1_000_000
MAX_EVENTS = 1_000
MAX_FILE = 1_000_000
LOG = "gateway.example/audit"


class Gateway:
    """A running gateway: its address, its database, and a client for each role (`nobody` has no key)."""

    def __init__(
        self,
        running: service.Service,
        settings: Settings,
        dsn: str,
        made: dict[str, str],
        clients: dict[str, httpx.AsyncClient],
    ) -> None:
        self.url = running.url
        self.settings = settings
        self.running = running
        self.dsn = dsn
        self.keys = made
        self.clients = clients

    def __getitem__(self, role: str) -> httpx.AsyncClient:
        return self.clients[role]

    async def new_key(self, role: Role, reach: Reach | None = None) -> NewKey:
        """A key of its own, for a test that uses it up, or of somebody who sees a part alone."""
        return await _new_key(self.dsn, role, reach)

    async def revoke(self, key_id: str) -> None:
        async with _connected(self.dsn) as conn:
            assert await keys.revoke(conn, key_id, "tests", datetime.now(UTC))

    def connected(self) -> AbstractAsyncContextManager[Connection]:
        """As the owner of its database."""
        return _connected(self.dsn)

    async def execute(self, statement: str, *values: object) -> None:
        """For what takes two weeks, or workers that die."""
        async with _connected(self.dsn) as conn:
            await conn.execute(statement, *values)

    def client(self, made: NewKey) -> httpx.AsyncClient:
        """A client that acts with this key."""
        return _client(self.url, made.key)

    def bare(self) -> httpx.AsyncClient:
        """A client of its own connections, for any address."""
        return httpx.AsyncClient(timeout=30, trust_env=False)


_END_RULES = "UPDATE approval_rule SET ended_at = now(), ended_by = 'tests' WHERE subject <> 'block'"


@asynccontextmanager
async def serving(
    cluster: str,
    template: str,
    data_dir: Path,
    *names: str,
    through: str = "",
    ruled: bool = False,
    **more: Any,
) -> AsyncIterator[Gateway]:
    """A gateway of these processes, which may reach its database `through` another folder of sockets, with `more`
    settings. Where it is `ruled`, what a fresh one has others approve takes others; else only what blocks does."""
    database = f"http_{uuid4().hex}"
    await administer(cluster, f"CREATE DATABASE {database} TEMPLATE {template}")
    dsn = sibling(cluster, database)
    made = {str(role): (await _new_key(dsn, role)).key for role in Role}
    if not ruled:
        async with _connected(dsn) as conn:
            await conn.execute(_END_RULES)
    way = parse_qs(urlsplit(dsn).query)["host"][0]
    settings = Settings(
        data_dir=data_dir,
        database_url=dsn.replace(way, through or way),
        port=0,
        max_upload=MAX_UPLOAD,
        max_body=MAX_BODY,
        epcis_capture_limit=MAX_EVENTS,
        epcis_file_size_limit=MAX_FILE,
        secrets_key=new_key(secrets.token_bytes),
        audit_key=signing.new(LOG, Kind.NOTE, secrets.token_bytes).written(),
        log_level="error",
        **more,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(administer, cluster, f"DROP DATABASE {database} WITH (FORCE)")
        running = await stack.enter_async_context(service.running(settings, names))
        clients = {
            role: await stack.enter_async_context(_client(running.url, key))
            for role, key in [*made.items(), ("nobody", None)]
        }
        yield Gateway(running, settings, dsn, made, clients)


def _client(url: str, key: str | None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    async with await open_pool(dsn, size=1, as_owner=True) as pool, pool.acquire() as conn:
        yield conn


async def _new_key(dsn: str, role: Role, reach: Reach | None = None) -> NewKey:
    whose = ", ".join(reach.owners or reach.sites or ()) if reach else "the tests"
    said = {"name": f"{role} of {whose}", "role": role, "by": "tests", "now": datetime.now(UTC)}
    async with _connected(dsn) as conn:
        return await keys.create(conn, **said, random=secrets.token_bytes, ends=Ends(reach))


@pytest.fixture(scope="session")
async def gateway(
    cluster: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """The gateway that most tests share; each brings goods of its own."""
    async with serving(cluster, template, tmp_path_factory.mktemp("gateway"), "web", "worker") as gateway:
        yield gateway


Practice = Callable[[str], Awaitable[tuple[Stage, dict[str, Any]]]]


@pytest.fixture(scope="module")
async def practice() -> AsyncIterator[Practice]:
    """Starts a practice partner: `await practice(kind)` gives its stage and the settings that fit it."""
    runners = []

    async def start(kind: str) -> tuple[Stage, dict[str, Any]]:
        stage = Stage(kind, Random(7))
        runner = web.AppRunner(server.build(kind, {}, stage), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, server.LOOPBACK, 0).start()
        runners.append(runner)
        return stage, server.settings(kind, f"http://{server.LOOPBACK}:{runner.addresses[0][1]}")

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def until() -> Callable[..., Awaitable[dict[str, Any]]]:
    """`await until(client, path, true)`: what stands there, once it is as wanted."""

    async def read(
        client: httpx.AsyncClient, path: str, true: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while not true(found := (await client.get(path)).json()):
                await asyncio.sleep(0.05)
        return dict(found)

    return read


@pytest.fixture
def goods_in(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["goods-in"]


@pytest.fixture
def manager(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["incident-manager"]


@pytest.fixture
def approver(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["approver"]


@pytest.fixture
def carrier(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["carrier"]


@pytest.fixture
def auditor(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["auditor"]


@pytest.fixture
def admin(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["admin"]


@pytest.fixture
def nobody(gateway: Gateway) -> httpx.AsyncClient:
    return gateway["nobody"]


@pytest.fixture
async def ladder(
    goods_in: httpx.AsyncClient, manager: httpx.AsyncClient, approver: httpx.AsyncClient
) -> dict[str, str]:
    """An IMEI of each status."""
    known = stock(3)
    await register(goods_in, known)
    numbers = [phone[0] for phone in known.phones]
    found = {"blocked": numbers[0], "suspect": numbers[1], "clear": numbers[2], "unknown": stock(1).imeis[0]}
    for status in ("blocked", "suspect"):
        incident = await drafted(manager, imeis=[found[status]])
        await decided(manager, incident, "submit")
        if status == "blocked":
            await decided(approver, incident, "approve")
    return found
