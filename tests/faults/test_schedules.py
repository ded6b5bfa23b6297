"""Two sessions, step by step, in the one order that matters: leases that lapse, releases that meet their blocks,
words that come at the wrong moment."""

from __future__ import annotations

import pytest

from app.adapters.contract import Op, Outcome, Reply

from . import stories, stories_of_blame
from .ledger import Told
from .stories import LEASE_LAPSES
from .world import World, in_lane

STORIES = [
    stories.a_lapsed_lease_is_settled,
    stories.a_late_answer_is_settled,
    stories.a_stale_worker_has_more_to_send,
    stories.what_failed_is_overtaken,
    stories.a_reply_is_lost,
    stories.nothing_was_heard,
    stories.two_claim_at_once,
    stories.a_release_meets_its_block,
    stories_of_blame.somebody_elses_block_is_released,
    stories_of_blame.a_block_never_leaves,
    stories_of_blame.a_dead_workers_block_is_taken_back,
    stories_of_blame.a_call_outlasts_its_lease,
    stories_of_blame.a_call_outlasts_its_lease_beside_another,
    stories_of_blame.workers_die_of_one,
    stories_of_blame.processes_die_of_one,
    stories_of_blame.a_partner_fails_for_a_fortnight,
    stories_of_blame.a_partner_chokes_on_whole_calls,
    stories_of_blame.a_partner_rests_after_the_deed,
]


def book(world: World) -> list[tuple[str, int]]:
    """What the only partner did, in its order."""
    (ledger,) = world.ledgers.values()
    return [(told.op, told.version) for told in ledger.book]


async def progress(world: World, op: Op) -> dict[str, int]:
    row = await world.pool.fetchrow(
        "SELECT sum(wanted) AS wanted, sum(done + already) AS done, sum(accepted) AS accepted,"
        " sum(refused) AS refused, sum(superseded) AS superseded, sum(not_ours) AS not_ours"
        " FROM progress JOIN command USING (command_id) WHERE op = $1 AND NOT again",
        op,
    )
    return dict(row)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_the_story_ends_well(world, story):
    await story(world)


async def test_who_is_stale_says_so_and_counts_nothing(world):
    await stories.a_late_answer_is_settled(world)
    attempts = await world.pool.fetchval(
        "SELECT sum(jsonb_array_length(body::jsonb #> '{detail,calls}')) FROM audit_entry"
        " WHERE kind = 'delivery.attempted'"
    )
    assert attempts == await world.pool.fetchval("SELECT sum(calls) FROM progress") + 1


async def test_a_stale_worker_sends_nothing(world):
    await stories.a_stale_worker_has_more_to_send(world)
    assert book(world) == [("block", 1)] * 2 + [("release", 2)] * 2


async def test_a_block_that_is_still_queued_is_never_told(world):
    await world.partner()
    incident = await world.declare(in_lane(4))
    await world.recover(incident)
    await world.drain()
    assert book(world) == []
    assert (await progress(world, Op.BLOCK))["superseded"] == 4
    assert (await progress(world, Op.RELEASE))["not_ours"] == 4


async def test_a_block_that_is_under_way_is_waited_for(world):
    await stories.a_release_meets_its_block(world)
    assert book(world) == [("block", 1)] * 2 + [("release", 2)] * 2


async def test_the_rest_of_a_block_under_way_gives_way_to_its_release(world):
    await world.partner()
    incident = await world.declare(in_lane(300))
    first = await world.claim_one()
    await world.recover(incident)
    await world.pass_time(2)  # the stretch ends with the call that is under way
    world.act(first.visit)
    await world.answer(first.visit)
    await world.drain()
    assert book(world).count(("block", 1)) == 2
    assert (await progress(world, Op.BLOCK))["superseded"] == 298


async def test_of_a_refused_block_no_release_is_told(world):
    await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit, ["refused", "done"])
    await world.answer(first.visit)
    assert (await progress(world, Op.BLOCK))["refused"] == 1
    await world.recover(incident)
    await world.drain()
    found = await progress(world, Op.RELEASE)
    assert (found["done"], found["not_ours"]) == (1, 1)


async def test_a_block_that_was_only_accepted_is_not_waited_for_after_its_release(world):
    await world.partner()
    incident = await world.declare(in_lane(1))
    first = await world.claim_one()
    world.act(first.visit, ["accepted"])
    await world.answer(first.visit)
    await world.recover(incident)
    await world.claim()
    await world.answer_all()
    assert (await progress(world, Op.BLOCK))["superseded"] == 1
    await world.drain()


async def test_a_word_between_the_stale_and_the_fresh_settling_counts_once(world):
    """T1 hears `accepted` and sleeps; T2 hears `accepted`; the word comes; T2 settles, then T1."""
    number = await world.partner()
    await world.declare(in_lane(1))
    first = await world.claim_one()
    world.act(first.visit, ["accepted"])
    world.freeze(first)
    await world.answer(first.visit)
    await world.pass_time(LEASE_LAPSES)
    second = await world.claim_one()
    world.act(second.visit, ["accepted"])
    await world.confirm(number, first.visit.orders[0])
    await world.answer(second.visit)
    await world.thaw(first)
    found = await progress(world, Op.BLOCK)
    assert (found["done"], found["accepted"]) == (1, 0)
    await world.drain()


async def test_a_word_that_is_said_twice_changes_nothing(world):
    number = await world.partner()
    await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit, ["accepted", "accepted"])
    await world.answer(first.visit)
    order = first.visit.orders[0]
    await world.confirm(number, order)
    once = await progress(world, Op.BLOCK)
    for outcome in (Outcome.DONE, Outcome.REFUSED):
        await world.confirm(number, order, outcome)
        assert await progress(world, Op.BLOCK) == once
    await world.drain()


@pytest.mark.xfail(
    strict=True, reason="a late word about an older block is kept for the block that is under way"
)
async def test_a_word_about_an_older_block_never_speaks_for_a_newer_one(world):
    number = await world.partner()
    incident = await world.declare(in_lane(1))
    first = await world.claim_one()
    world.act(first.visit, ["accepted"])
    await world.answer(first.visit)
    old: Told = first.visit.orders[0]
    await world.confirm(number, old)
    await world.recover(incident)
    await world.claim()
    await world.answer_all()
    await world.declare(in_lane(1))
    again = await world.claim_one()
    await world.confirm(number, old)  # said twice, and the lane is being worked
    world.act(again.visit, ["accepted"])
    await world.answer(again.visit)
    newest = await world.pool.fetchrow("SELECT done, accepted FROM progress ORDER BY command_id DESC LIMIT 1")
    assert (newest["done"], newest["accepted"]) == (0, 1)


async def test_a_word_that_comes_after_its_worker_died_is_not_lost(world):
    """The partner accepts, the worker dies before it settles, the word comes, another worker repeats the call:
    the partner knows it as a repeat, says `accepted` again and has nothing more to say."""
    number = await world.partner()
    await world.declare(in_lane(1))
    first = await world.claim_one()
    world.act(first.visit, ["accepted"])
    await world.kill(first)
    await world.pass_time(LEASE_LAPSES)
    await world.confirm(number, first.visit.orders[0])
    again = await world.claim_one()
    world.act(again.visit, ["accepted"])
    await world.answer(again.visit)
    found = await progress(world, Op.BLOCK)
    assert (found["done"], found["accepted"]) == (1, 0)


async def test_a_pause_between_two_calls_of_a_lease_holds(world):
    number = await world.partner()
    await world.declare(in_lane(8))
    first = await world.claim_one()
    world.act(first.visit)
    await world.pause(number)
    await world.pass_time(2)  # the stretch is over
    await world.answer(first.visit)
    assert await world.claim(5) == []
    assert len(book(world)) == 2
    await world.drain()


async def test_a_fault_reply_after_the_deed_is_told_again_under_the_same_key(world):
    number = await world.partner()
    await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit)
    await world.reply(first.visit, Reply(500, {}, b"practice"))
    await world.drain()
    assert world.ledgers[number].repeats == 2
