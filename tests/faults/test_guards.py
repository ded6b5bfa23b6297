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

from app.core.sql import queries
from app.delivery import judge, send
from app.delivery.wire import HttpWire

from ..adapters import test_wire
from . import stories
from .ledger import Broken
from .overlapping import turn_at_once, wake_at_once
from .world import FIRST_KEY

# Besides the oracle, the schema's own checks and the engine's own refusals count as noticing.
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


def new_key_on_retry(patch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    patch.setattr(send, "_key", lambda *_: f"key {next(numbers)}")


def unknown_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "settled", lambda _: True)


MUTANTS = {
    "no fence": (
        edited("lanes", "hold", r"lease_token = \$3", "$3::bigint IS NOT NULL"),
        stories.a_lapsed_lease_is_settled,
    ),
    "no fence, and counted twice": (
        edited("lanes", "hold", r"lease_token = \$3", "$3::bigint IS NOT NULL"),
        stories.a_late_answer_is_settled,
    ),
    "no lease check before sending": (
        replaced(send._Run, "_may_send", lambda _: True),
        stories.a_stale_worker_has_more_to_send,
    ),
    "no superseding": (
        edited("delivery", "orders", r"\(\$3 <> 'enrol' AND .*?\) AS superseded", "$3 = '' AS superseded"),
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
    assert await turn_at_once(pool, keys, 2, Random(1)) > 0


async def test_lanes_that_are_locked_in_any_order_deadlock(world, pool, monkeypatch):
    edited("lanes", "wake", r"ORDER BY l\.partner_id, l\.lane", "ORDER BY random()")(monkeypatch)
    assert await wake_at_once(pool, await world.partner(), 300, Random(1)) > 0


async def test_a_wire_without_a_cap_is_noticed(monkeypatch):
    made = HttpWire.__init__

    def without(self: HttpWire, **options: Any) -> None:
        made(self, **{**options, "cap": 2**50})

    monkeypatch.setattr(HttpWire, "__init__", without)
    large = test_wire.saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2**22)
    with pytest.raises(AssertionError):
        await test_wire.test_an_answer_that_is_too_large_is_cut_off(large)
