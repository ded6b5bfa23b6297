"""Room on the disk. What is spooled leaves some of it free, for the database may stand there too."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from app.core.errors import Unavailable

# Bytes that spools leave free (of a small disk a tenth), and after how many they look.
RESERVE, SHARE = 2**30, 10
EVERY = 8 * 2**20


class Room:
    """The room for one spool."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._unchecked = 0

    def take(self, size: int) -> None:
        """Before as many bytes are written. Raises Unavailable `disk-full`."""
        self._unchecked += size
        if self._unchecked < EVERY:
            return
        self._unchecked = 0
        disk = os.fstatvfs(self._spool.fileno())
        whole, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        if free < max(min(RESERVE, whole // SHARE), EVERY):
            raise full()


@contextmanager
def writing() -> Iterator[None]:
    """Around what writes: a disk without room is told as one. Raises Unavailable `disk-full`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full() from None
        raise


def full() -> Unavailable:
    return Unavailable("There is no room left on our disk; nothing was done. Try again later.", "disk-full")
