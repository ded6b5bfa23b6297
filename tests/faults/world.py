"""The real engine on a real database, one step at a time: the test owns time, the network and the partners.

A worker's session runs until it waits for a partner; there the test decides what becomes of the call. Time is
moved by shifting every stored moment back and the workers' monotonic clock forward.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from app.adapters.contract import Answer, Confirmation, NoAnswer, Op, Outcome, Reply
from app.core import imei
from app.core.db import Pool, transaction
from app.delivery import again, confirm, lanes, partners, send
from app.delivery.again import Replay
from app.delivery.contacts import Contacts
from app.delivery.lanes import Lane
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.delivery.send import Desk, Terms

from .ledger import Broken, Ledger, Told, answer
from .network import Line, Session, Stall, Visit
from .oracle import check_books, check_step
from .people import ADMIN, KEYRING, add_partner, block, new_incident, release, utc_now

SECRET = "whsec_" + "QUJD" * 8
FIRST_KEY = 35_555555_000000
BATCH = 2
TERMS = Terms()

_SHIFT = """
WITH lane AS (UPDATE partner_lane SET next_at = next_at - $1::interval, lease_until = lease_until - $1::interval,
                                      served_at = served_at - $1::interval),
     due AS (UPDATE delivery SET next_at = next_at - $1::interval, tried_at = tried_at - $1::interval,
                                 waits_since = waits_since - $1::interval WHERE state = 0)
UPDATE partner_pace SET tokens_at = tokens_at - $1::interval, resume_at = resume_at - $1::interval
"""
_EMPTY = ("delivery_item", "progress", "delivery", "chunk", "command", "partner_lane", "partner_pace",
          "partner_message", "partner", "listing", "claim", "incident")  # fmt: skip


class World:
    """Partners, devices, decisions and workers of one story, and what must hold after each step of it."""

    def __init__(self, pool: Pool, *, seed: int = 7) -> None:
        self.pool = pool
        self.offset = 0.0
        self.ledgers: dict[int, Ledger] = {}
        self.called: defaultdict[int, set[str]] = defaultdict(set)
        self.lapsed: set[tuple[int, int]] = set()
        self.wanted: dict[int, int] = {}
        self.incidents: dict[int, list[int]] = {}
        self.sessions: list[Session] = []
        self.visits: list[Visit] = []
        self.faults: list[BaseException] = []
        self.moved = asyncio.Event()
        contacts = Contacts(lambda partner: Line(self, partner.id), KEYRING)  # type: ignore[arg-type, return-value]
        self.desk = Desk(pool, contacts, utc_now, random.Random(seed).random, asyncio.Event(), TERMS)
        self.work = send.work_lane

    def clock(self) -> float:
        return time.monotonic() + self.offset

    # ── the people ──────────────────────────────────────────────────────────────────────────────────────

    async def partner(self, *, limits: Limits | None = None, batch: int = BATCH) -> int:
        settings = {"url": "https://partner.example/in", "secret": SECRET, "identifiers_per_call": batch}
        number = await add_partner(
            self.pool, f"partner {len(self.ledgers)}", "webhook", settings,
            scope=PartnerScope(kinds=("imei",)), limits=limits,
        )  # fmt: skip
        self.ledgers[number] = Ledger()
        return number

    async def declare(self, keys: Iterable[int]) -> int:
        """One more incident holds these."""
        keys = sorted(keys)
        number = await new_incident(self.pool)
        await transaction(self.pool, lambda conn: block(conn, number, keys))
        self.incidents[number] = keys
        for key in keys:
            self.wanted[key] = self.wanted.get(key, 0) + 1
        return number

    async def recover(self, incident: int) -> None:
        """The incident lets go of all it holds."""
        keys = self.incidents.pop(incident)
        await transaction(self.pool, lambda conn: release(conn, incident, keys))
        for key in keys:
            self.wanted[key] -= 1

    async def pause(self, partner: int) -> None:
        await transaction(self.pool, lambda conn: partners.pause(conn, partner, "tests"))

    async def resume(self, partner: int) -> None:
        await transaction(self.pool, lambda conn: partners.resume(conn, partner))

    # ── the workers ─────────────────────────────────────────────────────────────────────────────────────

    async def claim(self, slots: int = 1, *, stalls: bool = False) -> list[Session]:
        """Leases lanes and works each until it waits for its partner, or `stalls` on its way there."""
        leased_at = self.clock()
        async with self.pool.acquire() as conn:
            claimed = sorted(
                await lanes.claim(conn, slots, TERMS.lease), key=lambda lane: (lane.partner_id, lane.lane)
            )
        started = []
        self.lapsed |= {(lane.partner_id, lane.lane) for lane in claimed if lane.lapsed}
        for lane in claimed:
            stall = Stall(self.pool, self.moved) if stalls else None
            desk = msgspec.structs.replace(self.desk, pool=stall) if stall else self.desk
            task = asyncio.create_task(self.work(desk, lane, leased_at))
            task.add_done_callback(lambda _: self.moved.set())
            started.append(Session(lane, leased_at, task))
            started[-1].stall = stall
        self.sessions += started
        await self.quiet()
        return started

    async def claim_one(self, *, stalls: bool = False) -> Session:
        (session,) = await self.claim(1, stalls=stalls)
        return session

    async def wake(self, session: Session) -> None:
        session.stall.wake()
        await self.quiet()

    async def kill(self, session: Session) -> None:
        """The worker is gone; what it has sent may still arrive."""
        session.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await session.task
        self.sessions.remove(session)

    def freeze(self, session: Session) -> None:
        session.frozen = True

    async def thaw(self, session: Session) -> None:
        session.frozen = False
        for happen in session.held_back:
            happen()
        session.held_back.clear()
        self._time_out()
        await self.quiet()

    async def quiet(self) -> None:
        """Waits until every session has ended or waits for its partner."""
        async with asyncio.timeout(20):
            while not all(session.rests for session in self.sessions):
                self.moved.clear()
                if all(session.rests for session in self.sessions):
                    break
                await self.moved.wait()
        for session in [one for one in self.sessions if one.task.done()]:
            self.sessions.remove(session)
            if not session.task.cancelled() and (error := session.task.exception()):
                self.faults.append(error)
        if self.faults:
            raise self.faults.pop()

    # ── the network ─────────────────────────────────────────────────────────────────────────────────────

    def arrive(self, visit: Visit) -> None:
        """A worker's call enters the network. Nobody else's call of that lane may still be under way."""
        task = asyncio.current_task()
        own = next(session for session in self.sessions_of(task))
        rivals = [
            other for other in self.visits if other.partner == visit.partner and other.lanes & visit.lanes
        ]
        if any(other is not own.visit and self.may_arrive(other) for other in rivals):
            self.faults.append(
                Broken(f"two workers call partner {visit.partner} in lane {visit.lanes} at once")
            )
        self._refuse_strange_release(visit, own.lane)
        self.visits.append(visit)
        own.visit = visit
        self.moved.set()

    def _refuse_strange_release(self, visit: Visit, lane: Lane) -> None:
        """A release is for whom a block was called, or may have been by a worker that went."""
        for order in visit.orders:
            if order.op == "block":
                self.called[visit.partner].add(order.name)
            elif (
                order.name not in self.called[visit.partner] and (visit.partner, lane.lane) not in self.lapsed
            ):
                self.faults.append(
                    Broken(f"partner {visit.partner} never heard of a block, and hears {order}")
                )

    def sessions_of(self, task: asyncio.Task[Any] | None) -> Iterable[Session]:
        return (session for session in self.sessions if session.task is task)

    def may_arrive(self, visit: Visit) -> bool:
        """What was sent reaches the partner within the call's deadline and the margin, or never."""
        return (
            not (visit.acted or visit.gone) and self.clock() - visit.sent_at < TERMS.deadline + TERMS.margin
        )

    def act(self, visit: Visit, verdicts: Sequence[str] = (), *, late: bool = False) -> None:
        """The partner hears the call and acts, on each order by its verdict (`done` where none is left). `late`: the
        call lay in a frozen worker's hands until after its lease."""
        ledger = self.ledgers[visit.partner]
        ledger.receive(visit.key, visit.orders)
        for place, order in enumerate(visit.orders):
            verdict = verdicts[place] if place < len(verdicts) else "done"
            ledger.act(order, verdict, late=late)
            visit.said[order.name] = verdict
        visit.acted = True

    async def answer(self, visit: Visit) -> None:
        """The partner's answer arrives: what it said of each order, `missing` ones left out."""
        said = {name: verdict for name, verdict in visit.said.items() if verdict != "missing"}
        await self.reply(visit, Reply(200, {}, answer(said)))

    async def reply(self, visit: Visit, reply: Reply) -> None:
        await self._end(visit, lambda: visit.reply.set_result(reply))

    async def lose(self, visit: Visit) -> None:
        """Nothing whole comes back."""
        await self._end(visit, lambda: visit.reply.set_exception(NoAnswer("connection reset by peer")))

    async def _end(self, visit: Visit, happen: Callable[[], None]) -> None:
        """What the partner has not heard by then, it never hears."""
        visit.gone = True
        session = next((one for one in self.sessions if one.visit is visit), None)
        if session is None or visit.reply.done():
            return
        if session.frozen:
            session.held_back = session.held_back or [happen]
            return
        happen()
        await self.quiet()

    async def pass_time(self, seconds: float) -> None:
        """Everybody's clock moves on; calls that are open too long end without an answer."""
        await self.pool.execute(_SHIFT, timedelta(seconds=seconds))
        self.offset += seconds
        self._time_out()
        await self.quiet()

    async def step_back(self, seconds: float) -> None:
        """The database's clock alone says that it is earlier than it did: all that it has noted is later."""
        await self.pool.execute(_SHIFT, timedelta(seconds=-seconds))

    def _time_out(self) -> None:
        for session in self.sessions:
            visit = session.open_visit
            if visit and not session.frozen and self.clock() - visit.sent_at >= TERMS.deadline:
                visit.gone = True
                visit.reply.set_exception(NoAnswer("timed out"))

    async def confirm(self, partner: int, order: Told, outcome: Outcome = Outcome.DONE) -> None:
        """The partner gives its word, later, on what it had accepted."""
        self.ledgers[partner].confirm(order)
        word = Confirmation(order.name, Op(order.op), Answer(outcome))
        await transaction(self.pool, lambda conn: confirm.confirm(conn, partner, [word], utc_now()))

    # ── what must hold ──────────────────────────────────────────────────────────────────────────────────

    async def check(self) -> None:
        """After each step."""
        await check_step(self.pool)

    async def answer_all(self, *, most: int = 500) -> None:
        """The network and the partners are well: every call is heard, done and answered."""
        for _ in range(most):
            waiting = [one.open_visit for one in self.sessions if one.open_visit and not one.frozen]
            if not waiting:
                return
            for visit in waiting:
                if not visit.acted:
                    self.act(visit)
                await self.answer(visit)
        raise Broken(f"the workers have not come to an end after {most} calls each")

    async def drain(self) -> None:
        """Well again: all is told and confirmed, and every partner holds what the list says. What was refused or given
        up meanwhile is told again then, as a person would have it done."""
        for session in list(self.sessions):
            await self.thaw(session)
        await self._tell_all()
        blocked = {imei.full(key) for key, claims in self.wanted.items() if claims > 0}
        await check_books(self.pool, self.ledgers, blocked, strictly=False)
        for partner in self.ledgers:
            asked = partial(again.replay, actor=ADMIN, partner_id=partner, wanted=Replay(), now=utc_now())
            await transaction(self.pool, asked)
        await self._tell_all()
        await check_books(self.pool, self.ledgers, blocked, strictly=True)

    async def _tell_all(self) -> None:
        for partner in self.ledgers:
            await self.resume(partner)
        for _ in range(60):
            await self.answer_all()
            if await self.claim(64):
                continue
            if not await self.pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0"):
                break
            await self.pass_time(500)
        for partner, ledger in self.ledgers.items():
            for order in list(ledger.waiting):
                await self.confirm(partner, order)
        await self.check()

    async def close(self) -> None:
        for session in list(self.sessions):
            await self.kill(session)


async def empty(pool: Pool) -> None:
    """The tables of the engine as they were on the first day."""
    async with pool.acquire() as conn, conn.transaction():
        for table in _EMPTY:
            await conn.execute(f"DELETE FROM {table}")


def own_time(world: World, patch: pytest.MonkeyPatch) -> None:
    """The workers' monotonic clock is the story's from now on."""
    patch.setattr(send, "time", SimpleNamespace(monotonic=world.clock))


def in_lane(count: int, lane: int = 0) -> list[int]:
    """So many keys of one lane."""
    first = FIRST_KEY - FIRST_KEY % 16 + lane
    return [first + 16 * number for number in range(count)]
