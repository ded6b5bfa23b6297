"""A story for each test: the engine, its partners, and the clock that the test moves; or real processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.adapters import registry
from app.core.db import Pool
from app.sandbox import server
from app.sandbox.server import Running

from .scene import Scene
from .world import World, own_time


@pytest.fixture
async def world(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    world = World(pool)
    own_time(world, monkeypatch)
    yield world
    await world.close()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder of installed packages, with the one that brings the adapter."""
    info = tmp_path / "packages" / "fragile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nfragile = tests.faults.fragile:Fragile\n")
    monkeypatch.syspath_prepend(str(info.parent))
    registry._installed.cache_clear()
    yield str(info.parent)
    monkeypatch.undo()
    registry._installed.cache_clear()
    sys.modules.pop("tests.faults.fragile", None)


@pytest.fixture
async def eir() -> AsyncIterator[Running]:
    (running,) = await asyncio.to_thread(server.run_all, kinds=("eir_push",))
    yield running
    running.stop()


@pytest.fixture
def ask_eir(eir: Running) -> Callable[[str], Awaitable[list[str]]]:
    """The identifiers that the practice EIR lists at a path of its own books."""

    async def ask(path: str) -> list[str]:
        async with httpx.AsyncClient(trust_env=False) as client:
            found: list[str] = (await client.get(f"{eir.url}/sandbox{path}")).json()["identifiers"]
            return found

    return ask


@pytest.fixture
async def scene(pool: Pool, database: str, eir: Running, packages: str, tmp_path: Path) -> Scene:
    return Scene(pool, database, eir, packages, tmp_path)
