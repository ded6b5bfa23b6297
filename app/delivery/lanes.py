"""Lanes in the database: claim one, read its next delivery, settle what was sent, hand it back.

A lane is a slice of one partner's identifiers that one worker holds at a time. Every write is fenced by
the lease's token: a worker that lost its lease writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from app.adapters.contract import Answer, Op, Order, Outcome
from app.audit.record import Entry, record
from app.core import imei
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.partners import BREAKER_OPENS_AT

_SQL = queries("lanes")
_DELIVERY = queries("delivery")
_ITEMS = queries("items")
_KEPT = {Outcome.ACCEPTED: "accepted", Outcome.REFUSED: "refused"}


class Lane(msgspec.Struct, frozen=True):
    """A lease on one lane of one partner. `probing`: the partner was failing, so call it once first."""

    partner_id: int
    lane: int
    token: int
    probing: bool


class Work(msgspec.Struct, frozen=True):
    """One delivery's open orders by their place in the chunk, in the order in which they are tried; `untried`
    have not had their turn in this round. `superseded` places need no telling any more."""

    chunk_id: int
    command_id: int
    op: Op
    tries: int
    orders: dict[int, Order]
    untried: list[int]
    superseded: list[int]
    incident_id: int | None
    reason: str
    since: datetime | None


class Settlement(msgspec.Struct):
    """What a stretch of calls came to, ready to be written in one transaction."""

    open_at: list[int]
    untried: int | None
    answers: dict[int, Answer]
    superseded: int
    calls: int
    failed_calls: int
    entries: list[Entry]
    again: bool = False
    wait: float = 0.0
    fault: str = ""


async def claim(conn: Connection, slots: int, lease: float) -> list[Lane]:
    """Leases up to `slots` lanes that have something due, fairly between partners."""
    return [
        Lane(row["partner_id"], row["lane"], row["token"], row["probing"])
        for row in await conn.fetch(_SQL.claim, slots, lease, BREAKER_OPENS_AT)
    ]


async def next_work(conn: Connection, lane: Lane) -> Work | None:
    """The next due delivery of a lane we hold; None where nothing is due, or the lease has passed on."""
    row = await conn.fetchrow(_DELIVERY.next_delivery, lane.partner_id, lane.lane, lane.token)
    if row is None:
        return None
    places = await conn.fetch(_DELIVERY.orders, row["chunk_id"], row["open_at"], row["op"])
    orders = {place["place"]: _order(place) for place in places if not place["superseded"]}
    turns = [place["place"] for place in places][: row["untried"]]
    return Work(
        chunk_id=row["chunk_id"],
        command_id=row["command_id"],
        op=Op(row["op"]),
        tries=row["tries"],
        orders=orders,
        untried=[place for place in turns if place in orders],
        superseded=[place["place"] for place in places if place["superseded"]],
        incident_id=row["incident_id"],
        reason=row["reason"] or "",
        since=row["since"],
    )


def _order(row: asyncpg.Record) -> Order:
    key, version = row["key"], row["version"]
    if key >= 0:
        return Order(key, version, imei=imei.full(key))
    return Order(key, version, serial=row["serial"], gtin=row["gtin"])


async def take_tokens(conn: Connection, partner_id: int, calls: int) -> int:
    """How many of these calls the partner's rate allows now; after 0 the partner rests by itself."""
    granted: int = await conn.fetchval(_SQL.take_tokens, partner_id, calls)
    return granted


async def settle(
    conn: Connection, lane: Lane, work: Work, done: Settlement, *, keep: float, now: datetime
) -> bool:
    """Writes a settlement, in the caller's transaction; keeps the lease for `keep` seconds, or hands the
    lane back (0). False where the lease had passed on: nothing was written."""
    if not await conn.fetchval(_SQL.hold, lane.partner_id, lane.lane, lane.token):
        return False
    state = await conn.fetchval(
        _DELIVERY.settle_delivery, lane.partner_id, lane.lane, work.chunk_id, done.open_at, int(done.again), done.wait,
        done.untried,
    )  # fmt: skip
    confirmed = await _settle_items(conn, lane, work, done.answers, now)
    await _supersede(conn, lane, work, done.answers, now)
    await _settle_progress(conn, lane, work, done, confirmed, now)
    await record(conn, done.entries)
    await conn.execute(_SQL.settle_lane, lane.partner_id, lane.lane, int(state == 1), keep)
    return True


async def _settle_items(
    conn: Connection, lane: Lane, work: Work, answers: dict[int, Answer], now: datetime
) -> Counter[str]:
    kept = [(work.orders[place], answer) for place, answer in answers.items() if answer.outcome in _KEPT]
    if not kept:
        return Counter()
    columns = zip(
        *((o.key, o.version, _KEPT[a.outcome], a.code, a.words, a.ref) for o, a in kept), strict=True
    )
    rows = await conn.fetch(
        _ITEMS.settle_items,
        lane.partner_id,
        work.op,
        work.command_id,
        now,
        *(list(column) for column in columns),
    )
    return Counter(row["state"] for row in rows)


async def _supersede(
    conn: Connection, lane: Lane, work: Work, answers: dict[int, Answer], now: datetime
) -> None:
    """What the partner had only accepted of older decisions about the same identifiers gave way to this one."""
    told = [work.orders[place] for place in answers]
    if work.op == Op.ENROL or not told:
        return
    keys, versions = [order.key for order in told], [order.version for order in told]
    rows = await conn.fetch(_ITEMS.supersede_accepted, lane.partner_id, keys, versions)
    for command_id, count in sorted(Counter(row["command_id"] for row in rows).items()):
        await conn.execute(_DELIVERY.supersede_progress, command_id, lane.partner_id, count, now)


async def _settle_progress(
    conn: Connection, lane: Lane, work: Work, done: Settlement, kept: Counter[str], now: datetime
) -> None:
    tally = Counter(answer.outcome for answer in done.answers.values())
    await conn.execute(
        _DELIVERY.settle_progress, work.command_id, lane.partner_id,
        tally[Outcome.DONE] + kept["confirmed"], tally[Outcome.ALREADY], kept["accepted"], kept["refused"],
        done.superseded, done.calls, done.failed_calls, done.fault, now,
    )  # fmt: skip


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
