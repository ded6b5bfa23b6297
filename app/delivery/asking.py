"""Partners are asked: for the results that they leave for us to fetch, and for what they hold.

What a partner holds is compared with what it was told; the difference is told again. One that takes whole lists is
given one when somebody says so. One worker at a time asks a partner, outside of its lanes, and no transaction is open
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec

from app.access.roles import Principal
from app.adapters import registry
from app.adapters.contract import Confirmation, Holds, PartnerFault, Polls, Report
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, transaction
from app.core.errors import Conflict
from app.core.sql import queries
from app.delivery import again, confirm, partners, whole_list
from app.delivery.contacts import Contact, Witnessed
from app.delivery.partners import BREAKER_OPENS_AT, Partner
from app.delivery.send import Desk

POLL_EVERY = 10.0
RECONCILE_EVERY = 86_400.0
_RETRY = 300.0
_LONGEST = 600.0
_PAUSE = 1.0

_SQL = queries("lanes")
_AGAIN = queries("again")
_LOG = log.get("delivery")
T = TypeVar("T")


class Reconciled(msgspec.Struct, frozen=True):
    """What came of asking a partner what it holds: so many identifiers, of anybody; and of ours, so many that it should
    hold and does not (`missing`), and that it should not and does (`surplus`). Both it is told again. One that takes
    whole lists was given one, of so many as were `listed`."""

    at: datetime
    held: int = 0
    missing: int = 0
    surplus: int = 0
    listed: int | None = None


async def run(desk: Desk) -> None:
    """Asks whoever is due, until `desk.stopping` is set."""
    while not desk.stopping.is_set():
        try:
            found = await step(desk)
        except Exception as error:  # a database that is away is waited for, not died of
            _LOG.warning("asking.failed", error=repr(error))
            found = False
        if not found:
            try:
                await asyncio.wait_for(desk.stopping.wait(), _PAUSE)
            except TimeoutError:
                continue


async def step(desk: Desk) -> bool:
    """Asks one partner that is due. False where none is."""
    async with desk.pool.acquire() as conn:
        due = await conn.fetchrow(
            _SQL.claim_asking, _who_can("poll"), _who_can("holdings"), 4 * _LONGEST, BREAKER_OPENS_AT,
            _who_can("publish"),
        )  # fmt: skip
        contact = await desk.contacts.of(conn, due["partner_id"]) if due else None
    if due is None or contact is None:
        return False
    polled = await _safely(_fetch(desk, contact), contact) if due["polls"] else None
    mend = _give_list if due["lists"] else _compare if due["reconciles"] else None
    found = await _safely(mend(desk, contact), contact) if mend else None
    poll_in = (POLL_EVERY if polled else _RETRY) if due["polls"] else None
    mend_in = (RECONCILE_EVERY if found else _RETRY) if mend else None
    said = msgspec.to_builtins(found) if found else None
    given = bool(found and due["lists"])
    async with desk.pool.acquire() as conn:
        await conn.execute(_SQL.asked, contact.partner.id, poll_in, mend_in, said, given, due["began"])
    return True


def _who_can(method: str) -> list[str]:
    """The adapters that have it."""
    return [kind for kind, adapter in registry.adapters().items() if hasattr(adapter, method)]


async def _safely(asking: Awaitable[T], contact: Contact) -> T | None:
    """What it comes to; None where the partner cannot be asked now."""
    try:
        async with asyncio.timeout(_LONGEST):
            return await asking
    except (PartnerFault, TimeoutError) as fault:
        _LOG.warning("asking.unanswered", partner=contact.partner.name, fault=str(fault))
    except Exception as error:  # whatever an adapter raises is a fault of this one partner
        _LOG.warning("asking.broke", partner=contact.partner.name, error=repr(error))
    return None


async def _fetch(desk: Desk, contact: Contact) -> bool:
    """Books what the partner left for us, and puts it away. Booked twice it changes nothing."""
    adapter = contact.adapter
    assert isinstance(adapter, Polls)
    wire = Witnessed(contact.wire)
    reports = await adapter.poll(wire, desk.now())
    for report in reports:
        if report.words:
            # Nobody else would hear of it: what is not understood books nothing.
            _LOG.warning(
                "asking.not_understood", partner=contact.partner.name, report=report.name, words=report.words
            )
        await _book(desk, contact.partner, report)
    if reports:
        await adapter.put_away([report.name for report in reports], wire)
    return True


async def _book(desk: Desk, partner: Partner, report: Report) -> None:
    rest = iter(report.confirmations)
    while part := list(islice(rest, confirm.MOST)):
        booking = partial(_confirm, partner=partner, report=report, results=part, now=desk.now())
        await transaction(desk.pool, booking)


async def _confirm(
    conn: Connection, *, partner: Partner, report: Report, results: Sequence[Confirmation], now: datetime
) -> None:
    booked = await confirm.confirm(conn, partner.id, results, now)
    detail = {"report": report.name, "not_understood": report.words, **msgspec.to_builtins(booked)}
    await record(conn, [Entry("delivery.confirmed", f"partner:{partner.id}", partner.name, now, detail)])


async def _give_list(desk: Desk, contact: Contact) -> Reconciled:
    return Reconciled(desk.now(), listed=await whole_list.publish(desk, contact))


async def _compare(desk: Desk, contact: Contact) -> Reconciled:
    adapter = contact.adapter
    assert isinstance(adapter, Holds)
    holdings = await adapter.holdings(Witnessed(contact.wire), desk.now())

    async def mend(conn: Connection) -> Reconciled:
        names = sorted({holding.name for holding in holdings})
        keys = [key for found in (await confirm.candidates(conn, names)).values() for key in found]
        rows = await conn.fetch(_AGAIN.differing, contact.partner.id, keys)
        blocked = sum(row["blocked"] for row in rows)
        found = Reconciled(desk.now(), len(names), blocked, len(rows) - blocked)
        await again.tell(
            conn, "worker", contact.partner.id, [row["key"] for row in rows], "partner.reconciled",
            {"held": found.held, "missing": found.missing, "surplus": found.surplus}, found.at,
        )  # fmt: skip
        return found

    return await transaction(desk.pool, mend)


async def reconcile(conn: Connection, actor: Principal, partner_id: int, now: datetime) -> None:
    """Has a partner asked, as soon as a worker is free, what it holds, or given the whole list. Raises Missing, and
    Conflict where its adapter can do neither, or it was removed."""
    partner = await partners.hold(conn, partner_id)
    if partner.removed:
        raise Conflict("This partner was removed; it is asked nothing any more.", "partner-removed")
    takes_lists = partner.adapter in _who_can("publish")
    if not takes_lists and partner.adapter not in _who_can("holdings"):
        raise Conflict(
            f"Partners of the adapter {partner.adapter} cannot be asked what they hold, and take no whole lists;"
            " 'resync' tells them all of it.",
            "asks-not",
        )
    await conn.execute(_SQL.ask_soon, partner_id, takes_lists)
    await record(conn, [Entry("partner.asked", f"partner:{partner_id}", actor.label, now)])
