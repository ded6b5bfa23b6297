"""A story for each test: the engine, its partners, and the clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.core.db import Pool

from .world import World, own_time


@pytest.fixture
async def world(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    world = World(pool)
    own_time(world, monkeypatch)
    yield world
    await world.close()
