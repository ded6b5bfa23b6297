"""Lanes in the database: claim one, read its next deliveries, hand it back.

A lane is a slice of one partner's identifiers that one worker holds at a time. Every write is fenced by
the lease's token: a worker that lost its lease writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import asyncpg
import msgspec

from app.adapters.contract import Op, Order
from app.core import imei
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.partners import BREAKER_OPENS_AT

_SQL = queries("lanes")
_DELIVERY = queries("delivery")
_ITEMS = queries("items")
# Leases of a lane that lapsed in a row with nothing settled, from which it is suspect: workers may have died of it.
CAREFUL_FROM = 3
# Of 500 orders each, 20 MiB in all.
CHUNKS_KEPT = 256


class Lane(msgspec.Struct, frozen=True):
    """A lease on one lane of one partner. `probing`: the partner was failing, so call it once first. `lapsed`: the
    lease before this one was never handed back; `lapses`: so often in a row, with nothing settled. `told`: the chunk
    and the place of the order that a careful worker was about to tell last."""

    partner_id: int
    lane: int
    token: int
    probing: bool
    lapsed: bool
    lapses: int
    told: tuple[int, int] | None = None

    @property
    def suspect(self) -> bool:
        """Whether workers may have died of what is told here."""
        return self.lapses >= CAREFUL_FROM


class Work(msgspec.Struct, frozen=True):
    """One delivery's open orders by their place in the chunk, in the order in which they are tried; `untried`
    have not had their turn in this round. The partner has surely not heard of those that are `fresh`; others may
    last have reached it when they were `tried`. `dropped` orders are superseded; releases at the places that are
    `not_ours` end no block of ours. `late`: it has been tried for as long as we try."""

    chunk_id: int
    command_id: int
    op: Op
    tries: int
    orders: dict[int, Order]
    untried: list[int]
    fresh: frozenset[int]
    dropped: dict[int, Order]
    doubtful: bool
    halved: int
    tried: datetime
    late: bool
    ailing: bool
    incident_id: int | None
    reason: str
    since: datetime | None
    not_ours: tuple[int, ...] = ()


async def claim(conn: Connection, slots: int, lease: float, *, suspects: int = 1) -> list[Lane]:
    """Leases up to `slots` lanes that have something due, fairly between partners; at most so many of them suspect."""
    rows = await conn.fetch(_SQL.claim, slots, lease, BREAKER_OPENS_AT, CAREFUL_FROM, suspects)
    return [
        Lane(
            row["partner_id"], row["lane"], row["token"], row["probing"], row["lapsed"], row["lapses"],
            None if row["told_chunk"] is None else (row["told_chunk"], row["told_place"]),
        )
        for row in rows
    ]  # fmt: skip


async def claim_all(conn: Connection, partner_id: int, lease: float) -> list[Lane]:
    """Leases all lanes of a partner, in the caller's transaction, so that nobody else tells it anything; none where
    one of them is being worked, or was left in doubt."""
    await conn.fetch(_SQL.hold_lanes, partner_id)
    rows = await conn.fetch(_SQL.claim_all, partner_id, lease)
    return [Lane(partner_id, row["lane"], row["token"], False, False, 0) for row in rows]


async def next_works(conn: Connection, lane: Lane, patience: float, most: int) -> list[Work]:
    """The next due deliveries of a lane we hold, `most` at most; none where nothing is due, or the lease has passed
    on. Several are of one command, which names each identifier once, and nothing that is left of them has been tried.
    What has been tried for `patience` seconds is late."""
    rows = await conn.fetch(_DELIVERY.next_deliveries, lane.partner_id, lane.lane, lane.token, patience, most)
    serials = await _serials(conn, [key for row in rows for key in row["keys"] if key < 0])
    return [_work(row, serials) for row in rows]


def _work(row: asyncpg.Record, serials: Mapping[int, asyncpg.Record]) -> Work:
    told, dropped = _orders(row["keys"], row["versions"], serials), frozenset(row["superseded"])
    places = row["open_at"] or list(told)
    if len(places) < len(told):
        told = {place: told[place] for place in places}
    turns = places[: row["untried"]]
    orders = {place: told[place] for place in places if place not in dropped} if dropped else told
    return Work(
        chunk_id=row["chunk_id"],
        command_id=row["command_id"],
        op=Op(row["op"]),
        tries=row["tries"],
        orders=orders,
        untried=[place for place in turns if place in orders],
        fresh=frozenset(() if row["tries"] or row["doubtful"] else turns),
        dropped={place: told[place] for place in row["superseded"]},
        doubtful=row["doubtful"],
        halved=row["halved"],
        tried=row["tried"],
        late=row["late"],
        ailing=row["ailing"],
        incident_id=row["incident_id"],
        reason=row["reason"] or "",
        since=row["since"],
    )


async def orders(conn: Connection, keys: Sequence[int], versions: Sequence[int]) -> Iterator[Order]:
    """The order about each of these keys, one after the other."""
    serials = await _serials(conn, [key for key in keys if key < 0])
    return (_order(key, version, serials) for key, version in zip(keys, versions, strict=True))


async def _serials(conn: Connection, keys: Sequence[int]) -> dict[int, asyncpg.Record]:
    if not keys:
        return {}
    return {row["key"]: row for row in await conn.fetch(_DELIVERY.serials, keys)}


def _orders(
    keys: Sequence[int], versions: Sequence[int], serials: Mapping[int, asyncpg.Record]
) -> dict[int, Order]:
    """The orders of a whole chunk, by their places."""
    if min(keys) >= 0:
        return _handsets(tuple(keys), tuple(versions))
    told = zip(keys, versions, strict=True)
    return {place: _order(key, version, serials) for place, (key, version) in enumerate(told, 1)}


@lru_cache(maxsize=CHUNKS_KEPT)
def _handsets(keys: tuple[int, ...], versions: tuple[int, ...]) -> dict[int, Order]:
    """Many partners are told the same chunk at about the same time. Nobody changes what is kept here."""
    return {place: _order(*told, {}) for place, told in enumerate(zip(keys, versions, strict=True), 1)}


def _order(key: int, version: int, serials: Mapping[int, asyncpg.Record]) -> Order:
    if key >= 0:
        return Order(key, version, imei=imei.full(key))
    return Order(key, version, serial=serials[key]["serial"], gtin=serials[key]["gtin"])


async def doubt(conn: Connection, lane: Lane) -> None:
    """Whoever held this lane before may have made calls that nobody settled."""
    await conn.execute(_DELIVERY.doubt, lane.partner_id, lane.lane)
    await conn.execute(_ITEMS.doubt_refusals, lane.partner_id, lane.lane)


async def about_to_tell(conn: Connection, lane: Lane, chunk_id: int, place: int) -> None:
    """If the worker dies now, this order is to blame."""
    await conn.execute(_SQL.about_to_tell, lane.partner_id, lane.lane, lane.token, chunk_id, place)


async def take_tokens(conn: Connection, partner_id: int, calls: int) -> int:
    """How many of these calls the partner's rate allows now; after 0 the partner rests by itself."""
    granted: int = await conn.fetchval(_SQL.take_tokens, partner_id, calls)
    return granted


async def give_tokens(conn: Connection, partner_id: int, calls: int) -> None:
    """So many calls that the rate allowed were not made."""
    await conn.execute(_SQL.give_tokens, partner_id, calls)


async def holds(conn: Connection, lane: Lane) -> bool:
    """Whether nobody has leased the lane since; it stays so until the caller's transaction ends."""
    held: bool | None = await conn.fetchval(_SQL.hold, lane.partner_id, lane.lane, lane.token)
    return bool(held)


async def let_lapse(conn: Connection, lane: Lane) -> None:
    """The lease has lapsed, as of now: whoever claims the lane next is told so."""
    await conn.execute(_SQL.let_lapse, lane.partner_id, lane.lane, lane.token)


async def hand_back(conn: Connection, lane: Lane) -> bool:
    """Lets go of a lane at once, with nothing to settle. Whether it was ours still."""
    return await conn.execute(_SQL.open_lane, lane.partner_id, lane.lane, lane.token) == "UPDATE 1"


async def note_success(conn: Connection, partner_id: int) -> None:
    """The partner answers: its breaker closes."""
    await conn.execute(_SQL.note_success, partner_id)


async def note_fault(
    conn: Connection, partner_id: int, text: str, *, failed: bool, rest: float, longest_rest: float
) -> None:
    """The partner failed (its breaker counts) or asked for rest (it does not)."""
    await conn.execute(_SQL.note_fault, partner_id, text, int(failed), rest, BREAKER_OPENS_AT, longest_rest)
