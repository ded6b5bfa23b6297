"""Any order of decisions, claims, calls, losses, crashes, pauses and late words, found by hypothesis: after each
step the engine's numbers agree, and at the end every partner holds what the list says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from app.adapters.contract import Reply
from app.core.db import Pool, open_pool

from ..conftest import administer
from . import test_guards
from .network import Session, Visit
from .stories import LEASE_LAPSES
from .world import World, empty, in_lane, own_time

T = TypeVar("T")

KEYS = [*in_lane(4, 0), *in_lane(4, 1)]
VERDICTS = ("done", "done", "already", "accepted", "refused", "retry", "missing", "nonsense")
REPLIES = (
    Reply(500, {}, b"practice"),
    Reply(503, {"retry-after": "20"}, b""),
    Reply(429, {}, b""),
    Reply(401, {}, b""),
    Reply(200, {}, b'{"results": [{'),
    Reply(302, {"location": "http://127.0.0.1/"}, b""),
)
# A call's time-out, a lease, the longest rest, the longest back-off, the longest patience, and moments between them.
SPANS = (0.6, 3.0, 9.0, 16.0, 26.0, 70.0, 500.0, 15 * 86_400.0)
places = st.integers(0, 30)
verdicts = st.lists(st.sampled_from(VERDICTS), min_size=2, max_size=2)
_ATTEMPTS = """
SELECT coalesce(sum(jsonb_array_length(body::jsonb #> '{detail,calls}')), 0)
FROM audit_entry WHERE kind = 'delivery.attempted'
"""
_TOTALS = """
SELECT coalesce(sum(calls), 0) AS calls, coalesce(sum(failed_calls), 0) AS failed_calls,
       coalesce(sum(superseded), 0) AS superseded,
       coalesce(sum(not_ours), 0) AS not_ours, coalesce(sum(parked), 0) AS parked,
       (SELECT count(*) FROM command WHERE ordered_by = 'worker') AS made_good
FROM progress
"""


class Machine(RuleBasedStateMachine):
    """One story. What all stories share is set by the test that runs them; `seen` counts what happened."""

    loop: asyncio.AbstractEventLoop
    pool: Pool
    seen: Counter[str]

    @initialize()
    def begin(self) -> None:
        self.sound = True
        self.patch = pytest.MonkeyPatch()
        self.run(self._begin())

    async def _begin(self) -> None:
        await empty(self.pool)
        self.attempts = await self.pool.fetchval(_ATTEMPTS)
        self.world = World(self.pool)
        own_time(self.world, self.patch)
        self.partners = [await self.world.partner(), await self.world.partner()]
        await self.world.declare(KEYS)
        await self.world.claim(3)

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        try:
            return self.loop.run_until_complete(step)
        except BaseException:
            self.sound = False
            raise

    # ── decisions ───────────────────────────────────────────────────────────────────────────────────────

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1))
    def declare(self, keys: set[int]) -> None:
        self.run(self.world.declare(keys))

    @rule(place=places)
    def recover(self, place: int) -> None:
        for incident in pick(sorted(self.world.incidents), place):
            self.run(self.world.recover(incident))

    @rule(place=places, paused=st.booleans())
    def pause_or_resume(self, place: int, paused: bool) -> None:
        act = self.world.pause if paused else self.world.resume
        self.run(act(*pick(self.partners, place)))

    # ── workers ─────────────────────────────────────────────────────────────────────────────────────────

    @rule(slots=st.integers(1, 3))
    def claim(self, slots: int) -> None:
        self.run(self.world.claim(slots))

    @rule(place=places)
    def kill(self, place: int) -> None:
        for session in pick(self.world.sessions, place):
            self.seen["kills"] += 1
            self.run(self.world.kill(session))

    @rule(place=places, seconds=st.sampled_from(SPANS))
    def freeze(self, place: int, seconds: float) -> None:
        for session in pick(self.awake, place):
            self.world.freeze(session)
            self.run(self.world.pass_time(seconds))

    @rule(place=places)
    def thaw(self, place: int) -> None:
        for session in pick([one for one in self.world.sessions if one.frozen], place):
            self.seen["thaws"] += 1
            self.run(self.world.thaw(session))

    @rule(place=places, heard=st.booleans())
    def one_is_overtaken(self, place: int, heard: bool) -> None:
        """It sleeps over its lease; others go on, and it wakes."""
        for session in pick([one for one in self.awake if one.open_visit], place):
            if heard and not session.visit.acted:
                self.world.act(session.visit)
            self.world.freeze(session)
            self.run(self.world.pass_time(LEASE_LAPSES))
            self.run(self.world.claim(2))
            self.run(self.world.answer_all())
            self.seen["thaws"] += 1
            self.run(self.world.thaw(session))

    @rule(seconds=st.sampled_from(SPANS))
    def time_passes(self, seconds: float) -> None:
        self.run(self.world.pass_time(seconds))

    # ── partners and the network ────────────────────────────────────────────────────────────────────────

    @rule(place=places, verdicts=verdicts)
    def partner_acts(self, place: int, verdicts: list[str]) -> None:
        """And does not answer yet; a call whose worker is gone is heard all the same."""
        for visit in pick(self.arriving, place):
            self.world.act(visit, verdicts)

    @rule(place=places, verdicts=verdicts)
    def partner_answers(self, place: int, verdicts: list[str]) -> None:
        for visit in pick([one for one in self.waiting if one.acted or self.world.may_arrive(one)], place):
            if not visit.acted:
                self.world.act(visit, verdicts)
            self.run(self.world.answer(visit))

    @rule()
    def all_goes_well_for_a_while(self) -> None:
        self.run(self.world.claim(2))
        self.run(self.world.answer_all())

    @rule(place=places)
    def reply_is_lost(self, place: int) -> None:
        for visit in pick(self.waiting, place):
            self.run(self.world.lose(visit))

    @rule(place=places, reply=st.sampled_from(REPLIES))
    def reply_is_a_fault(self, place: int, reply: Reply) -> None:
        """None that has acted says that it would not hear the call."""
        for visit in pick(self.waiting, place):
            if not (visit.acted and reply.status in (401, 429)):
                self.run(self.world.reply(visit, reply))

    @rule(place=places)
    def partner_confirms(self, place: int) -> None:
        words = [(number, order) for number, ledger in self.world.ledgers.items() for order in ledger.waiting]
        for number, order in pick(words, place):
            self.run(self.world.confirm(number, order))

    # ── what must hold ──────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_numbers_agree(self) -> None:
        self.run(self.world.check())

    def teardown(self) -> None:
        try:
            if self.sound:
                self.run(self.world.drain())
                self.run(self._count())
        finally:
            self.sound = False
            self.loop.run_until_complete(self._end())

    async def _count(self) -> None:
        """What the story held. A stale call is on the audit log, and counted nowhere."""
        totals = dict(await self.pool.fetchrow(_TOTALS))
        attempts = await self.pool.fetchval(_ATTEMPTS) - self.attempts
        repeats = sum(ledger.repeats for ledger in self.world.ledgers.values())
        refused = sum(ledger.refusals for ledger in self.world.ledgers.values())
        self.seen.update(totals, repeats=repeats, refused=refused, stale=attempts - totals["calls"])

    async def _end(self) -> None:
        await self.world.close()
        self.patch.undo()

    @property
    def awake(self) -> list[Session]:
        return [session for session in self.world.sessions if not session.frozen]

    @property
    def arriving(self) -> list[Visit]:
        return [visit for visit in self.world.visits if self.world.may_arrive(visit)]

    @property
    def waiting(self) -> list[Visit]:
        return [session.open_visit for session in self.world.sessions if session.open_visit]


def pick(of: list[T], place: int) -> list[T]:
    """One of these, or none where there is none: what is drawn never hangs on how far the engine has come."""
    return [of[place % len(of)]] if of else []


def stories(count: int, **more: Any) -> settings:
    """So many stories, of up to forty steps each."""
    return settings(
        max_examples=count, stateful_step_count=40, deadline=None, print_blob=True,
        suppress_health_check=list(HealthCheck), **more,
    )  # fmt: skip


@pytest.fixture
async def seen(database, monkeypatch) -> AsyncIterator[Counter[str]]:
    """The database is the machine's; what becomes of it in a power cut is nobody's question here."""
    await administer(database, f"ALTER DATABASE {urlsplit(database).path[1:]} SET synchronous_commit = off")
    loop = asyncio.new_event_loop()
    pool = await asyncio.to_thread(loop.run_until_complete, open_pool(database))
    for name, shared in (("loop", loop), ("pool", pool), ("seen", Counter())):
        monkeypatch.setattr(Machine, name, shared, raising=False)
    yield Machine.seen
    await asyncio.to_thread(loop.run_until_complete, pool.close())
    loop.close()


def test_any_story_ends_well(seen):
    run_machine(Machine, settings=stories(60, derandomize=True, database=None))
    _say_and_require(seen)


def _say_and_require(seen: Counter[str]) -> None:
    """A run in which some fault never happened has shown nothing about it."""
    print(dict(seen))
    for name in (
        "calls",
        "failed_calls",
        "superseded",
        "refused",
        "not_ours",
        "repeats",
        "stale",
        "kills",
        "thaws",
        "made_good",
    ):
        assert seen[name] > 0, name


@pytest.mark.soak
def test_thousands_of_stories_end_well(seen):
    run_machine(Machine, settings=stories(2000, database=None, phases=[Phase.generate, Phase.shrink]))
    _say_and_require(seen)


@pytest.mark.soak
@pytest.mark.parametrize(
    "name",
    [
        "no fence",
        "no superseding",
        "new key on retry",
        "a claim that minds no lease",
        "unknown counts as done",
    ],
)
def test_random_stories_notice_it_too(seen, monkeypatch, name):
    """Chance finds these without being told where to look; others need their own story (see test_guards)."""
    build, _ = test_guards.MUTANTS[name]
    build(monkeypatch)
    with pytest.raises((*test_guards.NOTICED, Flaky)):
        run_machine(Machine, settings=stories(400, database=None, phases=[Phase.generate]))
