"""The web process: granian around `app.server`, with settings from the environment."""

from __future__ import annotations

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server

from app.cli.service import follow_input
from app.core import config

# Long enough for a large upload's merge to end; after it the process is killed and nothing is half done.
DRAIN = 15


def main() -> None:
    """Serves until SIGTERM, then lets requests under way end."""
    follow_input()
    settings = config.load()
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
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN,
    ).serve()


if __name__ == "__main__":
    main()
