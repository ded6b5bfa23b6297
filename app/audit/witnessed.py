"""What witnesses have signed, and which of them is to be shown what. Owns the tables audit_witness and
audit_cosignature."""

from __future__ import annotations

from typing import NamedTuple

from app.audit import note, tiles
from app.audit.note import Verifier
from app.core.db import Connection
from app.core.errors import Invalid
from app.core.sql import queries

AGAIN = 10.0
"""Seconds after which a witness is shown the newest head again: that he has signed a longer one, only he can say."""

_SQL = queries("audit")


class Shown(NamedTuple):
    """What a witness is to be shown: the size that he has signed, the proof from there, and the newest checkpoint with
    its size. `objection` is what he said last against the log; '': nothing."""

    old: int
    path: list[bytes]
    checkpoint: str
    size: int
    objection: str


async def claim(conn: Connection, witness: str, seconds: float) -> Shown | None:
    """What this witness has not signed yet, which nobody else shows him for so long; None where there is nothing, or
    it is not his time."""
    row = await conn.fetchrow(_SQL.claim_witness, witness, seconds)
    if row is None:
        return None
    head = await conn.fetchrow(_SQL.last_note)
    if head is None or (head["size"] == row["size"] and not row["is_due"]):
        await conn.execute(_SQL.free_witness, witness)
        return None
    size, old = head["size"], row["size"]
    # He may have signed a log that was longer: he is to say so himself.
    old = old if old <= size else 0
    return Shown(old, await tiles.grown(conn, old, size), head["note"], size, row["objection"])


async def keep(conn: Connection, witness: Verifier, shown: Shown, line: str) -> bool:
    """Keeps what a witness has put under a checkpoint; False, and nothing is kept, where it is no good signature."""
    try:
        _, good = note.opened(shown.checkpoint + line, [witness])
    except Invalid:
        return False
    await conn.execute(_SQL.add_cosignature, shown.size, witness.name, good[witness].line())
    await leave(conn, witness.name, shown.size, "", 0)
    return True


async def leave(conn: Connection, witness: str, size: int, objection: str, seconds: float) -> None:
    """He has signed so much, says so much against more, and is asked again in so many seconds."""
    await conn.execute(_SQL.leave_witness, witness, size, objection, seconds, AGAIN)
