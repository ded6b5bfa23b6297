"""What a test measured of memory ends with it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_is_traced() -> Iterator[None]:
    """Or the peak of one test would be that of another."""
    tracemalloc.stop()
    yield
    tracemalloc.stop()
