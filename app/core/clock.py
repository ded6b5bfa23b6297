"""Where time and chance come from: the doors take them here and hand them down, so tests own both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# How far the clocks of others may be ahead of ours. What they tell of a later moment cannot have happened.
AHEAD = timedelta(minutes=5)


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
