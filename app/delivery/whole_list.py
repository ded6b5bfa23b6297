"""A partner that takes whole lists is given one, in place of what it has: all that it holds by our word.

Nobody tells it anything else meanwhile. What has not been told yet is not on the list, and is told afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.adapters.contract import Answer, Lists, Throttled
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

_SQL = queries("again")


async def publish(desk: Desk, contact: Contact) -> int:
    """How many identifiers were on the list. Raises PartnerFault where it did not get there, or the partner was being
    told all the time."""
    assert isinstance(contact.adapter, Lists)
    async with _alone(desk, contact.partner.id), asyncio.timeout(DEADLINE):
        async with desk.pool.acquire() as conn:
            row = await conn.fetchrow(_SQL.listed, contact.partner.id)
            assert row
            orders = await lanes.orders(conn, row["keys"], row["versions"])
        wire, at = Witnessed(contact.wire), desk.now()
        said = await contact.adapter.publish(f"{at:%Y%m%dT%H%M%S}", orders, wire, at)
    await _recorded(desk, contact, len(row["keys"]), said, wire)
    return len(row["keys"])


@asynccontextmanager
async def _alone(desk: Desk, partner_id: int) -> AsyncIterator[None]:
    held = await _claimed(desk, partner_id)
    try:
        yield
    finally:
        async with desk.pool.acquire() as conn:
            for lane in held:
                await lanes.hand_back(conn, lane)


async def _claimed(desk: Desk, partner_id: int) -> list[Lane]:
    for _ in range(int(PATIENCE / _PAUSE)):
        held = await transaction(desk.pool, lambda conn: lanes.claim_all(conn, partner_id, LEASE))
        if held:
            return held
        await asyncio.sleep(_PAUSE)
    raise Throttled("the partner is being told all the time, so it was given no list")


async def _recorded(desk: Desk, contact: Contact, count: int, said: Answer, wire: Witnessed) -> None:
    detail = {"identifiers": count, "outcome": said.outcome, "ref": said.ref, "exchanges": wire.exchanges}
    entry = Entry("partner.listed", f"partner:{contact.partner.id}", "worker", desk.now(), detail)
    await transaction(desk.pool, lambda conn: record(conn, [entry]))
