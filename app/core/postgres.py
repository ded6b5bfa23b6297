"""The embedded PostgreSQL: one server for a data directory, shared by all processes that use it.

The first one in starts it, the last one out stops it. It outlives a user that was killed, and the next one
adopts it; a server that was killed itself is started again. Locks tell all this, because they end with
their process: no process number has to be believed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from app.core import log, postgres_files, postgres_server
from app.core.errors import Unavailable
from app.core.postgres_files import Cluster

_PATIENCE = 120.0

_log = log.get("core")


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[str]:
    """The DSN of a server for this data directory, which keeps running for as long as the block does.

    A server that dies meanwhile is started again under the same DSN. Unavailable says what is wrong with
    the directory, the binaries or the server.
    """
    with _explained(data_dir):
        cluster = await asyncio.to_thread(postgres_files.find, data_dir)
    async with _locked(cluster.users, fcntl.LOCK_SH) as users:
        try:
            dsn = await _up(cluster)
            async with _kept_up(cluster):
                yield dsn
        finally:
            # Exclusive means alone: whoever is about to start the server holds this lock too.
            if postgres_files.locks(users, fcntl.LOCK_EX):
                await postgres_server.stop(cluster)


@contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The data directory {data_dir} can't be used ({error}): "
            f"it must be a local folder with space left, which user {os.geteuid()} may write"
        ) from error


@asynccontextmanager
async def _locked(path: Path, kind: int) -> AsyncIterator[int]:
    """Ends by closing, never by unlocking: a child that inherited the lock keeps it."""
    with _explained(path.parent):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await _wait_for(path, fd, kind)
        yield fd
    finally:
        os.close(fd)


async def _wait_for(path: Path, fd: int, kind: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not postgres_files.locks(fd, kind):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Another process has been starting or stopping the PostgreSQL of {path.parent} for "
                f"{_PATIENCE:.0f} s now: read postgres.log there, and end the process that holds {path}"
            )
        await asyncio.sleep(0.05)


async def _up(cluster: Cluster) -> str:
    async with _locked(cluster.starting, fcntl.LOCK_EX) as held:
        making = asyncio.ensure_future(asyncio.to_thread(postgres_files.initialise, cluster, held))
        with _explained(cluster.data_dir):
            try:
                await asyncio.shield(making)
            finally:
                # The thread hands our descriptor on, so it must not be closed before.
                await asyncio.wait([making])
            return await postgres_server.serve(cluster)


@asynccontextmanager
async def _kept_up(cluster: Cluster) -> AsyncIterator[None]:
    keeper = asyncio.create_task(_keep_up(cluster))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])


async def _keep_up(cluster: Cluster) -> None:
    while True:
        await asyncio.sleep(1)
        try:
            with _explained(cluster.data_dir):
                dead = postgres_server.is_dead(cluster)
            if dead:
                await _up(cluster)
                _log.warning("postgres.restarted", data_dir=str(cluster.data_dir))
        except Unavailable as error:
            _log.error("postgres.down", data_dir=str(cluster.data_dir), reason=error.detail)
