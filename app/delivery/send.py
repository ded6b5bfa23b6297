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

import asyncpg
import msgspec

from app.adapters.contract import Answer, Batch, Order
from app.audit.record import Entry, record
from app.core import log
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


class Desk(msgspec.Struct, frozen=True):
    """What a worker hands to every lane: the database, its contacts, time and chance, and the stop sign."""

    pool: asyncpg.Pool[asyncpg.Record]
    contacts: Contacts
    now: Callable[[], datetime]
    chance: Callable[[], float]
    stopping: asyncio.Event


class Call(msgspec.Struct, frozen=True):
    """One call to make: the places in the chunk that it is about, and the batch."""

    places: list[int]
    orders: tuple[Order, ...]
    key: str


class Stretch(msgspec.Struct):
    """The calls made since the last settlement, judged."""

    made: list[tuple[Call, Judgement]] = []
    entries: list[Entry] = []

    @property
    def last(self) -> Judgement | None:
        return self.made[-1][1] if self.made else None

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
        if work is None or not await run.deliver(work):
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

    async def deliver(self, work: Work) -> bool:
        """Sends one delivery's calls. False where the lane must be left."""
        calls = _calls(work, self.contact.adapter.batch_size, self.lane.partner_id)
        left = {place for call in calls for place in call.places}
        dropped = len(work.superseded)
        while True:
            allowed = await self._allowed(len(calls))
            stretch = await self._stretch(work, calls[:allowed])
            calls = calls[len(stretch.made) :]
            goes_on = self._goes_on(stretch, allowed)
            tried_all = not calls
            settlement = _settlement(stretch, left, dropped)
            dropped = 0
            self._plan_next_try(settlement, work, stretch, tried_all or stretch.failing())
            if not await self._settle(work, settlement, stretch, goes_on):
                return False
            if tried_all or not goes_on:
                return goes_on

    def _goes_on(self, stretch: Stretch, allowed: int) -> bool:
        """Whether the lane may be kept after this stretch."""
        last = stretch.last
        if self.desk.stopping.is_set() or (last and (last.pause or last.rest)):
            return False
        if last is None:
            return allowed == 0 and not self._rated
        return not (stretch.failing() or (last.failed and self.probing))

    @property
    def _rated(self) -> bool:
        return self.contact.partner.limits.rate is not None

    async def _allowed(self, wanted: int) -> int:
        """How many calls the next stretch may make."""
        wanted = min(wanted, CALLS_A_STRETCH, 1 if self.probing else CALLS_A_STRETCH)
        if not wanted or not self._rated:
            return wanted
        async with self.desk.pool.acquire() as conn:
            return await lanes.take_tokens(conn, self.lane.partner_id, wanted)

    async def _stretch(self, work: Work, calls: Sequence[Call]) -> Stretch:
        stretch = Stretch()
        began = time.monotonic()
        for call in calls:
            if not self._may_send() or self.desk.stopping.is_set() or time.monotonic() - began > STRETCH:
                break
            judged, entry = await self._call(work, call)
            stretch.made.append((call, judged))
            stretch.entries.append(entry)
            if judged.rest or judged.pause or stretch.failing():
                break
        return stretch

    def _may_send(self) -> bool:
        """A call must be able to end within the lease, or an older state could land after a newer one."""
        return time.monotonic() < self.leased_at + LEASE - DEADLINE - MARGIN

    async def _call(self, work: Work, call: Call) -> tuple[Judgement, Entry]:
        at, wire = self.desk.now(), Witnessed(self.contact.wire)
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
            judged = judge.heard(call.orders, await self.contact.adapter.send(batch, wire))
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

    def _plan_next_try(self, done: Settlement, work: Work, stretch: Stretch, tried: bool) -> None:
        """What is left open is tried again later if it was tried; if it was not, as soon as may be."""
        if tried and done.open_at and any(judged.rest == 0 for _, judged in stretch.made):
            done.again = True
            done.wait = judge.back_off(work.tries, self.desk.chance())

    async def _settle(self, work: Work, done: Settlement, stretch: Stretch, goes_on: bool) -> bool:
        leased_at = time.monotonic()
        async with self.desk.pool.acquire() as conn, conn.transaction():
            kept = await lanes.settle(
                conn, self.lane, work, done, keep=LEASE if goes_on else 0.0, now=self.desk.now()
            )
            if kept:
                await self._pace(conn, stretch)
            else:
                await record(conn, done.entries)
        self.leased_at, self.held = leased_at, kept and goes_on
        if not kept:
            _LOG.warning("delivery.stale", partner=self.lane.partner_id, lane=self.lane.lane)
        return kept

    async def _pace(self, conn: Any, stretch: Stretch) -> None:
        """What the stretch says of the partner's health: an answer closes its breaker, a fault counts."""
        last = stretch.last
        if last is None:
            return
        answered = any(judged.goes_on for _, judged in stretch.made)
        if answered:
            await lanes.note_success(conn, self.lane.partner_id)
            self.probing = False
        if last.pause:
            await self._pause(conn, last.fault)
        elif last.rest or not answered:
            await lanes.note_fault(
                conn, self.lane.partner_id, last.fault,
                failed=last.failed, rest=last.rest, longest_rest=judge.LONGEST_REST,
            )  # fmt: skip

    async def _pause(self, conn: Any, reason: str) -> None:
        if await partners.pause(conn, self.lane.partner_id, reason):
            subject = f"partner:{self.lane.partner_id}"
            await record(conn, [Entry("partner.paused", subject, "worker", self.desk.now(), {"reason": reason})])


def _calls(work: Work, size: int, partner_id: int) -> list[Call]:
    places = sorted(work.orders)
    calls = []
    for start in range(0, len(places), size):
        part = places[start : start + size]
        orders = tuple(work.orders[place] for place in part)
        calls.append(Call(part, orders, _key(partner_id, work, orders)))
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


def _settlement(stretch: Stretch, left: set[int], superseded: int) -> Settlement:
    """What the stretch settled; `left` loses it."""
    answers = {
        place: answer
        for call, judged in stretch.made
        for place, answer in zip(call.places, judged.answers, strict=True)
        if judge.settled(answer)
    }
    left.difference_update(answers)
    faults = [judged.fault for _, judged in stretch.made if judged.fault]
    return Settlement(
        open_at=sorted(left),
        answers=answers,
        superseded=superseded,
        calls=len(stretch.made),
        failed_calls=len(faults),
        entries=stretch.entries,
        fault=faults[-1] if faults else "",
    )
