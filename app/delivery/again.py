"""Told again: one partner hears once more of what stands decided, be it what it refused, or all of it.

States are absolute, so hearing them twice changes nothing; and what a partner is still to be told is not ordered again,
so asking twice changes nothing either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, auto

import msgspec

from app.access.roles import Principal
from app.adapters.contract import Op
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Invalid, Missing
from app.core.sql import queries
from app.delivery import partners
from app.delivery.commands import Command, order
from app.delivery.progress import waiting

_SQL = queries("again")
_DELIVERY = queries("delivery")
_PARTNERS = queries("partners")


class Which(StrEnum):
    """What a partner is to hear again: what it refused and what was given up, one of these, or all it ever heard."""

    FAILED = auto()
    REFUSED = auto()
    PARKED = auto()
    ALL = auto()


_STATES = {
    Which.FAILED: ["refused", "parked"],
    Which.REFUSED: ["refused"],
    Which.PARKED: ["parked"],
}


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is meant, of an incident, or of what was ordered from `since` until before `until`; without, of all."""

    which: Which = Which.FAILED
    incident: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class Again(msgspec.Struct, frozen=True):
    """How many identifiers the partner is told again: to block, and to release."""

    block: int
    release: int


async def replay(conn: Connection, actor: Principal, partner_id: int, wanted: Replay, now: datetime) -> Again:
    """Has a partner told again of what is meant, each as it stands now. Raises Missing, Invalid."""
    if any(moment is not None and moment.tzinfo is None for moment in (wanted.since, wanted.until)):
        raise Invalid("A moment would have its zone, as in 2026-12-22T02:00:00Z.", "moment-without-zone")
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        flaw = Flaw("it would be later than since", "/until")
        raise Invalid(
            "Nothing is ordered from since until before until: until would be later.", flaws=(flaw,)
        )
    if wanted.incident is not None and not await conn.fetchval(_SQL.is_incident, wanted.incident):
        raise Missing(f"There is no incident {wanted.incident}.")
    bounds = wanted.incident, wanted.since, wanted.until
    await _open_to_be_told(conn, partner_id)
    if wanted.which is Which.ALL:
        rows = await conn.fetch(_SQL.told, partner_id, *bounds)
    else:
        rows = await conn.fetch(_SQL.failed, partner_id, *bounds, _STATES[wanted.which])
    said = msgspec.to_builtins(wanted)
    return await tell(
        conn, actor.label, partner_id, [row["key"] for row in rows], "partner.replayed", said, now
    )


async def resync(conn: Connection, actor: Principal, partner_id: int, now: datetime) -> Again:
    """Brings a partner up to date that was added late, or restored from a backup: all that is blocked now, and all
    that was released since it was added. Raises Missing."""
    await _open_to_be_told(conn, partner_id)
    rows = await conn.fetch(_SQL.everything, partner_id)
    return await tell(
        conn, actor.label, partner_id, [row["key"] for row in rows], "partner.resynced", {}, now
    )


async def _open_to_be_told(conn: Connection, partner_id: int) -> None:
    if (await partners.hold(conn, partner_id)).removed:
        raise Conflict("This partner was removed; it is told nothing any more.", "partner-removed")


async def tell(
    conn: Connection,
    by: str,
    partner_id: int,
    keys: Sequence[int],
    kind: str,
    said: dict[str, object],
    now: datetime,
    *,
    even_waiting: bool = False,
) -> Again:
    """Has a partner told how these identifiers stand, with an entry of this kind on the audit log. Not of those that it
    is still to be told so anyway, unless `even_waiting`."""
    orders: dict[tuple[int, Op], list[tuple[int, int]]] = defaultdict(list)
    for row in await conn.fetch(_SQL.as_decided, partner_id, keys, even_waiting) if keys else ():
        orders[row["incident_id"], Op(row["op"])].append((row["key"], row["version"]))
    numbers: dict[Op, list[int | None]] = {Op.BLOCK: [], Op.RELEASE: []}
    for (incident_id, op), told in sorted(orders.items()):
        command = Command(op, now, by, incident_id=incident_id, again=True)
        columns = [key for key, _ in told], [version for _, version in told]
        numbers[op].append(await order(conn, command, *columns, only=[partner_id]))
    again = Again(*[await conn.fetchval(_DELIVERY.ordered, numbers[op]) for op in (Op.BLOCK, Op.RELEASE)])
    detail = {**said, **msgspec.to_builtins(again)}
    await record(conn, [Entry(kind, f"partner:{partner_id}", by, now, detail)])
    return again


async def tell_choosy(
    conn: Connection, by: str, incident_id: int, keys: Sequence[int], now: datetime
) -> None:
    """Partners that are told of some incidents only may not have heard of what another incident had blocked: they
    hear of it by this one."""
    for row in await conn.fetch(_PARTNERS.choosy) if keys else ():
        said = {
            "incident": incident_id,
            "because": "blocked before by an incident of another kind or country",
        }
        await tell(conn, by, row["partner_id"], keys, "partner.replayed", said, now)


async def remove(
    conn: Connection, actor: Principal, partner_id: int, *, leave_blocks: bool, now: datetime
) -> None:
    """A partner is told nothing any more, and its settings are forgotten; what it was told stays on record. Raises
    Missing; Conflict where it holds blocks of ours that nobody could release any more, unless they are to be left."""
    await _open_to_be_told(conn, partner_id)
    incidents = await conn.fetchval(_SQL.holds, partner_id)
    if incidents and not leave_blocks:
        raise Conflict(
            f"This partner holds blocks of {incidents:,} incident(s) that are in force; once it is removed, nobody"
            " tells it of their release. Lift or withdraw them first, or leave the blocks there"
            " (--leave-blocks, or ?leave_blocks=true).",
            "partner-holds-blocks",
        )
    detail = {"incidents_in_force": incidents, "untold": (await waiting(conn, partner_id))[partner_id]}
    await partners.remove(conn, partner_id, now)
    await record(conn, [Entry("partner.removed", f"partner:{partner_id}", actor.label, now, detail)])
