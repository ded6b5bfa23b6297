"""What somebody who asks is told: of an identifier's standing, as much as he may know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from app.access.roles import Permission, Principal
from app.blocklist.ask import Answer, Found
from app.blocklist.standing import ReasonClass, Standing, Status

_CLEAR = Standing(Status.CLEAR)


class _Told(msgspec.Struct, frozen=True, gc=False):
    """Status, since when, and the listing's version; while it is suspect or blocked, why, and a reference that tells
    us which incident is meant. Who may read incidents sees those that hold it: first those that block it."""

    status: Status
    since: datetime | None
    reason: ReasonClass | None
    reference: str | None
    version: int
    incidents: tuple[int, ...] | UnsetType = UNSET


class StatusAnswer(_Told, frozen=True, kw_only=True, gc=False):
    """One answer: the IMEI as it was asked, its status, since when, and the listing's version; while it is suspect or
    blocked, why, and a reference to quote. Who may read incidents sees those that hold it."""

    imei: str


class SerialAnswer(_Told, frozen=True, kw_only=True, gc=False):
    """The same for a device by its GTIN and serial: the gravest of what its identifiers are."""

    serial: str


class OneStatus(StatusAnswer, frozen=True, kw_only=True, gc=False):
    """The same, with how far the block list had come: all that was decided up to that position of the change feed is
    in the answer."""

    as_of: int


class OneSerial(SerialAnswer, frozen=True, kw_only=True, gc=False):
    """The same, with how far the block list had come."""

    as_of: int


def told(standing: Standing, asker: Principal) -> tuple[Any, ...]:
    """What this asker may know of it, in the order of the fields of every answer."""
    held_by = standing.held_by if asker.may(Permission.INCIDENTS_READ) else UNSET
    return (standing.status, standing.since, standing.reason, standing.reference, standing.version, held_by)


def statuses(imeis: Sequence[str], keys: Sequence[int], found: Found, asker: Principal) -> list[StatusAnswer]:
    """The answers to one who asked for these IMEIs, whose keys these are. Most are of devices that nobody ever
    claimed, of which all is said alike."""
    clear, unclaimed = told(_CLEAR, asker), found.unclaimed()
    return [
        StatusAnswer(*(clear if key in unclaimed else told(found.of(key), asker)), imei=text)
        for text, key in zip(imeis, keys, strict=True)
    ]


def one_status(imei: str, answer: Answer, asker: Principal) -> OneStatus:
    """The answer to one who asked for this IMEI."""
    return OneStatus(*told(answer.standing, asker), imei=imei, as_of=answer.as_of)
