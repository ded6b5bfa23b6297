"""The database's disk fills up: decisions are refused whole, and once there is room, partners hear of all that
stand."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from contextlib import contextmanager, suppress

import asyncpg
import pytest

from app.core import postgres
from app.core.db import open_pool, transaction
from app.core.migrate import migrate

from .people import add_partner, block, new_incident
from .workers import at_work
from .world import FIRST_KEY

SIZE = 512 * 2**20


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, in memory, and what fills it and empties it again."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "none", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk that can be filled")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def full(place):
    """Not a byte is left, whatever becomes free meanwhile."""
    ballast = place / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        for _ in range(SIZE // 65536):
            file.write(bytes(65536))
            file.flush()
    yield
    ballast.unlink()


async def test_a_full_disk_loses_nothing(small_disk, tmp_path, scene):
    """Nor is anybody blamed for it: what was told and could not be written down is told again."""
    async with (
        postgres.running(small_disk / "data") as dsn,
        at_work(dsn, tmp_path, 2) as workers,
        await open_pool(dsn, size=2, command_timeout=20) as pool,
    ):
        async with pool.acquire() as conn:
            await migrate(conn)
        await add_partner(pool, "eir", "eir_push", {"url": scene.eir.url})
        await scene.slow(20)
        for worker in workers:
            worker.start()
        kept, heard = list[int](), Counter[str]()
        await _decide(pool, FIRST_KEY, 1000, kept, heard)
        while not await scene.blocked():
            await asyncio.sleep(0.1)
        with full(small_disk):
            for number in range(1, 20):
                await _decide(pool, FIRST_KEY + number * 1000, 1000, kept, heard)
                await asyncio.sleep(0.5)
        while not await _decide(pool, FIRST_KEY + 20_000, 1000, kept, heard):
            await asyncio.sleep(0.5)
        async with asyncio.timeout(120):
            while await _open(pool):
                await asyncio.sleep(0.2)
        listed = {row["key"] for row in await pool.fetch("SELECT key FROM listing WHERE blocked_by > 0")}
        parked = await pool.fetchval("SELECT sum(parked) FROM progress")
    failed = sum((worker.events() for worker in workers), Counter[str]())["delivery.lane_failed"]
    repeats = (await scene.ask())["duplicates"]
    print(f"\n{len(kept)} identifiers kept, heard {dict(heard)}; {failed} failures, {repeats} repeats")
    assert min(heard["refused"] + heard["unknown"], failed) > 0
    assert set(kept) <= listed
    assert set(await scene.blocked()) == {f"{key:014d}" for key in listed}
    assert parked == 0


async def _decide(pool, first, size, kept, heard):
    """Whether it was said that a decision about so many identifiers stands."""
    keys = list(range(first, first + size))
    try:
        incident = await new_incident(pool)
        await transaction(pool, lambda conn: block(conn, incident, keys))
    except asyncpg.DiskFullError:
        heard["refused"] += 1
        return False
    except Exception:
        heard["unknown"] += 1
        return False
    kept += keys
    heard["kept"] += 1
    return True


async def _open(pool):
    with suppress(Exception):
        return await pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0")
    return 1
