"""The log and its witness, each a process: what grows is signed by both, and what is rolled back is found out."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from app.audit import note, signing
from app.audit.note import Kind

from ..conftest import administer, sibling
from .command import Commands

LOG = signing.new("gateway.example/audit", Kind.NOTE, secrets.token_bytes)


@pytest.fixture
def witness(desk: Commands, tmp_path: Path) -> Iterator[str]:
    """Where a witness of the log answers; the desk is told of it."""
    desk._environ["IMEI_GATEWAY_AUDIT_KEY"] = LOG.written()
    key = desk.told(
        "witness", "new", str(tmp_path / "w"), "--name", "w.example", "--log", LOG.verifier.written()
    )
    with desk.started("witness", "run", str(tmp_path / "w"), "--port", "0", until="Its key"):
        url = re.search(r"http://\S+", desk.said)
        assert url
        desk._environ["IMEI_GATEWAY_WITNESSES"] = f"{key['key']} {url[0]}"
        yield key["key"]


@contextmanager
def working(desk: Commands, database: str) -> Iterator[None]:
    """A worker on this database."""
    before, desk._environ["DATABASE_URL"] = desk._environ["DATABASE_URL"], database
    try:
        with desk.started("work", until=""):
            yield
    finally:
        desk._environ["DATABASE_URL"] = before


async def until(database: str, statement: str, true: Callable[[Any], bool] = bool) -> Any:
    conn = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(60):
            while not true(found := await conn.fetchval(statement)):
                await asyncio.sleep(0.05)
        return found
    finally:
        await conn.close()


COSIGNED = "SELECT max(size) FROM audit_cosignature"
ALARM = "SELECT detail ->> 'said' FROM alert WHERE kind = 'witness'"
ALL_SIGNED = f"SELECT ({COSIGNED}) = (SELECT count(*) FROM audit_entry)"
SEALED = "SELECT max(size) FROM audit_checkpoint WHERE note IS NOT NULL"


async def test_what_grows_is_signed_by_the_log_and_its_witness(
    desk: Commands, witness: str, database: str
) -> None:
    with working(desk, database):
        for name in ("one", "two"):
            desk.told("key", "create", "--name", name, "--role", "carrier")
            await until(database, ALL_SIGNED)
    written = desk.run("audit", "checkpoint").stdout
    _, good = note.opened(written, [LOG.verifier, note.verifier(witness)])
    assert len(good) == 2
    report = desk.told("audit", "verify")
    assert report["fault"] is None
    assert report["signed"] == report["checkpoints"] > 1
    proven = desk.run("audit", "proof", "1").stdout
    assert proven.startswith("c2sp.org/tlog-proof@v1\n")
    assert "w.example" in proven


async def test_an_older_copy_in_the_log_s_place_is_found_out(
    desk: Commands, witness: str, database: str, older: str, tmp_path: Path
) -> None:
    with working(desk, database):
        desk.told("key", "create", "--name", "after the copy", "--role", "carrier")
        await until(database, ALL_SIGNED)
    newest = await until(database, COSIGNED)
    (tmp_path / "kept.txt").write_text(desk.run("audit", "checkpoint").stdout)
    desk._environ["DATABASE_URL"] = older
    found = desk.run("audit", "verify", "--checkpoint", str(tmp_path / "kept.txt"))
    assert found.returncode == 5
    assert f"a checkpoint that was kept elsewhere has {newest}" in found.stderr
    with working(desk, older):
        said = await until(older, ALARM)
        assert re.search(r"It has signed \d+ entries, and the log has \d+: the log was rolled back", said), (
            said
        )
        # It grows on, and is longer in the end; it is another log all the same.
        for number in range(4):
            desk.told("key", "create", "--name", f"another {number}", "--role", "carrier")
        await until(older, SEALED, lambda size: size > newest)
    found = desk.run("audit", "verify")
    assert found.returncode == 5
    assert "that was kept elsewhere has the root" in found.stderr


@pytest.fixture
async def older(database: str, cluster: str, desk: Commands, witness: str) -> AsyncIterator[str]:
    """A copy of the database, of when the witness had signed it for the first time."""
    with working(desk, database):
        await until(database, COSIGNED)
    name, source = f"older_{secrets.token_hex(4)}", urlsplit(database).path[1:]
    # What the desk was furnished by looks on, and would look again.
    await administer(cluster, f"ALTER DATABASE {source} ALLOW_CONNECTIONS false")
    await administer(
        cluster, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{source}'"
    )
    await administer(cluster, f"CREATE DATABASE {name} TEMPLATE {source}")
    for one in (source, name):
        await administer(cluster, f"ALTER DATABASE {one} ALLOW_CONNECTIONS true")
    yield sibling(cluster, name)
    await administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")
