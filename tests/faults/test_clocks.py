"""Clocks that are wrong: a worker's own decides nothing, and the database's, where it steps, delays but overlaps
nothing."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from . import stories, stories_of_blame
from .people import utc_now
from .stories import LEASE_LAPSES
from .world import World, in_lane

_WAITS = "SELECT extract(EPOCH FROM min(next_at) - now())::double precision FROM delivery WHERE state = 0"


@pytest.fixture(params=[1, -1], ids=["a day ahead", "a day behind"])
def skewed(world: World, request: pytest.FixtureRequest) -> World:
    off = timedelta(days=request.param)
    world.desk = msgspec.structs.replace(world.desk, now=lambda: utc_now() + off)
    return world


@pytest.mark.parametrize(
    "story",
    [
        stories.a_late_answer_is_settled,
        stories.what_failed_is_overtaken,
        stories_of_blame.a_call_outlasts_its_lease,
        stories_of_blame.a_dead_workers_block_is_taken_back,
    ],
    ids=lambda story: story.__name__,
)
async def test_a_workers_clock_that_is_off_changes_no_story(skewed, story):
    await story(skewed)


async def test_a_workers_clock_that_is_off_delays_no_second_try(skewed):
    await skewed.partner()
    await skewed.declare(in_lane(2))
    await skewed.lose((await skewed.claim_one()).visit)
    assert 0 < await skewed.pool.fetchval(_WAITS) < 1
    await skewed.drain()


async def test_the_databases_clock_steps_back(world):
    """A lease lasts longer by so much, and is nobody else's meanwhile; what is new is told at once."""
    await world.partner()
    await world.pass_time(400)
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    await world.step_back(300)
    await world.pass_time(1)
    assert await world.claim(5) == []
    world.act(first.visit)
    await world.answer(first.visit)
    await world.recover(incident)
    second = await world.claim_one()
    await world.kill(second)
    await world.step_back(300)
    await world.pass_time(LEASE_LAPSES)
    assert await world.claim(5) == []
    await world.pass_time(300)
    assert len(await world.claim(5)) == 1
    await world.drain()
