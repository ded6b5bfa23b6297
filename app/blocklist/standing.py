"""What can be said of an identifier."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec


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


class Standing(msgspec.Struct, frozen=True, gc=False):
    """One identifier's status, since when (None where it was never claimed) and its listing's version; while it is
    suspect or blocked, why, a reference to quote, and the incidents that hold it, those that block it first.
    `device_id` is the registered device's; `key` is the one by which a unit stands in the listing, or would."""

    status: Status
    since: datetime | None = None
    version: int = 0
    reason: ReasonClass | None = None
    reference: str | None = None
    held_by: tuple[int, ...] = ()
    device_id: int | None = None
    key: int | None = None
