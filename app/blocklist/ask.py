"""Carriers ask here. Every answer is read from PostgreSQL, never from a cache, so it is never stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.blocklist.specimens import SPECIMENS
from app.blocklist.standing import REASONS, STATUSES, Standing, Status
from app.core import imei
from app.core.db import Connection
from app.core.errors import Invalid
from app.core.gather import Gathered
from app.core.sql import queries

_SQL = queries("blocklist")


class Serial(NamedTuple):
    """A unit by its serial and its GTIN of 14 digits, '' where it was declared without one."""

    serial: str
    gtin: str


class Found(msgspec.Struct, frozen=True):
    """What one reading found. `as_of` is the position of the change feed that it saw: all changes up to there are in
    it, and none after it. What is said of test IMEIs does not depend on it."""

    standings: Mapping[int | Serial, Standing]
    as_of: int

    def of(self, asked: int | Serial) -> Standing:
        specimen = SPECIMENS.get(asked) if isinstance(asked, int) else None
        return specimen or self.standings.get(asked, _UNHEARD_OF)


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One identifier's standing, as of a position of the change feed."""

    standing: Standing
    as_of: int


Counter = Gathered[int | Serial, Answer]
_UNHEARD_OF = Standing(Status.UNKNOWN)
_TOLD = ("status", "since", "version", "reason", "reference")


def key_of(text: str) -> int:
    """The key in a question of 14, 15 or 16 digits or an IMEI URN. Raises Invalid (`imei-malformed`)."""
    key = imei.asked(text)
    if key is None:
        sentence = f"'{imei.shown(text)}' is not an identifier; it would be 14, 15 or 16 digits."
        raise Invalid(sentence, "imei-malformed")
    return key


async def look_up(conn: Connection, keys: Sequence[int], units: Sequence[Serial] = ()) -> Found:
    """The standing of each key and of each unit, all of one moment. With units, on a connection that is in no
    transaction."""
    if not units:
        return await _by_key(conn, keys)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        found = await _by_key(conn, keys)
        return Found({**found.standings, **await _by_unit(conn, units)}, found.as_of)


async def _by_key(conn: Connection, keys: Sequence[int]) -> Found:
    rows = await conn.fetch(_SQL.look_up, keys)
    return Found({row["key"]: _standing(row) for row in rows if row["key"] is not None}, rows[0]["position"])


async def _by_unit(conn: Connection, units: Sequence[Serial]) -> dict[int | Serial, Standing]:
    serials, gtins = zip(*units, strict=True)
    rows = await conn.fetch(_SQL.look_up_units, serials, gtins)
    return {Serial(row["serial"], row["gtin"]): _standing(row) for row in rows}


def told(standing: Standing, asker: Principal) -> dict[str, Any]:
    """What this asker may know of it: nobody but those who may read incidents is told which hold it."""
    fields = {name: getattr(standing, name) for name in _TOLD}
    if asker.may(Permission.INCIDENTS_READ):
        fields["incidents"] = standing.held_by
    return fields


async def answers(conn: Connection, asked: Sequence[int | Serial]) -> Callable[[int | Serial], Answer]:
    """The same for those who ask for one each, and are gathered."""
    keys = [one for one in asked if isinstance(one, int)]
    found = await look_up(conn, keys, [one for one in asked if isinstance(one, Serial)])
    return lambda one: Answer(found.of(one), found.as_of)


def _standing(row: asyncpg.Record) -> Standing:
    """Of a row of the listing, or of a device that has none."""
    status, device_id, key = row["status"], row["device_id"], row["key"]
    if not status:
        state = Status.UNKNOWN if device_id is None else Status.CLEAR
        return Standing(state, row["since"], row["version"] or 0, device_id=device_id, key=key)
    return Standing(
        STATUSES[status],
        row["since"],
        row["version"],
        REASONS[row["kind"]],
        row["reference"],
        tuple(row["held_by"]),
        device_id,
        key,
    )
