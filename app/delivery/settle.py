"""A stretch of calls, written down: what was told, what became of it, and what is still to be told.

All in one transaction, behind the fence: a worker that lost its lease writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime

import asyncpg
import msgspec

from app.adapters.contract import Answer, Op, Order, Outcome
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.sql import queries
from app.delivery import judge
from app.delivery.lanes import Lane, Work, holds
from app.delivery.ours import is_ours, told_before

_SQL = queries("delivery")
_ITEMS = queries("items")
_LANES = queries("lanes")
_GOOD = frozenset({Outcome.DONE, Outcome.ALREADY, Outcome.ACCEPTED})
_WAITS = frozenset({"accepted", "refused", "parked"})
_KEPT = {Outcome.ACCEPTED: "accepted", Outcome.REFUSED: "refused"}


class Settlement(msgspec.Struct):
    """What a stretch of calls came to for one delivery. `answers` ended their orders, `parked` says why others were
    given up, by their places. `untold` are places that were dropped without a call; `outlived` gave way to a newer
    decision after calls that came to nothing. A `new_round` begins after `wait` seconds."""

    work: Work
    open_at: list[int]
    untried: int | None
    answers: dict[int, Answer]
    untold: list[int] = []
    outlived: list[int] = []
    calls: int = 0
    failed_calls: int = 0
    parked: dict[int, Answer] = {}
    halved: int = 0
    new_round: bool = False
    wait: float = 0.0
    fault: str = ""


async def settle(
    conn: Connection,
    lane: Lane,
    settled: Sequence[Settlement],
    entries: Sequence[Entry],
    *,
    keep: float,
    lapses: int,
    now: datetime,
) -> bool:
    """Writes the settlements of some deliveries of one command, in the caller's transaction; keeps the lease for `keep`
    seconds, or hands the lane back (0). False where the lease had passed on: nothing was written."""
    if not await holds(conn, lane):
        return False
    states = await _deliveries(conn, lane, settled, now)
    # One that somebody else has closed meanwhile is not settled a second time.
    found = [one for one in settled if one.work.chunk_id in states]
    stands = await _write(conn, lane, found, now) if found else {}
    await record(conn, entries)
    closed = sum(states.values())
    await conn.execute(_LANES.settle_lane, lane.partner_id, lane.lane, closed, keep, 0 if closed else lapses)
    # As late as can be, for all lanes of the partner count in the same row, and wait for each other's commit there.
    if found:
        await _progress(conn, lane, found, stands, now)
    return True


async def _deliveries(
    conn: Connection, lane: Lane, settled: Sequence[Settlement], now: datetime
) -> dict[int, int]:
    """The state of each delivery by its chunk: 1 is closed."""
    rows = await conn.fetchmany(
        _SQL.settle_delivery,
        [
            (lane.partner_id, lane.lane, one.work.chunk_id, one.open_at, int(one.new_round), one.wait, one.untried,
             one.untold, one.halved, now)
            for one in settled
        ],
    )  # fmt: skip
    return {row["chunk_id"]: row["state"] for row in rows}


async def _write(
    conn: Connection, lane: Lane, settled: Sequence[Settlement], now: datetime
) -> Mapping[int, str]:
    work = settled[0].work
    foreign = await _foreign(conn, lane, settled)
    await _heal(conn, lane, settled, now)
    kept = [row for one in settled for row in _kept(one, foreign)]
    await _pass_over(conn, lane, work, kept, now)
    stands = await _items(conn, lane, work, kept, now)
    await _supersede(conn, lane, settled, now)
    return stands


async def _foreign(conn: Connection, lane: Lane, settled: Sequence[Settlement]) -> set[int]:
    """The keys of what was blocked there already, and not by us: the partner had never heard of it from us."""
    if settled[0].work.op is not Op.BLOCK:
        return set()
    orders = [
        one.work.orders[place]
        for one in settled
        for place, answer in one.answers.items()
        if answer.outcome is Outcome.ALREADY and place in one.work.fresh
    ]
    told = await told_before(conn, lane, orders)
    return {order.key for order in orders if not is_ours(told.get(order.key))}


def _kept(one: Settlement, foreign: Set[int]) -> list[tuple[Order, str, Answer]]:
    """What is not simply done: orders, their states, the partner's words."""
    work = one.work
    kept = [(work.orders[place], "parked", answer) for place, answer in one.parked.items()]
    kept += [(work.dropped[place], "superseded", Answer(Outcome.UNKNOWN)) for place in one.outlived]
    for place, answer in one.answers.items():
        if answer.outcome is Outcome.DONE and not answer.ref:
            continue
        order = work.orders[place]
        state = "foreign" if order.key in foreign else _KEPT.get(answer.outcome, "done" if answer.ref else "")
        if state:
            kept.append((order, state, answer))
    return kept


async def _heal(conn: Connection, lane: Lane, settled: Sequence[Settlement], now: datetime) -> None:
    """What the partner had refused, or we had given up, it has taken now that it was told again."""
    keys, versions = _columns(
        one.work.orders[place]
        for one in settled
        if one.work.doubtful
        for place, answer in one.answers.items()
        if answer.outcome in _GOOD
    )
    if not keys:
        return
    rows = await conn.fetch(_ITEMS.heal, lane.partner_id, settled[0].work.op, keys, versions)
    tally = Counter((row["command_id"], row["state"]) for row in rows)
    for command_id in sorted({command_id for command_id, _ in tally}):
        refused, parked = tally[command_id, "refused"], tally[command_id, "parked"]
        await conn.execute(_SQL.heal_progress, command_id, lane.partner_id, refused, parked, now)


async def _pass_over(
    conn: Connection, lane: Lane, work: Work, kept: list[tuple[Order, str, Answer]], now: datetime
) -> None:
    """What waits for the partner's word, was refused or given up before, and is so again, is counted once."""
    keys, versions = _columns(order for order, state, _ in kept if state in _WAITS)
    if work.doubtful and keys:
        rows = await conn.fetch(_ITEMS.pass_over, lane.partner_id, work.op, work.command_id, keys, versions)
        await _gave_way(conn, lane, rows, now)


async def _items(
    conn: Connection, lane: Lane, work: Work, kept: list[tuple[Order, str, Answer]], now: datetime
) -> dict[int, str]:
    """The state that stands for each of these keys."""
    if not kept:
        return {}
    rows = [(o.key, o.version, state, a.code, a.words, a.ref) for o, state, a in kept]
    columns = [list(column) for column in zip(*rows, strict=True)]
    # Several deliveries are settled at once only where none was told before, so the first speaks for all.
    found = await conn.fetch(
        _ITEMS.settle_items, lane.partner_id, work.op, work.command_id, now, *columns,
        bool(work.tries or work.doubtful), work.tries > 0,
    )  # fmt: skip
    return {row["key"]: row["state"] for row in found}


async def _supersede(conn: Connection, lane: Lane, settled: Sequence[Settlement], now: datetime) -> None:
    """What the partner had only accepted of older decisions about the same identifiers gave way to this one, and what
    we had given up of them."""
    # The first decision about an identifier has none before it.
    keys, versions = _columns(
        order for one in settled for place in one.answers if (order := one.work.orders[place]).version > 1
    )
    if settled[0].work.op is Op.ENROL or not keys:
        return
    rows = await conn.fetch(_ITEMS.supersede, lane.partner_id, keys, versions)
    await _gave_way(conn, lane, rows, now)


async def _gave_way(conn: Connection, lane: Lane, rows: Sequence[asyncpg.Record], now: datetime) -> None:
    """Counts what became of these items, which were of older commands, no longer there."""
    tally = Counter((row["command_id"], row["state"]) for row in rows)
    for command_id in sorted({command_id for command_id, _ in tally}):
        counts = [tally[command_id, state] for state in ("accepted", "refused", "parked")]
        await conn.execute(_SQL.supersede_progress, command_id, lane.partner_id, *counts, now)


async def _progress(
    conn: Connection, lane: Lane, settled: Sequence[Settlement], stands: Mapping[int, str], now: datetime
) -> None:
    tally = _tally(settled, stands)
    not_ours = sum(len(one.work.not_ours) for one in settled)
    superseded = sum(len(one.untold) + len(one.outlived) for one in settled) - not_ours
    faults = [one.fault for one in settled if one.fault]
    await conn.execute(
        _SQL.settle_progress, settled[0].work.command_id, lane.partner_id,
        tally["done"], tally["already"], tally["accepted"], tally["refused"], superseded,
        sum(one.calls for one in settled), sum(one.failed_calls for one in settled),
        faults[-1] if faults else "", now, sum(len(one.parked) for one in settled), not_ours,
    )  # fmt: skip


def _tally(settled: Sequence[Settlement], stands: Mapping[int, str]) -> Counter[str]:
    """How many orders count as what."""
    if not stands:
        return judge.tally(answer for one in settled for answer in one.answers.values())
    return Counter(
        _end(answer, stands.get(one.work.orders[place].key, ""))
        for one in settled
        for place, answer in one.answers.items()
    )


def _end(answer: Answer, stands: str) -> str:
    """What an order counts as: its answer, or what the partner has said of it since."""
    if answer.outcome not in _KEPT or stands not in ("accepted", "confirmed", "refused"):
        return str(answer.outcome)
    return "done" if stands == "confirmed" else stands


def _columns(orders: Iterable[Order]) -> tuple[list[int], list[int]]:
    """Keys and versions, in step."""
    told = list(orders)
    return [order.key for order in told], [order.version for order in told]
