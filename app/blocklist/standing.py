"""What can be said of an identifier."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """What a carrier is told."""

    BLOCKED = "blocked"
    SUSPECT = "suspect"
    CLEAR = "clear"
    UNKNOWN = "unknown"


class ReasonClass(StrEnum):
    """Why, as far as everybody may know it: the class of an incident's kind."""

    STOLEN = "stolen"
    LOST = "lost"
    FRAUD = "fraud"


REASONS: Mapping[str, ReasonClass] = {
    "theft": ReasonClass.STOLEN,
    "robbery": ReasonClass.STOLEN,
    "loss": ReasonClass.LOST,
    "fraud": ReasonClass.FRAUD,
}
STATUSES = (Status.CLEAR, Status.SUSPECT, Status.BLOCKED)
