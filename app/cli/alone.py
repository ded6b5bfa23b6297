"""One `up` to a data directory: it holds a lock for as long as it lives, and says beside it where it answers.

The lock ends with its process, however that ends, so that what stands in the file counts only while it is held.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.core.errors import Conflict

LOCK = "gateway.lock"


@contextmanager
def alone(data_dir: Path) -> Iterator[Callable[[str], None]]:
    """Holds the lock, and gives what tells others the address, '' while there is none. Raises Conflict `already-up`
    where another process holds it.

    Beside a database of one's own the data directory may be one that cannot be written to: then nothing is held.
    """
    fd = _opened(data_dir / LOCK)
    if fd is None:
        yield lambda url: None
        return
    try:
        if not _taken(fd):
            raise _runs(data_dir, os.pread(fd, 1000, 0).decode())
        _say(fd, "")
        yield lambda url: _say(fd, url)
    finally:
        os.close(fd)


def is_held(data_dir: Path) -> bool:
    """Whether an `up` runs on this data directory."""
    fd = _opened(data_dir / LOCK)
    if fd is None:
        return False
    try:
        return not _locked(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _opened(path: Path) -> int | None:
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    return None


def _taken(fd: int) -> bool:
    while not _locked(fd, fcntl.LOCK_EX):
        if not _locked(fd, fcntl.LOCK_SH):
            return False
        # Those who only look are gone in a moment.
        fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _locked(fd: int, kind: int) -> bool:
    # A file system without locks refuses in another way, and keeps nobody out.
    with suppress(OSError):
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _say(fd: int, url: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, url.encode(), 0)


def _runs(data_dir: Path, url: str) -> Conflict:
    where = f", at {url}" if url else " and is starting or stopping"
    return Conflict(
        f"A gateway is up on {data_dir} already{where}. 'serve' and 'work' add processes to it; --data-dir names"
        " another place for another gateway.",
        "already-up",
    )
