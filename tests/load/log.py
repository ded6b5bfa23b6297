"""The audit log against its goals and its floors, in one run: sealing beside the same rows by hand, and verification
beside reading and hashing what it must read and hash.

    python -m tests.load.log [--sealed 200000] [--verified 1000000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import secrets
import tempfile
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from app.audit import signing
from app.audit.note import Kind
from app.audit.seal import AT_ONCE, seal
from app.audit.verify import verify
from app.core.db import Connection, Pool, open_pool, transaction
from app.core.postgres import running

from . import goods_in
from .figures import HEAD, Figure, Machine

SIGNER = signing.new("load.example/audit", Kind.NOTE, secrets.token_bytes)
_NAME = count()
# As a call to a partner leaves one.
ENTRIES = """
WITH written AS (
    INSERT INTO audit_entry (body)
    SELECT format(
        '{"kind":"delivery.attempted","subject":"partner:%s","by":"worker","at":"2026-11-23T10:00:00Z","detail":%s}',
        n % 30, json_build_object('chunk', n, 'op', 'block', 'words', repeat('x', 300))
    )
    FROM generate_series(1, $1::bigint) AS n
    RETURNING entry_id
)
INSERT INTO audit_pending (entry_id) SELECT entry_id FROM written
"""
# The same rows moved and hashed by the database, without order, tree, checkpoint or signature.
FLOOR = """
WITH taken AS (DELETE FROM audit_pending RETURNING entry_id)
INSERT INTO audit_leaf (seq, entry_id, hash)
SELECT row_number() OVER (ORDER BY e.entry_id) + $1 - 1, e.entry_id, sha256(convert_to(e.body, 'UTF8'))
FROM taken
JOIN audit_entry AS e USING (entry_id)
"""


async def filled(cluster: str, entries: int) -> Pool:
    """A database of its own with as many entries that wait to be sealed."""
    pool = await open_pool(
        await goods_in.database(cluster, f"log_{next(_NAME)}"), size=2, command_timeout=600, as_owner=True
    )
    await pool.execute(ENTRIES, entries)
    await pool.execute("ANALYZE")
    return pool


async def sealed(pool: Pool) -> float:
    """Entries a second until none waits."""

    async def work(conn: Connection) -> int:
        return await seal(conn, datetime.now(UTC), AT_ONCE, [SIGNER])

    began, done = time.perf_counter(), 0
    while number := await transaction(pool, work):
        done += number
    return done / (time.perf_counter() - began)


async def moved(pool: Pool, entries: int) -> float:
    began = time.perf_counter()
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(FLOOR, 0)
    return entries / (time.perf_counter() - began)


async def sealing(cluster: str, entries: int, repeat: int) -> Figure:
    ours, floor = [], []
    for _ in range(repeat):
        for measure, rates in ((sealed, ours), (lambda pool: moved(pool, entries), floor)):
            pool = await filled(cluster, entries)
            rates.append(await measure(pool))
            await pool.close()
    return Figure(f"{entries:,} entries sealed a second", ours, at_least=20_000, floor=floor)


async def verification(cluster: str, entries: int, repeat: int) -> Figure:
    pool = await filled(cluster, entries)
    await sealed(pool)
    ours, floor = [], []
    for _ in range(repeat):
        floor.append(await read(pool))
        began = time.perf_counter()
        async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            report = await verify(conn, known=[SIGNER.verifier])
        ours.append(time.perf_counter() - began)
        assert report.fault is None, report.fault
        assert report.sealed >= entries
    await pool.close()
    return Figure(f"{entries:,} entries verified, s", ours, at_most=60, floor=floor)


async def read(pool: Pool) -> float:
    """Seconds to read every body and to hash it."""
    began = time.perf_counter()
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        bodies = await conn.cursor("SELECT body FROM audit_entry ORDER BY entry_id")
        while rows := await bodies.fetch(5_000):
            for row in rows:
                hashlib.sha256(b"\0" + row["body"].encode()).digest()
    return time.perf_counter() - began


async def run(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        async with running(Path(name) / "data") as cluster:
            print(HEAD)
            for measure, entries in ((sealing, given.sealed), (verification, given.verified)):
                machine = Machine()
                print((await measure(cluster, entries, given.repeat)).line(), flush=True)
                print(f"  {machine.line()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.log", description=__doc__)
    parser.add_argument("--sealed", type=int, default=200_000)
    parser.add_argument("--verified", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
