"""One leased lane, worked: read a delivery, call the partner, settle, go on until nothing is due.

Calls are made in stretches of about a second; each stretch is settled before the next, so a crash
repeats a few calls and never a whole chunk. No transaction is open while a partner is being called.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from app.adapters.contract import Answer, Batch, NoAnswer, Order
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, Pool, transaction
from app.delivery import judge, lanes, partners
from app.delivery.contacts import Contact, Contacts, Witnessed
from app.delivery.judge import Judgement
from app.delivery.lanes import Lane, Settlement, Work

LEASE = 25.0
DEADLINE = 15.0
MARGIN = 2.0
STRETCH = 1.0
CALLS_A_STRETCH = 500
FAILURES_IN_A_ROW = 3

_LOG = log.get("delivery")


class Terms(msgspec.Struct, frozen=True):
    """Seconds that a lease lasts, that one call may take, and that must be left of the lease after such a call."""

    lease: float = LEASE
    deadline: float = DEADLINE
    margin: float = MARGIN


class Desk(msgspec.Struct, frozen=True):
    """What a worker hands to every lane: the database, its contacts, time and chance, the stop sign, its terms."""

    pool: Pool
    contacts: Contacts
    now: Callable[[], datetime]
    chance: Callable[[], float]
    stopping: asyncio.Event
    terms: Terms = Terms()


class Call(msgspec.Struct, frozen=True):
    """One call to make: the places in the chunk that it is about, and the batch."""

    places: list[int]
    orders: tuple[Order, ...]
    key: str


class Stretch(msgspec.Struct):
    """The calls made since the last settlement, judged. `leave`: the lane must be left after settling them."""

    made: list[tuple[Call, Judgement]] = []
    entries: list[Entry] = []
    leave: bool = False

    @property
    def last(self) -> Judgement | None:
        return self.made[-1][1] if self.made else None

    @property
    def answered(self) -> bool:
        """Whether any call of it found the partner well."""
        return any(judged.answered for _, judged in self.made)

    @property
    def failing(self) -> bool:
        """Whether the latest calls failed in a row: the partner is not well, so let it be."""
        tail = self.made[-FAILURES_IN_A_ROW:]
        return len(tail) == FAILURES_IN_A_ROW and all(judged.failed for _, judged in tail)


async def work_lane(desk: Desk, lane: Lane, leased_at: float) -> None:
    """Works a lane until nothing is due, the partner needs rest or the worker is told to stop."""
    async with desk.pool.acquire() as conn:
        contact = await desk.contacts.of(conn, lane.partner_id)
    run = _Run(desk, lane, contact, leased_at)
    while not desk.stopping.is_set():
        async with desk.pool.acquire() as conn:
            work = await lanes.next_work(conn, lane)
        if work is None or not await run.stretch(work):
            break
    if run.held:
        async with desk.pool.acquire() as conn:
            await lanes.hand_back(conn, lane)


class _Run:
    """One lease on one lane. `held` turns false once the lease has been handed back or lost."""

    def __init__(self, desk: Desk, lane: Lane, contact: Contact, leased_at: float) -> None:
        self.desk, self.lane, self.contact, self.leased_at = desk, lane, contact, leased_at
        self.probing = lane.probing
        self.held = True

    async def stretch(self, work: Work) -> bool:
        """Makes the next calls of a delivery and settles them. False where the lane must be left."""
        calls = _calls(work, self.contact.adapter.batch_size, self.lane.partner_id)
        allowed = await self._allowed(len(calls))
        stretch = Stretch(leave=bool(calls) and not allowed)
        await self._make(work, calls[:allowed], stretch)
        done = _settlement(work, stretch)
        if done.again:
            done.wait = judge.back_off(work.tries, self.desk.chance())
        return await self._settle(work, done, stretch) and not stretch.leave

    async def _allowed(self, wanted: int) -> int:
        """How many calls the stretch may make: a probe makes one, a rate has its say."""
        wanted = min(wanted, 1 if self.probing else CALLS_A_STRETCH)
        if not wanted or self.contact.partner.limits.rate is None:
            return wanted
        async with self.desk.pool.acquire() as conn:
            return await lanes.take_tokens(conn, self.lane.partner_id, wanted)

    async def _make(self, work: Work, calls: Sequence[Call], stretch: Stretch) -> None:
        began = time.monotonic()
        for call in calls:
            if time.monotonic() - began > STRETCH:
                return
            if not self._may_send() or self.desk.stopping.is_set():
                stretch.leave = True
                return
            judged, entry = await self._call(work, call)
            stretch.made.append((call, judged))
            stretch.entries.append(entry)
            if not judged.spent or stretch.failing or (judged.failed and self.probing):
                stretch.leave = True
                return

    def _may_send(self) -> bool:
        """A call must be able to end within the lease, or an older state could land after a newer one."""
        terms = self.desk.terms
        return time.monotonic() < self.leased_at + terms.lease - terms.deadline - terms.margin

    async def _call(self, work: Work, call: Call) -> tuple[Judgement, Entry]:
        at, wire, deadline = self.desk.now(), Witnessed(self.contact.wire), self.desk.terms.deadline
        began = time.monotonic()
        batch = Batch(
            key=call.key,
            op=work.op,
            orders=call.orders,
            at=at,
            reason=work.reason,
            reference=str(work.incident_id or ""),
            since=work.since,
        )
        try:
            # One deadline over all that an adapter sends for one batch, or it could outlast the lease.
            async with asyncio.timeout(deadline):
                judged = judge.heard(call.orders, await self.contact.adapter.send(batch, wire))
        except TimeoutError:
            judged = judge.fault(call.orders, NoAnswer(f"not answered whole within {deadline:g} s"))
        except Exception as error:  # whatever an adapter raises is a fault of this one call
            judged = judge.fault(call.orders, error)
        return judged, self._entry(work, call, judged, wire, at, time.monotonic() - began)

    def _entry(
        self, work: Work, call: Call, judged: Judgement, wire: Witnessed, at: datetime, took: float
    ) -> Entry:
        detail: dict[str, Any] = {
            "op": work.op,
            "command": work.command_id,
            "incident": work.incident_id,
            "chunk": work.chunk_id,
            "places": call.places,
            "key": call.key,
            "ms": round(took * 1000, 1),
            "outcomes": lanes.states(judged.answers),
            "exchanges": wire.exchanges,
        }
        if judged.fault:
            detail["fault"] = judged.fault
        else:
            detail["exceptions"] = _exceptions(call, judged.answers)
        return Entry("delivery.attempted", f"partner:{self.lane.partner_id}", "worker", at, detail)

    async def _settle(self, work: Work, done: Settlement, stretch: Stretch) -> bool:
        keep = 0.0 if stretch.leave else self.desk.terms.lease

        async def settle(conn: Connection) -> bool:
            kept = await lanes.settle(conn, self.lane, work, done, keep=keep, now=self.desk.now())
            if kept:
                await self._pace(conn, stretch)
            else:
                await record(conn, done.entries)
            return kept

        leased_at = time.monotonic()
        kept = await transaction(self.desk.pool, settle)
        self.leased_at, self.held = leased_at, kept and not stretch.leave
        self.probing = self.probing and not stretch.answered
        if not kept:
            _LOG.warning("delivery.stale", partner=self.lane.partner_id, lane=self.lane.lane)
        return kept

    async def _pace(self, conn: Connection, stretch: Stretch) -> None:
        """What the stretch says of the partner's health: an answer closes its breaker, a fault counts."""
        last = stretch.last
        if stretch.answered:
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


def _calls(work: Work, size: int, partner_id: int) -> list[Call]:
    calls = []
    for start in range(0, len(work.untried), size):
        places = work.untried[start : start + size]
        orders = tuple(work.orders[place] for place in places)
        calls.append(Call(places, orders, _key(partner_id, work, orders)))
    return calls


def _key(partner_id: int, work: Work, orders: Sequence[Order]) -> str:
    """The same for every repeat of the same orders of the same chunk, and for nothing else."""
    said = ",".join(f"{order.name}@{order.version}" for order in orders)
    return hashlib.sha256(f"{partner_id}:{work.chunk_id}:{work.op}:{said}".encode()).hexdigest()[:32]


def _exceptions(call: Call, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The orders that did not simply succeed, by their place in the chunk."""
    return [
        {"place": place, "outcome": answer.outcome, "code": answer.code, "words": answer.words}
        for place, answer in zip(call.places, answers, strict=True)
        if answer.outcome not in ("done", "already")
    ]


def _settlement(work: Work, stretch: Stretch) -> Settlement:
    """What the stretch settled. What failed goes behind what has not had its turn; once all had theirs, the
    delivery waits and a new round begins."""
    answers = {
        place: answer
        for call, judged in stretch.made
        for place, answer in zip(call.places, judged.answers, strict=True)
        if judge.settled(answer)
    }
    spent = {place for call, judged in stretch.made if judged.spent for place in call.places}
    untried = [place for place in work.untried if place not in spent]
    left = work.orders.keys() - answers.keys() - set(untried)
    failed = [place for place in work.orders if place in left]
    faults = [judged.fault for _, judged in stretch.made if judged.fault]
    return Settlement(
        open_at=untried + failed,
        untried=len(untried) or None,
        answers=answers,
        superseded=len(work.superseded),
        calls=len(stretch.made),
        failed_calls=len(faults),
        entries=stretch.entries,
        again=bool(failed) and not untried,
        fault=faults[-1] if faults else "",
    )
