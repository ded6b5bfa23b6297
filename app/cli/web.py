"""The web process: granian around `app.server`, with settings from the environment."""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server import Server

from app.cli.service import follow_input
from app.core import config, log
from app.core.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp

# Granian speaks through the log of the process.
_QUIET = {"handlers": [], "propagate": True}
_LOGGING = {"loggers": {"_granian": _QUIET, "granian.access": _QUIET}}

# Long enough for a large upload's merge to end; after it the process is killed and nothing is half done.
DRAIN = 15

# Connections at a time: an idle one costs 18 KB. Beyond, the next one waits until one of them ends.
MOST_CONNECTIONS = 8192
# File descriptors that are for anything else: the database, spooled uploads.
_SPARE = 512

# Milliseconds for the head of a request, and for the next one on the same connection.
_HTTP1 = HTTP1Settings(header_read_timeout=30_000, max_buffer_size=64 * 1024)
# What one connection may make us hold. Who does not answer a ping (every 20 s, within 20 s) is gone.
_HTTP2 = HTTP2Settings(
    initial_connection_window_size=256 * 1024,
    initial_stream_window_size=256 * 1024,
    keep_alive_interval=20_000,
    keep_alive_timeout=20,
    max_concurrent_streams=128,
    max_headers_size=64 * 1024,
)


def main() -> None:
    """Serves until SIGTERM, then lets requests under way end."""
    follow_input()
    settings = config.load()
    log.set_up(settings.log_level)
    _spool_beside_the_data(settings.data_dir)
    serve(settings, _application)


def serve(settings: Settings, application: Callable[[], ASGIApp]) -> None:
    """Serves what `application` makes in a process of its own, until SIGTERM."""
    Server(
        "app.server:asgi",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=1,
        loop=Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        http1_settings=_HTTP1,
        http2_settings=_HTTP2,
        backlog=4096,
        backpressure=_connections(),
        log_level=LogLevels.warning,
        log_access=False,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN,
    ).serve(target_loader=application, wrap_loader=False)


def _spool_beside_the_data(data_dir: Path) -> None:
    """Uploads take gigabytes for a moment, ours and our readers'; the usual folder is often kept in memory."""
    spool = data_dir / "spool"
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(spool)


def _connections() -> int:
    """How many connections there are file descriptors for, as many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(soft // 2, soft - _SPARE)
    return MOST_CONNECTIONS


def _application() -> ASGIApp:
    # Granian's own loader would look for modules in the current folder first.
    from app.server import asgi

    return asgi()


if __name__ == "__main__":
    main()
