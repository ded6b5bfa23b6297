"""One structured event per unit of work, to standard error: people's form on a terminal, else JSON lines.

What the libraries that we use have to say goes the same way. Events never hold a key, a secret or a whole IMEI
(`imei.masked`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def set_up(level: str = "info") -> None:
    """Configures the log of this process. `level` is a name of the logging module; of libraries only warnings
    are heard."""
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    told: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, renderer]
    structlog.configure(
        processors=[*told, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*told, _library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(True)


def _library(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names the library that speaks."""
    event["room"] = event["_record"].name
    return event


def get(room: str) -> structlog.stdlib.BoundLogger:
    """The log of one room."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(room=room)
    return logger
