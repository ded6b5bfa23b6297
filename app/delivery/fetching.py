"""What partners leave for us is fetched, booked, and put away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import islice

import msgspec

from app.adapters.contract import Confirmation, Failing, OutOfTime, Polls, Report
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, transaction
from app.delivery import confirm
from app.delivery.contacts import Contact
from app.delivery.send import Desk
from app.delivery.timed import Timed
from app.delivery.turn import Turn, must_be_ours

# Seconds for which results are fetched, and put away.
POLL_FOR = 20.0

_LOG = log.get("delivery")


async def fetch(desk: Desk, turn: Turn) -> bool:
    """Books what the partner left for us, as far as the time suffices, and puts it away. Booked twice it changes
    nothing. False where something could not be put away."""
    contact = turn.contact
    adapter = contact.adapter
    assert isinstance(adapter, Polls)
    async with _bounded(desk):
        reports = await adapter.poll(Timed(contact.wire, POLL_FOR), desk.now())
    for report in reports:
        if report.words:
            # Nobody else would hear of it: what is not understood books nothing.
            _LOG.warning(
                "asking.not_understood", partner=contact.partner.name, report=report.name, words=report.words
            )
        await _book(desk, turn, report)
    return not reports or await _put_away(desk, contact, adapter, [report.name for report in reports])


async def _put_away(desk: Desk, contact: Contact, adapter: Polls, names: Sequence[str]) -> bool:
    try:
        async with _bounded(desk):
            await adapter.put_away(names, Timed(contact.wire, POLL_FOR))
    except OutOfTime:
        return True  # the rest is put away when it is met again
    except Failing as fault:
        _LOG.warning("asking.not_put_away", partner=contact.partner.name, fault=str(fault))
        return False
    return True


def _bounded(desk: Desk) -> asyncio.Timeout:
    """So long that what was begun on the wire in time ends by itself."""
    return asyncio.timeout(POLL_FOR + desk.terms.deadline + desk.terms.margin)


async def _book(desk: Desk, turn: Turn, report: Report) -> None:
    rest = iter(report.confirmations)
    while part := list(islice(rest, confirm.MOST)):
        booking = partial(_confirm, turn=turn, report=report, results=part, now=desk.now())
        await transaction(desk.pool, booking)


async def _confirm(
    conn: Connection, *, turn: Turn, report: Report, results: Sequence[Confirmation], now: datetime
) -> None:
    partner = turn.contact.partner
    booked = await confirm.confirm(conn, partner.id, results, now)
    detail = {"report": report.name, "not_understood": report.words, **msgspec.to_builtins(booked)}
    await record(conn, [Entry("delivery.confirmed", f"partner:{partner.id}", partner.name, now, detail)])
    await must_be_ours(conn, turn)
