"""The web process: granian around `app.server`, with settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server

from app.cli.service import follow_input
from app.core import config, log

if TYPE_CHECKING:
    from litestar.types import ASGIApp

# Granian speaks through the log of the process.
_QUIET = {"handlers": [], "propagate": True}
_LOGGING = {"loggers": {"_granian": _QUIET, "granian.access": _QUIET}}

# Long enough for a large upload's merge to end; after it the process is killed and nothing is half done.
DRAIN = 15


def main() -> None:
    """Serves until SIGTERM, then lets requests under way end."""
    follow_input()
    settings = config.load()
    log.set_up(settings.log_level)
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
        backpressure=512,
        log_level=LogLevels.warning,
        log_access=False,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN,
    ).serve(target_loader=_application, wrap_loader=False)


def _application() -> ASGIApp:
    # Granian's own loader would look for modules in the current folder first.
    from app.server import asgi

    return asgi()


if __name__ == "__main__":
    main()
