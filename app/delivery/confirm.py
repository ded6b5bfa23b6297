"""Results that a partner reports later: what was accepted becomes confirmed or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from app.adapters.contract import Confirmation, Outcome
from app.core import imei
from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("delivery")
_STATES = {Outcome.DONE: "confirmed", Outcome.ALREADY: "confirmed", Outcome.REFUSED: "refused"}


class Confirmed(msgspec.Struct, frozen=True):
    """What came of a partner's message: how many results counted; the others were stale or not ours."""

    counted: int
    ignored: int


async def confirm(
    conn: Connection, partner_id: int, results: Sequence[Confirmation], now: datetime
) -> Confirmed:
    """Books a partner's later results. The newest decision alone can be confirmed; repeats change nothing."""
    keys = await _keys(conn, results)
    rows = {
        (keys[result.name], str(result.op)): (_STATES[result.answer.outcome], result.answer)
        for result in results
        if result.name in keys and result.answer.outcome in _STATES
    }
    columns = [
        (key, op, state, answer.code, answer.words, answer.ref)
        for (key, op), (state, answer) in sorted(rows.items())
    ]
    booked = await conn.fetch(
        _SQL.confirm, partner_id, now, *([row[place] for row in columns] for place in range(6))
    )
    tally = Counter((row["command_id"], row["state"]) for row in booked if row["command_id"] is not None)
    for command_id in sorted({command for command, _ in tally}):
        done, refused = tally[command_id, "confirmed"], tally[command_id, "refused"]
        await conn.execute(_SQL.confirm_progress, command_id, partner_id, done, refused, now)
    return Confirmed(len(booked), len(results) - len(booked))


async def _keys(conn: Connection, results: Sequence[Confirmation]) -> dict[str, int]:
    """The key of each name that is an IMEI, or a serial on the block list."""
    keys = {}
    serials = []
    for result in results:
        key = imei.asked(result.name)
        if key is None:
            serials.append(result.name)
        else:
            keys[result.name] = key
    for row in await conn.fetch(_SQL.serial_keys, serials):
        keys[row["serial"]] = row["key"]
    return keys
