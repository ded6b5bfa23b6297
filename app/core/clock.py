"""Where time and chance come from: the doors take them here and hand them down, so tests own both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# How far the clocks of others may be ahead of ours. What they tell of a later moment cannot have happened.
AHEAD = timedelta(minutes=5)
# What would be right in the place of a moment that is not possible.
POSSIBLE = "it would be, in UTC, between the years 1 and 9999, as 2026-12-22T02:00:00Z is"


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def is_possible(at: datetime) -> bool:
    """Whether a moment with a zone can be said in UTC: 0001-01-01T00:00:00+14:00 cannot. No other is stored."""
    try:
        at.astimezone(UTC)
    except OverflowError:
        return False
    return True
