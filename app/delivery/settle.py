"""A stretch of calls, written down: what was told, what became of it, and what is still to be told.

All in one transaction, behind the fence: a worker that lost its lease writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from app.adapters.contract import Answer, Op, Order, Outcome
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.lanes import Lane, Told, Work, told_before

_SQL = queries("delivery")
_ITEMS = queries("items")
_LANES = queries("lanes")
_GOOD = frozenset({Outcome.DONE, Outcome.ALREADY, Outcome.ACCEPTED})
_KEPT = {Outcome.ACCEPTED: "accepted", Outcome.REFUSED: "refused"}


class Settlement(msgspec.Struct):
    """What a stretch of calls came to. `answers` ended their orders, `parked` says why others were given up, by their
    places. `untold` are places that were dropped without a call, `not_ours` of them because the partner holds no block
    of ours; `outlived` gave way to a newer decision after calls that came to nothing. `again`: a new round begins,
    after `wait` seconds."""

    open_at: list[int]
    untried: int | None
    answers: dict[int, Answer]
    untold: list[int] = []
    outlived: list[int] = []
    calls: int = 0
    failed_calls: int = 0
    entries: list[Entry] = []
    not_ours: int = 0
    parked: dict[int, Answer] = {}
    halved: int = 0
    lapses: int = 0
    again: bool = False
    wait: float = 0.0
    fault: str = ""


async def settle(
    conn: Connection, lane: Lane, work: Work, done: Settlement, *, keep: float, now: datetime
) -> bool:
    """Writes a settlement, in the caller's transaction; keeps the lease for `keep` seconds, or hands the
    lane back (0). False where the lease had passed on: nothing was written."""
    if not await conn.fetchval(_LANES.hold, lane.partner_id, lane.lane, lane.token):
        return False
    state = await conn.fetchval(
        _SQL.settle_delivery, lane.partner_id, lane.lane, work.chunk_id, done.open_at, int(done.again), done.wait,
        done.untried, done.untold, done.halved, now,
    )  # fmt: skip
    stands = await _write(conn, lane, work, done, now) if state is not None else {}
    await record(conn, done.entries)
    await conn.execute(
        _LANES.settle_lane,
        lane.partner_id,
        lane.lane,
        int(state == 1),
        keep,
        0 if state == 1 else done.lapses,
    )
    # Last, because all lanes of the partner count in the same row, and wait for each other's commit there.
    if state is not None:
        await _progress(conn, lane, work, done, stands, now)
    return True


async def _write(
    conn: Connection, lane: Lane, work: Work, done: Settlement, now: datetime
) -> Mapping[int, str]:
    foreign = await _foreign(conn, lane, work, done.answers)
    await _heal(conn, lane, work, done.answers, now)
    stands = await _items(conn, lane, work, _kept(work, done, foreign), now)
    await _supersede(conn, lane, work, done.answers, now)
    return stands


async def _foreign(conn: Connection, lane: Lane, work: Work, answers: Mapping[int, Answer]) -> set[int]:
    """The places of what was blocked there already, and not by us: the partner had never heard of it from us."""
    if work.op is not Op.BLOCK:
        return set()
    places = [place for place, it in answers.items() if it.outcome is Outcome.ALREADY and place in work.fresh]
    told = await told_before(conn, lane, [work.orders[place] for place in places])
    return {place for place in places if not is_ours(told.get(work.orders[place].key))}


def is_ours(told: Told | None) -> bool:
    """Whether what the partner was told last is a block, which nobody else had set before."""
    return told is not None and told.op is Op.BLOCK and not told.is_foreign


def _kept(work: Work, done: Settlement, foreign: set[int]) -> list[tuple[Order, str, Answer]]:
    """What is not simply done: orders, their states, the partner's words."""
    kept = [(work.orders[place], "parked", answer) for place, answer in done.parked.items()]
    kept += [(work.dropped[place], "superseded", Answer(Outcome.UNKNOWN)) for place in done.outlived]
    for place, answer in done.answers.items():
        state = "foreign" if place in foreign else _KEPT.get(answer.outcome, "done" if answer.ref else "")
        if state:
            kept.append((work.orders[place], state, answer))
    return kept


async def _heal(
    conn: Connection, lane: Lane, work: Work, answers: Mapping[int, Answer], now: datetime
) -> None:
    """What the partner had refused, or we had given up, it has taken now that it was told again."""
    keys, versions = _columns(work.orders[place] for place, it in answers.items() if it.outcome in _GOOD)
    if not (work.doubtful and keys):
        return
    rows = await conn.fetch(_ITEMS.heal, lane.partner_id, work.op, keys, versions)
    tally = Counter((row["command_id"], row["state"]) for row in rows)
    for command_id in sorted({command_id for command_id, _ in tally}):
        refused, parked = tally[command_id, "refused"], tally[command_id, "parked"]
        await conn.execute(_SQL.heal_progress, command_id, lane.partner_id, refused, parked, now)


async def _items(
    conn: Connection, lane: Lane, work: Work, kept: list[tuple[Order, str, Answer]], now: datetime
) -> dict[int, str]:
    """The state that stands for each of these keys."""
    if not kept:
        return {}
    rows = [(o.key, o.version, state, a.code, a.words, a.ref) for o, state, a in kept]
    columns = [list(column) for column in zip(*rows, strict=True)]
    found = await conn.fetch(_ITEMS.settle_items, lane.partner_id, work.op, work.command_id, now, *columns)
    return {row["key"]: row["state"] for row in found}


async def _supersede(
    conn: Connection, lane: Lane, work: Work, answers: Mapping[int, Answer], now: datetime
) -> None:
    """What the partner had only accepted of older decisions about the same identifiers gave way to this one."""
    # The first decision about an identifier has none before it.
    keys, versions = _columns(order for place in answers if (order := work.orders[place]).version > 1)
    if work.op is Op.ENROL or not keys:
        return
    rows = await conn.fetch(_ITEMS.supersede_accepted, lane.partner_id, keys, versions)
    for command_id, count in sorted(Counter(row["command_id"] for row in rows).items()):
        await conn.execute(_SQL.supersede_progress, command_id, lane.partner_id, count, now)


async def _progress(
    conn: Connection, lane: Lane, work: Work, done: Settlement, stands: Mapping[int, str], now: datetime
) -> None:
    if stands:
        tally = Counter(
            _end(answer, stands.get(work.orders[place].key, "")) for place, answer in done.answers.items()
        )
    else:
        tally = Counter([str(answer.outcome) for answer in done.answers.values()])
    superseded = len(done.untold) - done.not_ours + len(done.outlived)
    await conn.execute(
        _SQL.settle_progress, work.command_id, lane.partner_id,
        tally["done"], tally["already"], tally["accepted"], tally["refused"], superseded, done.calls,
        done.failed_calls, done.fault, now, len(done.parked), done.not_ours,
    )  # fmt: skip


def _end(answer: Answer, stands: str) -> str:
    """What an order counts as: its answer, or what the partner has said of it since."""
    if answer.outcome not in _KEPT or stands not in ("accepted", "confirmed", "refused"):
        return str(answer.outcome)
    return "done" if stands == "confirmed" else stands


def _columns(orders: Iterable[Order]) -> tuple[list[int], list[int]]:
    """Keys and versions, in step."""
    told = list(orders)
    return [order.key for order in told], [order.version for order in told]
