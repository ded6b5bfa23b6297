"""How long something may stand still before the night goes on without it, to say what is wrong."""

from __future__ import annotations

import time

LONGEST = 150.0
"""Seconds; a worker that was killed holds its leases for 25, and a partner's breaker rests for 60."""


class Patience:
    """Ends when what it watches has not changed for too long."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = time.monotonic()

    def ends(self, seen: object) -> bool:
        """Whether `seen` has been the same for too long."""
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since > LONGEST
