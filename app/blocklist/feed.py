"""The change feed: what became of identifiers, in the order in which it came true.

Every change of what is told of an identifier has a position of its own. A decision takes its positions last, and
keeps the next decision from taking any until it is committed, so whoever has read up to a position has missed nothing
before it: there is no gap that a slower transaction could still fill.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.blocklist.standing import REASONS, STATUSES, ReasonClass, Status
from app.core.db import Connection
from app.core.errors import Gone
from app.core.sql import queries

_SQL = queries("feed")
# More changes than there are between two backups.
_LEAP = 10**9
_CURSOR = re.compile(rb"blocklist:([0-9]{1,18})\Z")


class Told(NamedTuple):
    """What is to be published: identifiers of which the same is said, with their versions in step; their status as the
    listing has it and as it was, and the incident whose reason and reference are told with it."""

    status: int
    before: int
    incident_id: int
    keys: Sequence[int]
    versions: Sequence[int]


async def publish(conn: Connection, told: Sequence[Told], now: datetime) -> None:
    """Gives these changes their positions, after everything that may have to wait: everybody else who publishes waits
    for the end of this transaction."""
    if not told:
        return
    statuses, befores, incidents, keys, versions = zip(*told, strict=True)
    sizes = [len(each) for each in keys]
    together = list(chain.from_iterable(keys)), list(chain.from_iterable(versions))
    await conn.execute(_SQL.publish, statuses, befores, incidents, sizes, *together, now)


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one identifier, at a position of its own. Of an IMEI the first 14 digits are given, which are
    what is to be compared; a device without one has a serial, and a GTIN where it is known. A change to `clear` says
    which incident let go of it."""

    position: int
    status: Status
    at: datetime
    reason: ReasonClass
    reference: str
    version: int
    imei: str = ""
    serial: str = ""
    gtin: str = ""


class Page(msgspec.Struct, frozen=True):
    """Changes in the order of their positions, without a gap; the last position that they reach, and how far the
    block list has come."""

    changes: list[Change]
    reached: int
    as_of: int


class Head(msgspec.Struct, frozen=True):
    """How far the block list has come, and up to where its changes are forgotten."""

    position: int
    forgotten: int


async def head(conn: Connection) -> Head:
    row = await conn.fetchrow(_SQL.head)
    assert row is not None
    return Head(row["position"], row["forgotten"])


async def changes(conn: Connection, after: int | None, limit: int) -> Page:
    """Up to `limit` changes after a position (None: from the first that is kept), in a transaction that reads one
    moment.

    Raises Gone where changes after that position are forgotten, or it never was: then the whole list is to be read.
    """
    now = await head(conn)
    after = now.forgotten if after is None else after
    if not now.forgotten <= after <= now.position:
        raise Gone(
            f"{_why_gone(after, now)} Read the whole list, and go on from its position.", "cursor-gone"
        )
    until = min(after + limit, now.position)
    rows = await conn.fetch(_SQL.changes, after, until)
    units = await _units(conn, [key for row in rows for key in row["keys"] if key < 0])
    found = [change for row in rows for change in _each(row, units) if after < change.position <= until]
    return Page(found, until, now.position)


def _why_gone(after: int, now: Head) -> str:
    if after < now.forgotten:
        return f"The changes after position {after} are not kept any more: those up to {now.forgotten} are forgotten."
    return (
        f"There is no position {after} here: the block list has come to {now.position}. Either it was restored from a"
        " backup or the cursor is of another gateway, and a copy that goes by it is not true."
    )


def cursor_of(position: int) -> str:
    """The cursor of those who have read up to a position. It says nothing to them."""
    return base64.urlsafe_b64encode(b"blocklist:%d" % position).decode().rstrip("=")


def position_of(cursor: str) -> int | None:
    """The position in a cursor; None for a text that is none of ours."""
    try:
        said = _CURSOR.match(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        return None
    return int(said[1]) if said and cursor_of(int(said[1])) == cursor else None


async def _units(conn: Connection, keys: Sequence[int]) -> dict[int, tuple[str, str]]:
    rows = await conn.fetch(_SQL.units, keys) if keys else []
    return {row["key"]: (row["serial"], row["gtin"]) for row in rows}


def _each(row: asyncpg.Record, units: Mapping[int, tuple[str, str]]) -> Iterator[Change]:
    shared = (STATUSES[row["status"]], row["at"], REASONS[row["kind"]], row["reference"])
    for place, (key, version) in enumerate(zip(row["keys"], row["versions"], strict=True), row["first"]):
        if key < 0:
            yield Change(place, *shared, version, "", *units[key])
        else:
            yield Change(place, *shared, version, f"{key:014d}")


async def void(conn: Connection, actor: Principal, now: datetime) -> int:
    """Makes no position of every one that was given so far, and gives the first that counts: whoever keeps a copy
    is told that his cursor is gone. For a list that was restored from a backup, which would give positions a second
    time, to other changes. Takes the head as a decision does: in a transaction that waits for nobody else."""
    actor.require(Permission.PARTNERS_WRITE)
    position: int = await conn.fetchval(_SQL.void, _LEAP)
    await record(conn, [Entry("blocklist.voided", "blocklist", actor.label, now, {"position": position})])
    return position


async def forget(conn: Connection, before: datetime, limit: int = 1000) -> int:
    """Removes changes from before a moment, in up to `limit` rows; says how many rows. Whoever has not read them reads
    the whole list."""
    gone: int = await conn.fetchval(_SQL.forget, before, limit)
    return gone
