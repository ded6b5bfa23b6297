"""One leased lane, worked: read deliveries, call the partner, settle, go on until nothing is due.

Calls are made in stretches of about a second; each stretch is settled before the next, so a crash
repeats a second's calls and never more. No transaction is open while a partner is being called.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from app.adapters.contract import Indivisible, Op
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, Pool, transaction
from app.delivery import again, calls, judge, lanes, ours, partners
from app.delivery.calls import Call
from app.delivery.contacts import Contact, Contacts
from app.delivery.lanes import CAREFUL_FROM, Lane, Work
from app.delivery.settle import Settlement, settle
from app.delivery.stretch import Stretch, give_up, settlement

LEASE = 25.0
DEADLINE = 15.0
MARGIN = 2.0
STRETCH = 1.0
# Seconds from which a lane is let go after a stretch. A partner has more lanes than calls at once, and those that have
# work without end would leave the others none.
TURN = 0.5
DELIVERIES_A_STRETCH = 8
CALLS_A_STRETCH = 500
# Leases that lapsed in a row with nothing settled, from which the order that was being told is given up: whoever tells
# it dies of it.
POISON_FROM = 5
# How often a batch may fail as a whole before it is told in halves, in quarters …
WHOLE_FAILURES = 2
PATIENCE = 14 * 86_400.0

_LOG = log.get("delivery")


class Terms(msgspec.Struct, frozen=True):
    """Seconds that a lease lasts, that one call may take, that must be left of the lease after such a call, and for
    which an order is tried before it is given up."""

    lease: float = LEASE
    deadline: float = DEADLINE
    margin: float = MARGIN
    patience: float = PATIENCE


class Desk(msgspec.Struct, frozen=True):
    """What a worker hands to every lane: the database, its contacts, time and chance, the stop sign, its terms."""

    pool: Pool
    contacts: Contacts
    now: Callable[[], datetime]
    chance: Callable[[], float]
    stopping: asyncio.Event
    terms: Terms = Terms()


async def work_lane(desk: Desk, lane: Lane, leased_at: float) -> None:
    """Works a lane until nothing is due, its turn is over, the partner needs rest or the worker is told to stop."""
    if lane.lapsed:
        async with desk.pool.acquire() as conn:
            await lanes.doubt(conn, lane)
    run = _Run(desk, lane, leased_at)
    ends = time.monotonic() + TURN
    while not desk.stopping.is_set():
        works = await run.works()
        if not works or not await run.stretch(works) or time.monotonic() > ends:
            break
    if run.held:
        async with desk.pool.acquire() as conn:
            await lanes.hand_back(conn, lane)


class _Run:
    """One lease on one lane. `held` turns false once the lease has been handed back or lost; `contact` is the partner
    by its settings and limits at the beginning of the stretch."""

    contact: Contact

    def __init__(self, desk: Desk, lane: Lane, leased_at: float) -> None:
        self.desk, self.lane, self.leased_at = desk, lane, leased_at
        self.probing = lane.probing
        # What was told here last was not written down, and may not be again: one call first.
        self.unsure = lane.lapsed
        self.lapses = lane.lapses
        self.held = True

    @property
    def careful(self) -> bool:
        """Whether one order is told at a time, and settled before the next."""
        return self.lapses >= CAREFUL_FROM

    @property
    def one_call(self) -> bool:
        """Whether one call is made, and settled, before there are more."""
        return self.probing or self.unsure or self.careful

    async def works(self) -> list[Work]:
        """The deliveries of the next stretch, their orders as they are told to this partner."""
        async with self.desk.pool.acquire() as conn:
            self.contact = await self.desk.contacts.of(conn, self.lane.partner_id)
            works = await lanes.next_works(conn, self.lane, self.desk.terms.patience, self._most())
            return await ours.known(conn, self.lane, works)

    def _most(self) -> int:
        """How many deliveries fill a stretch: told order by order, one makes as many calls as a stretch may."""
        if self.one_call:
            return 1
        return min(DELIVERIES_A_STRETCH, self.contact.adapter.batch_size)

    async def stretch(self, works: Sequence[Work]) -> bool:
        """Makes the next calls of these deliveries and settles them. False where the lane must be left."""
        poison = self._poison(works[0])
        wanted = [] if poison else [call for work in works for call in calls.calls_of(work, self._size(work))]
        allowed = await self._allowed(len(wanted))
        stretch = Stretch(allowed=allowed, leave=bool(wanted) and not allowed)
        await self._make(wanted[:allowed], stretch)
        settled = [self._settled(work, stretch, poison) for work in works if poison or stretch.concerns(work)]
        self.lapses = CAREFUL_FROM if self.careful else 0
        return await self._settle(settled, stretch) and not stretch.leave

    def _poison(self, work: Work) -> list[int]:
        """The place of the order at which workers died, one after the other, when they were careful."""
        first = work.untried[:1]
        blamed = self.lapses >= POISON_FROM and self.lane.told == (work.chunk_id, *first)
        return first if blamed else []

    def _settled(self, work: Work, stretch: Stretch, poison: Sequence[int]) -> Settlement:
        done = settlement(work, stretch)
        give_up(done, stretch, poison)
        if done.new_round and not (stretch.last and stretch.last.rest):
            done.wait = judge.back_off(work.tries, self.desk.chance())
        return done

    def _size(self, work: Work) -> int:
        """How many orders one call carries."""
        adapter = self.contact.adapter
        whole = 1 if self.careful else min(adapter.batch_size, len(work.orders))
        if isinstance(adapter, Indivisible) and adapter.indivisible:
            return max(1, whole)
        return max(1, whole >> max(0, work.halved - WHOLE_FAILURES + 1))

    async def _allowed(self, wanted: int) -> int:
        """How many calls the stretch may make: a probe makes one, a rate has its say."""
        wanted = min(wanted, 1 if self.one_call else CALLS_A_STRETCH)
        if not wanted or self.contact.partner.limits.rate is None:
            return wanted
        async with self.desk.pool.acquire() as conn:
            return await lanes.take_tokens(conn, self.lane.partner_id, wanted)

    async def _make(self, wanted: Sequence[Call], stretch: Stretch) -> None:
        began = time.monotonic()
        for call in wanted:
            if time.monotonic() - began > STRETCH:
                return
            if self.careful:
                async with self.desk.pool.acquire() as conn:
                    await lanes.about_to_tell(conn, self.lane, call.work.chunk_id, call.places[0])
            # Nothing may take time between this and the call.
            if not self._may_send() or self.desk.stopping.is_set():
                stretch.leave = True
                return
            made = await calls.make(call, self.contact, self.desk.terms.deadline, self.desk.now)
            stretch.made.append(made)
            if made.judged.stops or stretch.failing or (made.judged.failed and self.probing):
                stretch.leave = True
                return

    def _may_send(self) -> bool:
        """A call must be able to end within the lease, or an older state could land after a newer one."""
        terms = self.desk.terms
        return time.monotonic() < self.leased_at + terms.lease - terms.deadline - terms.margin

    async def _settle(self, settled: Sequence[Settlement], stretch: Stretch) -> bool:
        keep = 0.0 if stretch.leave else self.desk.terms.lease
        entries = calls.entries(self.lane.partner_id, stretch.made)

        async def written(conn: Connection) -> bool:
            kept = await settle(
                conn, self.lane, settled, entries, keep=keep, lapses=self.lapses, now=self.desk.now()
            )
            if kept:
                await self._pace(conn, stretch)
            else:
                await record(conn, entries)
                await self._tell_again(conn, stretch)
            return kept

        leased_at = time.monotonic()
        try:
            kept = await transaction(self.desk.pool, written)
        except Exception:
            await self._make_good(stretch)
            raise
        self.leased_at, self.held = leased_at, kept and not stretch.leave
        self.probing = self.probing and not stretch.answered
        self.unsure = self.unsure and not kept
        if kept:
            self._tell_parked(settled)
        else:
            _LOG.warning("delivery.stale", partner=self.lane.partner_id, lane=self.lane.lane)
        return kept

    def _tell_parked(self, settled: Sequence[Settlement]) -> None:
        codes = Counter(
            (one.work.incident_id, answer.code) for one in settled for answer in one.parked.values()
        )
        for (incident, code), identifiers in codes.items():
            _LOG.warning(
                "delivery.parked", partner=self.lane.partner_id, incident=incident, identifiers=identifiers,
                code=code,
            )  # fmt: skip

    async def _tell_again(self, conn: Connection, stretch: Stretch) -> None:
        """We froze with a call on its way out: it may have come after what another worker told meanwhile. So the
        partner is told once more how these identifiers stand."""
        keys = sorted(
            {
                order.key
                for made in stretch.made
                if made.call.work.op is not Op.ENROL
                for order in made.call.orders
            }
        )
        if keys:
            said: dict[str, object] = {"because": "calls outlasted their lease"}
            await again.tell(
                conn, "worker", self.lane.partner_id, keys, "partner.replayed", said, self.desk.now(),
                even_waiting=True,
            )  # fmt: skip

    async def _make_good(self, stretch: Stretch) -> None:
        """Nobody knows whether the stretch was settled. Unless the lease is ours still, it is told again, for nobody
        else knows of these calls; told twice, it changes nothing."""

        async def unless_held(conn: Connection) -> None:
            if not await lanes.holds(conn, self.lane):
                await self._tell_again(conn, stretch)

        while stretch.made:
            try:
                await transaction(self.desk.pool, unless_held)
            except Exception as error:  # a database that is away is waited for
                _LOG.warning("delivery.not_made_good", partner=self.lane.partner_id, error=repr(error))
                if self.desk.stopping.is_set():
                    raise
                await asyncio.sleep(1.0)
            else:
                return

    async def _pace(self, conn: Connection, stretch: Stretch) -> None:
        """What the stretch says of the partner's health: an answer closes its breaker, a fault counts."""
        last, left = stretch.last, stretch.allowed - len(stretch.made)
        if left and self.contact.partner.limits.rate is not None:
            await lanes.give_tokens(conn, self.lane.partner_id, left)
        if stretch.answered and stretch.made[0].call.work.ailing:
            await lanes.note_success(conn, self.lane.partner_id)
        if last and last.pause:
            await self._pause(conn, last.fault)
        elif last and (last.rest or not stretch.answered):
            await lanes.note_fault(
                conn, self.lane.partner_id, last.fault,
                failed=last.failed, rest=last.rest, longest_rest=judge.LONGEST_REST,
            )  # fmt: skip

    async def _pause(self, conn: Connection, reason: str) -> None:
        if await partners.pause(conn, self.lane.partner_id, reason):
            subject = f"partner:{self.lane.partner_id}"
            await record(
                conn, [Entry("partner.paused", subject, "worker", self.desk.now(), {"reason": reason})]
            )
