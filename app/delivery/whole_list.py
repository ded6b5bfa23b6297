"""A partner that takes whole lists is given one, in place of what it has: all that it holds by our word.

Nobody tells it anything else meanwhile. What has not been told yet is not on the list, and is told afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from app.adapters.contract import Answer, Failing, Lists, NoAnswer, Outcome, Throttled
from app.audit.record import Entry, record
from app.core.db import transaction
from app.core.sql import queries
from app.delivery import lanes
from app.delivery.contacts import Contact, Witnessed
from app.delivery.lanes import Lane
from app.delivery.send import Desk

# Seconds that the lanes are held, that making and sending the list may take of them, and that we wait for them.
LEASE, DEADLINE, PATIENCE = 90.0, 75.0, 30.0
_PAUSE = 0.2
_TAKEN = frozenset({Outcome.DONE, Outcome.ALREADY, Outcome.ACCEPTED})

_SQL = queries("again")


async def publish(desk: Desk, contact: Contact) -> int:
    """How many identifiers were on the list. Raises PartnerFault where it did not get there, was not taken or came too
    late, or the partner was being told all the time: then another one is to be given."""
    held, leased_at = await _claimed(desk, contact.partner.id)
    try:
        async with asyncio.timeout(leased_at + DEADLINE - time.monotonic()):
            count, said = await _given(desk, contact)
    finally:
        kept = await _handed_back(desk, held)
    if not kept:
        raise NoAnswer("we slept over the list, so it may have come after something newer")
    if said.outcome not in _TAKEN:
        raise Failing(f"the list was not taken: {said.words or said.code or said.outcome}")
    return count


async def _claimed(desk: Desk, partner_id: int) -> tuple[list[Lane], float]:
    """All lanes of the partner, and the moment from which their lease is counted."""
    for _ in range(int(PATIENCE / _PAUSE)):
        leased_at = time.monotonic()
        held = await _all_lanes(desk, partner_id)
        if held:
            return held, leased_at
        if desk.stopping.is_set():
            break
        await asyncio.sleep(_PAUSE)
    raise Throttled("the partner is being told all the time, so it was given no list")


async def _all_lanes(desk: Desk, partner_id: int) -> list[Lane]:
    """Who is cancelled meanwhile hands back what he got."""
    claiming = asyncio.ensure_future(
        transaction(desk.pool, lambda conn: lanes.claim_all(conn, partner_id, LEASE))
    )
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        await _handed_back(desk, await claiming)
        raise


async def _given(desk: Desk, contact: Contact) -> tuple[int, Answer]:
    """How many were on the list, and what the partner said of it. It is on the audit log then."""
    assert isinstance(contact.adapter, Lists)
    async with desk.pool.acquire() as conn:
        row = await conn.fetchrow(_SQL.listed, contact.partner.id)
        assert row
        orders = await lanes.orders(conn, row["keys"], row["versions"])
    count, wire, at = len(row["keys"]), Witnessed(contact.wire), desk.now()
    said = await contact.adapter.publish(f"{at:%Y%m%dT%H%M%S}", orders, wire, at)
    detail = {"identifiers": count, "outcome": said.outcome, "ref": said.ref, "exchanges": wire.exchanges}
    entry = Entry("partner.listed", f"partner:{contact.partner.id}", "worker", at, detail)
    await transaction(desk.pool, lambda conn: record(conn, [entry]))
    return count, said


async def _handed_back(desk: Desk, held: Sequence[Lane]) -> bool:
    """Whether all of them had been ours until now."""
    async with desk.pool.acquire() as conn:
        return all([await lanes.hand_back(conn, lane) for lane in held])
