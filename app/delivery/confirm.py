"""Results that a partner reports later: what was accepted becomes confirmed or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from app.adapters.contract import Answer, Confirmation, Outcome
from app.core import imei
from app.core.db import Connection
from app.core.errors import Invalid
from app.core.sql import queries

_SQL = queries("items")
_DELIVERY = queries("delivery")
_LANES = queries("lanes")
_MESSAGES = queries("messages")
# No partner repeats a message for longer than that.
_REMEMBERED = timedelta(days=14)
MOST = 10_000
_STATES = {Outcome.DONE: "confirmed", Outcome.ALREADY: "confirmed", Outcome.REFUSED: "refused"}


class Confirmed(msgspec.Struct, frozen=True):
    """What came of a partner's message: how many results counted; the others were stale or not ours."""

    counted: int
    ignored: int


async def is_new(conn: Connection, partner_id: int, message_id: str, now: datetime) -> bool:
    """Whether the partner's message of that number comes for the first time; remembers it."""
    await conn.execute(_MESSAGES.forget, now - _REMEMBERED)
    return await conn.fetchval(_MESSAGES.note, partner_id, message_id, now) is not None


async def confirm(
    conn: Connection, partner_id: int, results: Sequence[Confirmation], now: datetime
) -> Confirmed:
    """Books a partner's later results onto what it had accepted. Repeats, and late words about decisions
    that are past, change nothing. Raises Invalid for more than `MOST` of them."""
    if len(results) > MOST:
        raise Invalid(
            f"The message reports {len(results):,} results; it would be {MOST:,} at most. Nothing was booked.",
            "confirmation-size",
        )
    named = await candidates(conn, {result.name for result in results})
    rows = [
        (key, str(result.op), _STATES[result.answer.outcome], result.answer)
        for result in {(result.name, result.op): result for result in results}.values()
        if result.answer.outcome in _STATES
        for key in named.get(result.name, ())
    ]
    await conn.execute(_LANES.hold_lanes_of, partner_id, [key for key, *_ in rows])
    booked = await conn.fetch(_SQL.confirm, partner_id, now, *_columns(rows))
    known = {(row["key"], row["op"]) for row in booked}
    early = [row for row in rows if (row[0], row[1]) not in known]
    kept = await conn.fetch(_SQL.confirm_early, partner_id, now, *_columns(early))
    await _count(conn, partner_id, booked, now)
    counted = len(booked) + len(kept)
    return Confirmed(counted, max(0, len(results) - counted))


async def _count(conn: Connection, partner_id: int, booked: Sequence[asyncpg.Record], now: datetime) -> None:
    tally = Counter((row["command_id"], row["state"]) for row in booked)
    for command_id in sorted({command for command, _ in tally}):
        done, refused = tally[command_id, "confirmed"], tally[command_id, "refused"]
        await conn.execute(_DELIVERY.confirm_progress, command_id, partner_id, done, refused, now)


def _columns(rows: Sequence[tuple[int, str, str, Answer]]) -> list[list[Any]]:
    table = sorted(
        {(key, op): (key, op, state, it.code, it.words, it.ref) for key, op, state, it in rows}.values()
    )
    return [[row[place] for row in table] for place in range(6)]


async def candidates(conn: Connection, names: Collection[str]) -> dict[str, list[int]]:
    """The keys that each name may mean: an IMEI's, and those of every listed device with that serial."""
    keys = {name: [key] for name in names if (key := imei.asked(name)) is not None}
    for row in await conn.fetch(_SQL.serial_keys, sorted(names)):
        keys.setdefault(row["serial"], []).append(row["key"])
    return keys
