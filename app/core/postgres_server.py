"""One embedded server: adopted or started, asked whether it answers, stopped.

Its callers hold the locks that keep two of them from starting or stopping it at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import asyncpg

from app.core import db, postgres_binaries, postgres_files, postgres_sockets
from app.core.errors import Unavailable
from app.core.postgres_files import Cluster
from app.core.postgres_sockets import PORT
from app.core.sql import queries

_SILENCE = 60.0
_LAUNCHES = 3
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # What is replayed after a crash: 2 s of it. A million identifiers are queued no slower than with 4 GB.
    "max_wal_size": "512MB",
    "checkpoint_timeout": "5min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The log must not show what a failing statement carried: identifiers and tokens.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


async def serve(cluster: Cluster) -> str:
    """The DSN of the server that runs, or of a new one once the last process of an old one has ended."""
    launches, logged, deadline = 0, 0, time.monotonic() + _SILENCE
    while time.monotonic() < deadline:
        alive = _claim(cluster)
        if alive is not None and launches == _LAUNCHES:
            os.close(alive)
            postgres_sockets.remove(cluster)
            break
        if alive is not None:
            logged = _launch(cluster, alive)
            launches += 1
        try:
            if dsn := await _answering(cluster):
                return dsn
        except asyncpg.CannotConnectNowError:
            # It is recovering, which may take minutes, and would begin anew if we gave up.
            deadline = time.monotonic() + _SILENCE
        await asyncio.sleep(0.02)
    raise _failure(cluster, logged) if launches else _silence(cluster)


def is_dead(cluster: Cluster) -> bool:
    """Whether the last process of the server has ended."""
    alive = _claim(cluster)
    if alive is not None:
        os.close(alive)
    return alive is not None


async def stop(cluster: Cluster) -> None:
    """Stops the server politely, with a checkpoint, or else at once: then the next start has to recover."""
    if await _ended(cluster, signal.SIGINT, 60) or await _ended(cluster, signal.SIGQUIT, 15):
        postgres_sockets.remove(cluster)


async def _ended(cluster: Cluster, order: signal.Signals, patience: float) -> bool:
    """Repeats the order until nothing lives: a server that is just starting has not noted its number yet."""
    deadline = time.monotonic() + patience
    while not is_dead(cluster):
        if time.monotonic() > deadline:
            return False
        pid = _noted(cluster)
        if pid is not None and not _is_elsewhere(pid, cluster.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, order)
        await asyncio.sleep(0.02)
    return True


def _noted(cluster: Cluster) -> int | None:
    """The number of the process that serves the folder, or did."""
    try:
        return int((cluster.folder / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _is_elsewhere(pid: int, folder: Path) -> bool:
    """Whether the process certainly is not the folder's server, which would stand in it."""
    try:
        return not Path(f"/proc/{pid}/cwd").samefile(folder)
    except PermissionError:
        return False
    except OSError:
        return Path("/proc/self/cwd").exists()


def _claim(cluster: Cluster) -> int | None:
    """The server's own lock, to be handed to a new server; None while any process of an old one lives."""
    fd = os.open(cluster.alive, os.O_RDWR | os.O_CREAT, 0o600)
    if postgres_files.locks(fd, fcntl.LOCK_EX):
        return fd
    os.close(fd)
    return None


def _launch(cluster: Cluster, alive: int) -> int:
    """Returns where in the log its words begin."""
    try:
        _forget(cluster)
        settings = _SETTINGS | {"unix_socket_directories": str(postgres_sockets.prepare(cluster))}
        options = [word for item in settings.items() for word in ("-c", "=".join(item))]
        with (
            cluster.log.open("ab") as log,
            postgres_files.door(cluster.folder, cluster.account) as (name, fds),
        ):
            logged = log.tell()
            command = [str(cluster.binaries / "postgres"), "-D", name, *options]
            server = postgres_binaries.spawn(command, cluster.account, log, (alive, *fds))
    finally:
        os.close(alive)
    # Somebody must take note of its end, or it stays a zombie, whose number looks alive to PostgreSQL.
    threading.Thread(target=server.wait, daemon=True).start()
    return logged


def _forget(cluster: Cluster) -> None:
    """PostgreSQL takes any process of its user with the noted number for a server, and stays down."""
    pid = _noted(cluster)
    if pid is not None and _is_elsewhere(pid, cluster.folder):
        (cluster.folder / "postmaster.pid").unlink()


async def _answering(cluster: Cluster) -> str | None:
    """The DSN if the server answers. CannotConnectNowError means that it soon will."""
    dsn = postgres_sockets.dsn(cluster)
    if dsn is None:
        return None
    try:
        await _knock(dsn)
    except asyncpg.CannotConnectNowError:
        raise
    except Exception as error:
        if db.asks_again(error):
            return None
        raise Unavailable(
            f"PostgreSQL runs on {cluster.folder}, and refuses our database: {error}"
        ) from error
    return dsn


async def _knock(dsn: str) -> None:
    try:
        conn = await asyncpg.connect(dsn, timeout=5)
    except asyncpg.InvalidCatalogNameError:
        conn = await asyncpg.connect(dsn, database="postgres", timeout=5)
        # Somebody who was killed meanwhile may have left his own statement to end.
        with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            await conn.execute(queries("postgres").create_database, timeout=_SILENCE)
    await conn.close(timeout=5)


def _failure(cluster: Cluster, logged: int) -> Unavailable:
    with cluster.log.open("rb") as log:
        log.seek(logged)
        said = log.read(1 << 20).decode(errors="replace")
    return Unavailable(
        f"No server comes up on {cluster.folder}{postgres_files.explained(said, cluster.folder)} "
        f"(more in {cluster.log})"
    )


def _silence(cluster: Cluster) -> Unavailable:
    return Unavailable(
        f"A PostgreSQL that we did not start now still runs on {cluster.folder} and does not answer "
        f"({postgres_sockets.dsn(cluster)}): end its processes, the first has the number {_noted(cluster)}"
    )
