"""Partners are asked: for the results that they leave for us to fetch, and for what they hold.

What a partner holds is compared with what it was told; the difference is told again. One that takes whole lists is
given one when somebody says so. One worker at a time asks a partner, outside of its lanes, by a lease that is renewed
meanwhile and is the fence of what is booked; no transaction is open while it waits. Slow partners hold up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec

from app.access.roles import Principal
from app.adapters import registry
from app.adapters.contract import Confirmation, Failing, Holds, OutOfTime, PartnerFault, Polls, Report
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, transaction
from app.core.errors import Conflict
from app.core.sql import queries
from app.delivery import again, calls, confirm, partners, whole_list
from app.delivery.contacts import Contact
from app.delivery.partners import BREAKER_OPENS_AT
from app.delivery.send import Desk
from app.delivery.timed import Timed

POLL_EVERY = 10.0
RECONCILE_EVERY = 86_400.0
# Partners that are asked at a time; seconds of the lease, and for which results are fetched, and put away.
AT_ONCE = 8
LEASE = 60.0
POLL_FOR = 20.0
_RETRY = 300.0
_LONGEST = 300.0
_PAUSE = 1.0
_STOP_WITHIN = 5.0

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


class Overtaken(Exception):
    """The lease on asking a partner has passed to somebody else: what came of it is not the newest any more."""


class _Due(msgspec.Struct, frozen=True):
    """A lease on asking one partner, and what it is asked: for results, what it holds, or to take its list."""

    contact: Contact
    token: int
    polls: bool
    reconciles: bool
    lists: bool
    began: datetime

    @property
    def lease(self) -> tuple[int, int]:
        return self.contact.partner.id, self.token


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
        await asyncio.wait(at_work, timeout=_STOP_WITHIN)


async def _pause(desk: Desk, unless: Collection[asyncio.Task[None]]) -> None:
    """A moment, or until one of these has ended or the worker is to stop."""
    stop = asyncio.ensure_future(desk.stopping.wait())
    await asyncio.wait({stop, *unless}, timeout=_PAUSE, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()


async def step(desk: Desk) -> bool:
    """Asks one partner that is due. False where none is."""
    due = await _due(desk)
    if due:
        await _ask(desk, due)
    return due is not None


async def _claimed(desk: Desk) -> _Due | None:
    try:
        return await _due(desk)
    except Exception as error:  # a database that is away is waited for, not died of
        _LOG.warning("asking.failed", error=repr(error))
        return None


async def _due(desk: Desk) -> _Due | None:
    """A partner that is to be asked now, by us alone."""
    async with desk.pool.acquire(timeout=10) as conn:
        await desk.contacts.forget_removed(conn)
        row = await conn.fetchrow(
            _SQL.claim_asking,
            _who_can("poll"),
            _who_can("holdings"),
            LEASE,
            BREAKER_OPENS_AT,
            _who_can("publish"),
        )
        if row is None:
            return None
        contact = await desk.contacts.of(conn, row["partner_id"])
        return _Due(contact, row["token"], row["polls"], row["reconciles"], row["lists"], row["began"])


def _who_can(method: str) -> list[str]:
    """The adapters that have it."""
    return [kind for kind, adapter in registry.adapters().items() if hasattr(adapter, method)]


async def _ask_safely(desk: Desk, due: _Due) -> None:
    try:
        await _ask(desk, due)
    except Exception as error:  # the lease lapses, and the partner is asked again
        _LOG.warning("asking.failed", error=repr(error))


async def _ask(desk: Desk, due: _Due) -> None:
    """Asks, renewing the lease meanwhile, and notes what came of it. Broken off, it hands the lease back."""
    asking, noted = asyncio.create_task(_answers(desk, due)), False
    try:
        while not (await asyncio.wait({asking}, timeout=LEASE / 4))[0] and await _renewed(desk, due):
            pass
        if asking.done():
            await _note(desk, due, asking.result())
            noted = True
    finally:
        asking.cancel()
        await asyncio.wait({asking}, timeout=_STOP_WITHIN)
        if not noted:
            await _let_go(desk, due)


async def _renewed(desk: Desk, due: _Due) -> bool:
    """Whether nobody else asks the partner now, as far as one can know."""
    try:
        async with desk.pool.acquire(timeout=10) as conn:
            return bool(await conn.fetchval(_SQL.renew_asking, *due.lease, LEASE))
    except Exception as error:  # what comes of it is fenced all the same
        _LOG.warning("asking.failed", error=repr(error))
        return True


async def _let_go(desk: Desk, due: _Due) -> None:
    with suppress(Exception):  # or the lease lapses
        async with asyncio.timeout(_STOP_WITHIN), desk.pool.acquire() as conn:
            await conn.execute(_SQL.stop_asking, *due.lease)


async def _note(desk: Desk, due: _Due, came: _Came) -> None:
    mends = due.lists or due.reconciles
    poll_in = (POLL_EVERY if came.polled else _RETRY) if due.polls else None
    mend_in = (RECONCILE_EVERY if came.found else _RETRY) if mends else None
    said = msgspec.to_builtins(came.found) if came.found else None
    given = bool(came.found and due.lists)
    partner_id, token = due.lease
    async with desk.pool.acquire() as conn:
        if not await conn.fetchval(_SQL.asked, partner_id, poll_in, mend_in, said, given, due.began, token):
            _LOG.warning("asking.overtaken", partner=due.contact.partner.name)


async def _answers(desk: Desk, due: _Due) -> _Came:
    polled = await _safely(_fetch(desk, due), due.contact) if due.polls else None
    mend = _give_list if due.lists else _compare if due.reconciles else None
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


async def _fetch(desk: Desk, due: _Due) -> bool:
    """Books what the partner left for us, as far as the time suffices, and puts it away. Booked twice it changes
    nothing. False where something could not be put away."""
    contact = due.contact
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
        await _book(desk, due, report)
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


async def _book(desk: Desk, due: _Due, report: Report) -> None:
    rest = iter(report.confirmations)
    while part := list(islice(rest, confirm.MOST)):
        booking = partial(_confirm, due=due, report=report, results=part, now=desk.now())
        await transaction(desk.pool, booking)


async def _confirm(
    conn: Connection, *, due: _Due, report: Report, results: Sequence[Confirmation], now: datetime
) -> None:
    partner = due.contact.partner
    booked = await confirm.confirm(conn, partner.id, results, now)
    detail = {"report": report.name, "not_understood": report.words, **msgspec.to_builtins(booked)}
    await record(conn, [Entry("delivery.confirmed", f"partner:{partner.id}", partner.name, now, detail)])
    await _must_be_ours(conn, due)


async def _must_be_ours(conn: Connection, due: _Due) -> None:
    """Raises Overtaken. The last of a transaction: a lane is never locked after it."""
    if not await conn.fetchval(_SQL.hold_asking, *due.lease):
        raise Overtaken


async def _give_list(desk: Desk, due: _Due) -> Reconciled:
    return Reconciled(desk.now(), listed=await whole_list.publish(desk, due.contact))


async def _compare(desk: Desk, due: _Due) -> Reconciled:
    contact = due.contact
    adapter = contact.adapter
    assert isinstance(adapter, Holds)
    holdings = await adapter.holdings(contact.wire, desk.now())

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
        await _must_be_ours(conn, due)
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
