"""Lanes in the database: claim one, read its next delivery, settle what was sent, hand it back.

A lane is a slice of one partner's identifiers that one worker holds at a time. Every write is fenced by
the lease's token: a worker that lost its lease writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
import msgspec

from app.adapters.contract import Answer, Op, Order, Outcome
from app.core import imei
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.partners import BREAKER_OPENS_AT

_SQL = queries("lanes")
_DELIVERY = queries("delivery")
_KEPT = {Outcome.ACCEPTED: "accepted", Outcome.REFUSED: "refused"}
# Leases of a lane that lapsed in a row with nothing settled, from which it is suspect: workers may have died of it.
CAREFUL_FROM = 3


class Lane(msgspec.Struct, frozen=True):
    """A lease on one lane of one partner. `probing`: the partner was failing, so call it once first. `lapsed`: the
    lease before this one was never handed back; `lapses`: so often in a row, with nothing settled."""

    partner_id: int
    lane: int
    token: int
    probing: bool
    lapsed: bool
    lapses: int

    @property
    def suspect(self) -> bool:
        """Whether workers may have died of what is told here."""
        return self.lapses >= CAREFUL_FROM


class Work(msgspec.Struct, frozen=True):
    """One delivery's open orders by their place in the chunk, in the order in which they are tried; `untried`
    have not had their turn in this round. The partner has surely not heard of those that are `fresh`; others may
    last have reached it when they were `tried`. `dropped` orders are superseded. `late`: it has been tried for as
    long as we try."""

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


class Told(msgspec.Struct, frozen=True):
    """The last that a partner was told of an identifier. `is_foreign`: it answered that somebody had blocked it
    before. `ref`: its own reference of the block."""

    op: Op
    is_foreign: bool
    ref: str


async def claim(conn: Connection, slots: int, lease: float, *, suspects: int = 1) -> list[Lane]:
    """Leases up to `slots` lanes that have something due, fairly between partners; at most so many of them suspect."""
    return [
        Lane(row["partner_id"], row["lane"], row["token"], row["probing"], row["lapsed"], row["lapses"])
        for row in await conn.fetch(_SQL.claim, slots, lease, BREAKER_OPENS_AT, CAREFUL_FROM, suspects)
    ]


async def next_work(conn: Connection, lane: Lane, patience: float) -> Work | None:
    """The next due delivery of a lane we hold; None where nothing is due, or the lease has passed on. What has been
    tried for `patience` seconds is late."""
    row = await conn.fetchrow(_DELIVERY.next_delivery, lane.partner_id, lane.lane, lane.token, patience)
    if row is None:
        return None
    keys, versions, dropped = row["keys"], row["versions"], frozenset(row["superseded"])
    serials = await _serials(conn, keys)
    places = row["open_at"] or range(1, len(keys) + 1)
    told = {place: _order(keys[place - 1], versions[place - 1], serials) for place in places}
    turns = list(places)[: row["untried"]]
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


async def _serials(conn: Connection, keys: Sequence[int]) -> dict[int, asyncpg.Record]:
    """The serial numbers among the keys."""
    if min(keys) >= 0:
        return {}
    return {row["key"]: row for row in await conn.fetch(_DELIVERY.serials, keys)}


def _order(key: int, version: int, serials: Mapping[int, asyncpg.Record]) -> Order:
    if key >= 0:
        return Order(key, version, imei=imei.full(key))
    return Order(key, version, serial=serials[key]["serial"], gtin=serials[key]["gtin"])


async def told_before(
    conn: Connection, lane: Lane, orders: Sequence[Order], *, itself: bool = False
) -> dict[int, Told]:
    """The last that the partner of this lane was told of each of these identifiers, before these orders (or by them:
    `itself`), and did not refuse; by key. It knows of those that are missing only what others told it."""
    if not orders:
        return {}
    keys, versions = [order.key for order in orders], [order.version + itself for order in orders]
    rows = await conn.fetch(_DELIVERY.told_before, lane.partner_id, lane.lane, keys, versions)
    return {row["key"]: Told(Op(row["op"]), row["is_foreign"], row["ref"]) for row in rows}


async def doubt(conn: Connection, lane: Lane) -> None:
    """Whoever held this lane before may have made calls that nobody settled."""
    await conn.execute(_DELIVERY.doubt, lane.partner_id, lane.lane)


async def take_tokens(conn: Connection, partner_id: int, calls: int) -> int:
    """How many of these calls the partner's rate allows now; after 0 the partner rests by itself."""
    granted: int = await conn.fetchval(_SQL.take_tokens, partner_id, calls)
    return granted


async def let_lapse(conn: Connection, lane: Lane) -> None:
    """The lease has lapsed, as of now: whoever claims the lane next is told so."""
    await conn.execute(_SQL.let_lapse, lane.partner_id, lane.lane, lane.token)


async def hand_back(conn: Connection, lane: Lane) -> None:
    """Lets go of a lane at once, with nothing to settle."""
    await conn.execute(_SQL.open_lane, lane.partner_id, lane.lane, lane.token)


async def note_success(conn: Connection, partner_id: int) -> None:
    """The partner answers: its breaker closes."""
    await conn.execute(_SQL.note_success, partner_id)


async def note_fault(
    conn: Connection, partner_id: int, text: str, *, failed: bool, rest: float, longest_rest: float
) -> None:
    """The partner failed (its breaker counts) or asked for rest (it does not)."""
    await conn.execute(_SQL.note_fault, partner_id, text, int(failed), rest, BREAKER_OPENS_AT, longest_rest)


def states(answers: Sequence[Answer]) -> dict[str, int]:
    """How many orders ended how, by the outcome's name, for the audit log."""
    return dict(Counter(str(answer.outcome) for answer in answers))
