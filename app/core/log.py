"""One structured event per unit of work, to standard error: people's form on a terminal, else JSON lines.

Events never hold a key, a secret or a whole IMEI (`imei.masked`).
"""

from __future__ import annotations

import logging
import sys

import structlog


def set_up(level: str = "info") -> None:
    """Configures structlog for this process. `level` is a name of the logging module."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def get(room: str) -> structlog.stdlib.BoundLogger:
    """The log of one room."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(room=room)
    return logger
