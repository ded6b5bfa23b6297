"""Warnings that strangers, or an outage, could bring about thousands of times: one in a while, with how many were not
told."""

from __future__ import annotations

import time
from typing import Any

import structlog

EVERY = 5.0


class Seldom:
    """Warnings of one name each, at most one in `EVERY` seconds."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._next: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def warn(self, event: str, **told: Any) -> None:
        now = time.monotonic()
        if now < self._next.get(event, 0):
            self._untold[event] = self._untold.get(event, 0) + 1
            return
        self._next[event] = now + EVERY
        self._log.warning(event, **told, untold=self._untold.pop(event, 0))
