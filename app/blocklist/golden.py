"""Golden identifiers: test handsets, specimens, test ranges. They are never suspect or blocked, whoever names them.
Owns the table golden.

A scope that names one leaves it out; and whatever writes a listing of one, by whatever way, the database refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.core import imei
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Invalid, Missing, Unavailable, told
from app.core.sql import queries

_SQL = queries("golden")
_DIGITS = 14
PLACES = "an IMEI (15 digits, or the first 14), a TAC (8), or a reporting body (2), such as the test range 00"
WIDTHS = (2, 8, 14)


class Golden(msgspec.Struct, frozen=True):
    """An identifier (its first 14 digits), a TAC (8) or a reporting body (2) that is never blocked; why, by whom."""

    digits: str
    why: str
    added_at: datetime
    added_by: str


class Additions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be golden, and why, for all of them."""

    digits: Annotated[
        tuple[str, ...], msgspec.Meta(min_length=1, max_length=1000, description=f"Each is {PLACES}.")
    ]
    why: str


async def add(conn: Connection, actor: Principal, said: Additions, now: datetime) -> list[str]:
    """Makes these golden; those that were not. Raises Invalid, and Conflict `golden-held` with the incidents by which
    something of it is suspect or blocked now: then nothing is."""
    actor.require(Permission.GOLDEN_WRITE)
    why, digits = checked_reason(said.why), _read(said.digits)
    await conn.execute(_SQL.bear_waiting)
    try:
        await conn.execute(_SQL.hold_listings)
    except asyncpg.LockNotAvailableError:
        text = "Something is being blocked or released at this moment; nothing was done. Do it again in a moment."
        raise Unavailable(text, "listings-busy") from None
    await _must_be_free(conn, digits)
    rows = await conn.fetch(_SQL.add, digits, why, now, actor.label)
    added = sorted(row["digits"] for row in rows)
    if added:
        detail = {"added": len(added), "digits": [_masked(one) for one in added[:100]], "reason": why}
        await record(conn, [Entry("golden.added", "golden", actor.label, now, detail)])
    return added


async def remove(conn: Connection, actor: Principal, digits: str, reason: str, now: datetime) -> None:
    """These can be blocked again. A reason is wanted; it stays on the record. Raises Missing, Invalid."""
    actor.require(Permission.GOLDEN_WRITE)
    reason = checked_reason(reason)
    (wanted,) = _read((digits,))
    if await conn.fetchval(_SQL.remove, wanted) is None:
        raise Missing(f"{imei.shown(digits)} is not golden.", "golden-missing")
    detail = {"digits": [_masked(wanted)], "reason": reason}
    await record(conn, [Entry("golden.removed", "golden", actor.label, now, detail)])


async def listed(conn: Connection, actor: Principal, *, after: str = "", limit: int = 1000) -> list[Golden]:
    """What is golden, by its digits."""
    actor.require(Permission.INCIDENTS_READ)
    return [Golden(**row) for row in await conn.fetch(_SQL.listed, after, limit)]


async def _must_be_free(conn: Connection, digits: Sequence[str]) -> None:
    for place, one in enumerate(digits):
        if rows := await conn.fetch(_SQL.holders, *_range(one)):
            held = ", ".join(f"incident {row['incident_id']} ({row['identifiers']:,})" for row in rows)
            raise Conflict(
                f"{_masked(one)} is suspect or blocked now, by {held}; it would be lifted there first. Nothing was"
                " done.",
                "golden-held",
                (Flaw(f"held by {held}", f"/digits/{place}", "golden-held"),),
            )


def _range(digits: str) -> tuple[int, int]:
    """The keys that begin with these digits."""
    size = 10 ** (_DIGITS - len(digits))
    first = int(digits) * size
    return first, first + size - 1


def _read(texts: Sequence[str]) -> list[str]:
    flaws: list[Flaw] = []
    found = [_each(text, place, flaws) for place, text in enumerate(texts)]
    if flaws:
        raise Invalid(told(flaws, "{} of these cannot be golden."), flaws[0].code, tuple(flaws))
    return list(dict.fromkeys(found))


def _each(text: str, place: int, flaws: list[Flaw]) -> str:
    text = text.strip()
    is_number = text.isascii() and text.isdigit()
    if is_number and len(text) in WIDTHS:
        return text
    if len(text) != 15 or not is_number:
        flaws.append(Flaw(f"'{imei.shown(text)}' would be {PLACES}.", f"/digits/{place}", "golden-malformed"))
        return ""
    try:
        return f"{imei.spelled(text):014d}"
    except imei.BadImei as error:
        flaws.append(Flaw(str(error), f"/digits/{place}", error.code))
        return ""


def _masked(digits: str) -> str:
    """As logs may show it: a TAC is nobody's."""
    return imei.masked(digits) if len(digits) == _DIGITS else digits
