"""Builds that must fail: each guard of the engine is taken out, and the story that needs it must notice. A mutant
that survives would be a missing test, not a pass."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from random import Random
from typing import Any

import asyncpg
import pytest

from app.adapters import contract
from app.core.sql import queries
from app.delivery import calls, judge, ours, send, settle, stretch
from app.delivery.wire import HttpWire

from ..adapters import test_wire
from . import stories, stories_of_blame
from .ledger import Broken
from .overlapping import turn_at_once, wake_at_once
from .world import FIRST_KEY

# Besides the oracle, the schema's own checks and the engine's own refusals count as noticing.
NOTHING = "'{}'::integer [] AS superseded"
NOTICED = (Broken, asyncpg.PostgresError, AssertionError)


def edited(room: str, name: str, old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A build whose statement says something else."""

    def build(patch: pytest.MonkeyPatch) -> None:
        text = getattr(queries(room), name)
        changed = re.sub(old, new, text)
        assert changed != text, f"{room}.{name} has no {old}"
        patch.setattr(queries(room), name, changed)

    return build


def replaced(owner: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(owner, name, value)


def together(*builds: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def build(patch: pytest.MonkeyPatch) -> None:
        for one in builds:
            one(patch)

    return build


def new_key_on_retry(patch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    patch.setattr(calls, "_key", lambda *_: f"key {next(numbers)}")


def unknown_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "settled", lambda _: True)


def all_counts_as_ours(patch: pytest.MonkeyPatch) -> None:
    for room in (ours, settle):
        patch.setattr(room, "is_ours", lambda told: told is not None)


async def nothing_is_done(*_: Any) -> None:
    return


NO_FENCE = edited("lanes", "hold", r"lease_token = \$3", "$3::bigint IS NOT NULL")
MUTANTS = {
    "no fence": (
        NO_FENCE,
        stories.a_lapsed_lease_is_settled,
    ),
    "no fence, and what is settled is settled twice": (
        together(NO_FENCE, edited("delivery", "settle_delivery", r"AND state = 0", "")),
        stories.a_late_answer_is_settled,
    ),
    "no lease check before sending": (
        replaced(send._Run, "_may_send", lambda _: True),
        stories.a_stale_worker_has_more_to_send,
    ),
    "no superseding": (
        edited("delivery", "next_deliveries", r"(?s)CASE\s+WHEN due\.op <> 'enrol' AND .*? AS superseded", NOTHING),
        stories.what_failed_is_overtaken,
    ),
    "new key on retry": (new_key_on_retry, stories.a_reply_is_lost),
    "unknown counts as done": (unknown_counts_as_done, stories.nothing_was_heard),
    "a claim that minds no lease": (
        edited("lanes", "claim", r"l\.lease_until < now\(\)", "true"),
        stories.two_claim_at_once,
    ),
    "lanes that part a device's block and release": (
        edited("delivery", "enqueue", r"abs\(item\.key\) % 16", "(abs(item.key) + $1::bigint) % 16"),
        stories.a_release_meets_its_block,
    ),
    "what is closed still counts as pending": (
        edited("lanes", "settle_lane", r"pending = l\.pending - \$3", "pending = l.pending + 0 * $3"),
        stories.a_reply_is_lost,
    ),
    "what is left open is forgotten": (
        edited("delivery", "settle_delivery", r"CASE WHEN cardinality.*?END", "1 + 0 * cardinality($4::smallint [])"),
        stories.nothing_was_heard,
    ),
    "whoever holds it, what is blocked there is released": (
        all_counts_as_ours,
        stories_of_blame.somebody_elses_block_is_released,
    ),
    "several commands in one stretch": (
        edited("delivery", "next_deliveries", r"AND due\.command_id = due\.first_command", ""),
        stories_of_blame.a_block_never_leaves,
    ),
    "what was dropped untold counts as told": (
        edited("delivery", "settle_delivery", r"untold \|\| \$8::smallint \[\]", "untold || ($8::smallint [])[1:0]"),
        stories_of_blame.a_block_never_leaves,
    ),
    "a lapsed lease leaves no doubt": (
        edited("delivery", "doubt", r"doubtful = true", "doubtful = doubtful"),
        stories_of_blame.a_dead_workers_block_is_taken_back,
    ),
    "a stale call is not made good": (
        replaced(send._Run, "_tell_again", nothing_is_done),
        stories_of_blame.a_call_outlasts_its_lease,
    ),
    "made good only where nothing waits": (
        edited("again", "as_decided", r"\$3 OR", "$3 AND false OR"),
        stories_of_blame.a_call_outlasts_its_lease_beside_another,
    ),
    "however many die of it, nothing is given up": (
        replaced(send, "POISON_FROM", 10**6),
        stories_of_blame.workers_die_of_one,
    ),
    "after workers died, as many are told at once as before": (
        replaced(send, "CAREFUL_FROM", 10**6),
        stories_of_blame.workers_die_of_one,
    ),
    "suspect lanes are told side by side": (
        edited("lanes", "claim", r"NOT l\.suspect OR l\.place <= \$5", "NOT l.suspect OR l.place <= 10 + $5"),
        stories_of_blame.processes_die_of_one,
    ),
    "who was overloaded has heard nothing": (
        replaced(contract, "Overloaded", contract.Throttled),
        stories_of_blame.a_partner_rests_after_the_deed,
    ),
    "nothing is ever late": (
        edited("delivery", "next_deliveries", r"(d\.waits_since < now\(\) - )", r"false AND \1"),
        stories_of_blame.a_partner_fails_for_a_fortnight,
    ),
    "what fails whole stays whole": (
        replaced(stretch, "_halved", lambda work, _: work.halved),
        stories_of_blame.a_partner_chokes_on_whole_calls,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
async def test_the_mutant_is_noticed(world, monkeypatch, name):
    build, story = MUTANTS[name]
    with monkeypatch.context() as patch:
        build(patch)
        with pytest.raises(NOTICED) as noticed:
            await story(world)
    print(f"{name}: {noticed.value!r:.200}")


async def test_identifiers_that_are_locked_in_any_order_deadlock(pool, monkeypatch):
    edited("blocklist", "turn", r"ORDER BY key", "")(monkeypatch)
    keys = [FIRST_KEY + number for number in range(3_000)]
    chance = Random(1)
    assert any([await turn_at_once(pool, keys, 2, chance) for _ in range(4)])


async def test_lanes_that_are_locked_in_any_order_deadlock(world, pool, monkeypatch):
    edited("lanes", "wake", r"ORDER BY l\.partner_id, l\.lane", "ORDER BY random()")(monkeypatch)
    assert await wake_at_once(pool, await world.partner(), 3_000, Random(1)) > 0


async def test_a_wire_without_a_cap_is_noticed(monkeypatch):
    made = HttpWire.__init__

    def without(self: HttpWire, **options: Any) -> None:
        made(self, **{**options, "cap": 2**50})

    monkeypatch.setattr(HttpWire, "__init__", without)
    large = test_wire.saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2**22)
    with pytest.raises(AssertionError):
        await test_wire.test_an_answer_that_is_too_large_is_cut_off(large)
