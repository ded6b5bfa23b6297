"""What every measurement stands on: a database with partners, real workers beside it, and orders to be carried out."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from app.adapters import registry
from app.adapters.contract import Op
from app.audit import signing
from app.audit.note import Kind
from app.blocklist import listing
from app.core import keyring
from app.core.config import Settings
from app.core.db import Pool, open_pool
from app.delivery import commands, partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.sandbox import server
from app.sandbox.faults import Faults
from app.sandbox.server import Running

from .. import goods_in
from . import null

ROOT = Path(__file__).resolve().parents[3]
# Coprime to a million.
STRIDE = 611_953
TACS = 20
SECRETS_KEY = keyring.new_key(secrets.token_bytes)
AUDIT_KEY = signing.new("load.example/audit", Kind.NOTE, secrets.token_bytes).written()
_BATCH, _DATABASE = count(), count()


class Plan(NamedTuple):
    """What is asked for: on which server, in which folder, how often, how many devices, how many workers."""

    cluster: str
    folder: Path
    repeat: int
    devices: int
    workers: int
    profile: Path | None


class Spent(NamedTuple):
    """Seconds that a decision took: locking and marking, queuing on top of that, and committing both."""

    command: int
    marking: float
    queuing: float
    commit: float


def utc_now() -> datetime:
    return datetime.now(UTC)


def keys(number: int) -> list[int]:
    """As many new IMEIs, sorted, of twenty TACs."""
    first = 35_000000 + TACS * next(_BATCH)
    return sorted((first + n % TACS) * 10**6 + n // TACS * STRIDE % 10**6 for n in range(number))


@asynccontextmanager
async def database(plan: Plan) -> AsyncIterator[tuple[Pool, str]]:
    """A migrated database of its own, and its DSN."""
    dsn = await goods_in.database(plan.cluster, f"delivery_{next(_DATABASE)}")
    async with await open_pool(dsn, command_timeout=600) as pool:
        yield pool, dsn


def register_null(folder: Path) -> None:
    """Installs the null adapter as any package would bring it, for this process and for those that it starts."""
    installed = folder / "null_adapter-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: null-adapter\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{null.KIND} = {null.__name__}:Null\n")
    sys.path.append(str(folder))


async def partner(
    pool: Pool, name: str, kind: str, settings: Mapping[str, Any], *, inflight: int = Limits().max_inflight
) -> int:
    async with pool.acquire() as conn, conn.transaction():
        return await partners.add(
            conn, name=name, adapter=kind, settings=settings, scope=PartnerScope(),
            limits=Limits(max_inflight=inflight), now=utc_now(), allow_private=True,
            keyring=keyring.load(Settings(ROOT, secrets_key=SECRETS_KEY), secrets.token_bytes),
        )  # fmt: skip


async def block(pool: Pool, blocked: Sequence[int]) -> Spent:
    """A decision about these identifiers, for every partner, after their submission."""
    async with pool.acquire() as conn:
        incident = await conn.fetchval(
            "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
            " VALUES ('load', 'theft', '', '', '{}', 'draft', 'load', now()) RETURNING incident_id"
        )
        await listing.suspect(conn, incident, blocked, utc_now())
        told, times = conn.transaction(), [time.monotonic()]
        await told.start()
        now = utc_now()
        turned = await listing.block(conn, incident, blocked, now)
        times.append(time.monotonic())
        command = commands.Command(Op.BLOCK, now, "load", incident_id=incident)
        number = await commands.order(conn, command, turned.keys, turned.versions)
        times.append(time.monotonic())
        await told.commit()
        times.append(time.monotonic())
    assert number is not None
    return Spent(number, *(after - before for before, after in pairwise(times)))


async def settled(pool: Pool, command: int, within: float = 300) -> None:
    """Waits until every partner has done all that this command wants of it, and asks rarely: it is not measured."""
    async with asyncio.timeout(within):
        while await pool.fetchval(
            "SELECT EXISTS (SELECT FROM progress WHERE command_id = $1 AND done + already < wanted)", command
        ):
            await asyncio.sleep(0.2)


async def told_within(pool: Pool, command: int) -> float:
    """Seconds from the first call of a command to its last settlement."""
    began = await pool.fetchval(
        "SELECT min((body::jsonb ->> 'at')::timestamptz) FROM audit_entry"
        " WHERE kind = 'delivery.attempted' AND (body::jsonb -> 'detail' ->> 'command')::bigint = $1",
        command,
    )
    ended = await pool.fetchval("SELECT max(last_at) FROM progress WHERE command_id = $1", command)
    took: timedelta = ended - began
    return took.total_seconds()


class Worker:
    """The real command, `imei-gateway work`, in a process of its own that ends with ours."""

    def __init__(self, plan: Plan, dsn: str) -> None:
        name = f"worker-{time.time_ns()}"
        self._log = plan.folder / f"{name}.log"
        profiled = ("-m", "cProfile", "-o", str(plan.profile / f"{name}.prof")) if plan.profile else ()
        settings = {
            "DATABASE_URL": dsn,
            "DATA_DIR": str(plan.folder),
            "LOG_LEVEL": "info",
            "FOLLOW_INPUT": "1",
            "SECRETS_KEY": SECRETS_KEY,
            "AUDIT_KEY": AUDIT_KEY,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", *profiled, "-m", "app.cli.main", "work"],
                stdin=subprocess.PIPE,
                stderr=log,
                env={**environ(plan), **{f"IMEI_GATEWAY_{name}": value for name, value in settings.items()}},
                start_new_session=True,
            )

    async def started(self, within: float = 60) -> None:
        async with asyncio.timeout(within):
            while b"worker.started" not in self._log.read_bytes():
                assert self.process.poll() is None, self._log.read_text()
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def environ(plan: Plan) -> dict[str, str]:
    """That of a child which finds our code and the null adapter."""
    places = [str(ROOT), str(plan.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


@asynccontextmanager
async def workers(plan: Plan, pool: Pool, dsn: str, number: int) -> AsyncIterator[list[Worker]]:
    """As many workers, warm: they have their connections, and know every partner."""
    running = [Worker(plan, dsn) for _ in range(number)]
    try:
        for worker in running:
            await worker.started()
        warming = await block(pool, keys(1000))
        await settled(pool, warming.command)
        yield running
    finally:
        for worker in running:
            worker.stop()


def practice(kind: str, options: Mapping[str, Any] | None = None) -> Running:
    """One practice partner in a process of its own."""
    return server.run_all(kinds=(kind,), options={kind: options or {}})[0]


async def misbehave(practised: Running, faults: Faults) -> None:
    await asyncio.to_thread(_ask, practised, "PUT", "/sandbox/faults", msgspec.json.encode(faults))


async def ledger(practised: Running) -> dict[str, Any]:
    """What a practice partner says that it was told."""
    counts: dict[str, Any] = json.loads(await asyncio.to_thread(_ask, practised, "GET", "/sandbox"))
    return counts


def _ask(practised: Running, method: str, path: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(f"{practised.url}{path}", body, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        said: bytes = answer.read()
    return said
