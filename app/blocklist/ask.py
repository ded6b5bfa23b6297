"""Carriers ask here. Every answer is read from PostgreSQL, never from a cache, so it is never stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

import asyncpg
import msgspec

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
    """What one reading found: what is listed, and the device of each key that is registered. `as_of` is the position of
    the change feed that it saw: all changes up to there are in it, and none after it. What is said of test IMEIs does
    not depend on it."""

    listed: Mapping[int | Serial, Standing]
    registered: Mapping[int, int]
    as_of: int

    def unclaimed(self) -> Set[int]:
        """Those that are registered, and that nobody has ever claimed."""
        return self.registered.keys() - self.listed.keys()

    def of(self, asked: int | Serial) -> Standing:
        standing = self.listed.get(asked)
        if standing is not None or not isinstance(asked, int):
            return standing or _UNHEARD_OF
        device_id = self.registered.get(asked)
        if device_id is None:
            return SPECIMENS.get(asked, _UNHEARD_OF)
        return Standing(Status.CLEAR, device_id=device_id, key=asked)


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One identifier's standing, as of a position of the change feed."""

    standing: Standing
    as_of: int


Counter = Gathered[int | Serial, Answer]
_UNHEARD_OF = Standing(Status.UNKNOWN)


def key_of(text: str) -> int:
    """The key in a question of 14, 15 or 16 digits or an IMEI URN. Raises Invalid (`imei-malformed`)."""
    key = imei.asked(text)
    if key is None:
        right = "it would be 14, 15 or 16 digits, or urn:gsma:imei:…"
        sentence = f"'{imei.shown(text)}' is not an identifier; {right}."
        raise Invalid(sentence, "imei-malformed")
    return key


async def look_up(conn: Connection, keys: Sequence[int], units: Sequence[Serial] = ()) -> Found:
    """The standing of each key and of each unit, all of one moment; within a transaction, which need not be of one,
    as far as that goes."""
    if not units:
        return await _by_key(conn, keys)
    if conn.is_in_transaction():
        return await _by_both(conn, keys, units)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return await _by_both(conn, keys, units)


async def _by_both(conn: Connection, keys: Sequence[int], units: Sequence[Serial]) -> Found:
    found = await _by_key(conn, keys)
    return msgspec.structs.replace(found, listed={**found.listed, **await _by_unit(conn, units)})


async def _by_key(conn: Connection, keys: Sequence[int]) -> Found:
    rows = await conn.fetch(_SQL.look_up, keys)
    (head,) = [row for row in rows if row["position"] is not None]
    registered = dict(zip(head["keys"] or (), head["devices"] or (), strict=True))
    listed: dict[int | Serial, Standing] = {
        key: _standing(row, key, registered.get(key)) for row in rows if (key := row["key"]) is not None
    }
    return Found(listed, registered, head["position"])


async def _by_unit(conn: Connection, units: Sequence[Serial]) -> dict[int | Serial, Standing]:
    serials, gtins = zip(*units, strict=True)
    rows = await conn.fetch(_SQL.look_up_units, serials, gtins)
    return {Serial(row["serial"], row["gtin"]): _standing(row, row["key"], row["device_id"]) for row in rows}


async def answers(conn: Connection, asked: Sequence[int | Serial]) -> Callable[[int | Serial], Answer]:
    """The same for those who ask for one each, and are gathered."""
    keys = [one for one in asked if isinstance(one, int)]
    found = await look_up(conn, keys, [one for one in asked if isinstance(one, Serial)])
    return lambda one: Answer(found.of(one), found.as_of)


def _standing(row: asyncpg.Record, key: int | None, device_id: int | None) -> Standing:
    """Of a row of the listing, or of a device that has none."""
    status = row["status"]
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
