"""Where time and chance come from: the doors take them here and hand them down, so tests own both."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
