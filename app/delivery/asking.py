"""Partners are asked: for the results that they leave for us to fetch, and for what they hold.

One worker at a time asks a partner, outside of its lanes, by a lease that is renewed meanwhile and is the fence of what
is booked; no transaction is open while it waits. Slow partners hold up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from datetime import datetime
from typing import TypeVar

import msgspec

from app.access.roles import Principal
from app.adapters.contract import PartnerFault
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection
from app.core.errors import Conflict
from app.core.sql import queries
from app.delivery import calls, partners, turn
from app.delivery.comparing import Reconciled, compare, give_list
from app.delivery.contacts import Contact
from app.delivery.fetching import fetch
from app.delivery.send import Desk
from app.delivery.turn import STOP_WITHIN, Overtaken, Turn

POLL_EVERY = 10.0
RECONCILE_EVERY = 86_400.0
# Partners that are asked at a time.
AT_ONCE = 8
_RETRY = 300.0
_LONGEST = 300.0
_PAUSE = 1.0

_SQL = queries("lanes")
_LOG = log.get("delivery")
T = TypeVar("T")


class _Came(msgspec.Struct, frozen=True):
    """What came of it: whether all results were fetched, and what was found; None where that failed, or was not due."""

    polled: bool
    found: Reconciled | None


async def run(desk: Desk) -> None:
    """Asks whoever is due, some at a time, until `desk.stopping` is set; asking that is under way is broken off then,
    and its leases are handed back."""
    at_work: set[asyncio.Task[None]] = set()
    while not desk.stopping.is_set():
        due = await _claimed(desk) if len(at_work) < AT_ONCE else None
        if due:
            task = asyncio.create_task(_ask_safely(desk, due))
            at_work.add(task)
            task.add_done_callback(at_work.discard)
            # It has begun: cancelled before that, it would hand nothing back.
            await asyncio.sleep(0)
        else:
            await _pause(desk, at_work if len(at_work) == AT_ONCE else ())
    for task in at_work:
        task.cancel()
    if at_work:
        await asyncio.wait(at_work, timeout=STOP_WITHIN)


async def _pause(desk: Desk, unless: Collection[asyncio.Task[None]]) -> None:
    """A moment, or until one of these has ended or the worker is to stop."""
    stop = asyncio.ensure_future(desk.stopping.wait())
    await asyncio.wait({stop, *unless}, timeout=_PAUSE, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()


async def step(desk: Desk) -> bool:
    """Asks one partner that is due. False where none is."""
    due = await turn.claimed(desk)
    if due:
        await _ask(desk, due)
    return due is not None


async def _claimed(desk: Desk) -> Turn | None:
    try:
        return await turn.claimed(desk)
    except Exception as error:  # a database that is away is waited for, not died of
        _LOG.warning("asking.failed", error=repr(error))
        return None


async def _ask_safely(desk: Desk, due: Turn) -> None:
    try:
        await _ask(desk, due)
    except Exception as error:  # the lease lapses, and the partner is asked again
        _LOG.warning("asking.failed", error=repr(error))


async def _ask(desk: Desk, due: Turn) -> None:
    """Asks, renewing the lease meanwhile, and notes what came of it. Broken off, it hands the lease back."""
    asking, noted = asyncio.create_task(_answers(desk, due)), False
    try:
        while not (await asyncio.wait({asking}, timeout=turn.LEASE / 4))[0] and await turn.renewed(desk, due):
            pass
        if asking.done():
            await _note(desk, due, asking.result())
            noted = True
    finally:
        asking.cancel()
        await asyncio.wait({asking}, timeout=STOP_WITHIN)
        if not noted:
            await turn.let_go(desk, due)


async def _note(desk: Desk, due: Turn, came: _Came) -> None:
    mends = due.lists or due.reconciles
    poll_in = (POLL_EVERY if came.polled else _RETRY) if due.polls else None
    mend_in = (RECONCILE_EVERY if came.found else _RETRY) if mends else None
    said = msgspec.to_builtins(came.found) if came.found else None
    given = bool(came.found and due.lists)
    partner_id, token = due.lease
    async with desk.pool.acquire() as conn:
        if not await conn.fetchval(_SQL.asked, partner_id, poll_in, mend_in, said, given, due.began, token):
            _LOG.warning("asking.overtaken", partner=due.contact.partner.name)


async def _answers(desk: Desk, due: Turn) -> _Came:
    polled = await _safely(fetch(desk, due), due.contact) if due.polls else None
    mend = give_list if due.lists else compare if due.reconciles else None
    return _Came(bool(polled), await _safely(mend(desk, due), due.contact) if mend else None)


async def _safely(asking: Awaitable[T], contact: Contact) -> T | None:
    """What it comes to; None where the partner cannot be asked now."""
    name = contact.partner.name
    try:
        async with asyncio.timeout(_LONGEST):
            return await asking
    except (PartnerFault, TimeoutError) as fault:
        _LOG.warning("asking.unanswered", partner=name, fault=str(fault) or "it took too long")
    except Overtaken:
        _LOG.warning("asking.overtaken", partner=name)
    except calls.ADAPTERS_RAISE as error:
        if calls.is_our_end(error):
            raise
        _LOG.warning("asking.broke", partner=name, error=repr(error))
    return None


async def reconcile(conn: Connection, actor: Principal, partner_id: int, now: datetime) -> None:
    """Has a partner asked, as soon as a worker is free, what it holds, or given the whole list. Raises Missing, and
    Conflict where its adapter can do neither, or it was removed."""
    partner = await partners.hold(conn, partner_id)
    if partner.removed:
        raise Conflict("This partner was removed; it is asked nothing any more.", "partner-removed")
    takes_lists = partner.adapter in turn.who_can("publish")
    if not takes_lists and partner.adapter not in turn.who_can("holdings"):
        raise Conflict(
            f"Partners of the adapter {partner.adapter} cannot be asked what they hold, and take no whole lists;"
            " 'resync' tells them all of it.",
            "asks-not",
        )
    await conn.execute(_SQL.ask_soon, partner_id, takes_lists)
    await record(conn, [Entry("partner.asked", f"partner:{partner_id}", actor.label, now)])
