"""The lock of a data directory: one `up` at a time, and any number of commands that look whether there is one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.alone import alone, is_held
from app.core.errors import Conflict


@pytest.fixture
def lookers(tmp_path: Path) -> Iterator[list[bool]]:
    """What four that look all the time have seen by now."""
    seen: list[bool] = []
    stopping = threading.Event()

    def look() -> None:
        while not stopping.is_set():
            seen.append(is_held(tmp_path))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield seen
    stopping.set()
    for thread in threads:
        thread.join()


def test_who_looks_disturbs_nobody_who_looks(lookers: list[bool]) -> None:
    while len(lookers) < 20_000:
        assert not any(lookers[-100:])
    assert not any(lookers)


def test_who_looks_keeps_no_up_from_starting(tmp_path: Path, lookers: list[bool]) -> None:
    for _ in range(500):
        with alone(tmp_path):
            pass
    with alone(tmp_path) as says:
        says("http://127.0.0.1:8470")
        assert is_held(tmp_path)
        with pytest.raises(Conflict, match=r"already, at http://127\.0\.0\.1:8470"), alone(tmp_path):
            pass
    assert not is_held(tmp_path)
    assert lookers
