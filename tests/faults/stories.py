"""Fixed stories of two workers and one partner, one for each guard of the engine: whole, they end well; with the
guard taken out, the partner's books or the engine's numbers show it."""

from __future__ import annotations

from app.adapters.contract import Reply
from app.delivery.partners import Limits

from .world import World, in_lane

LEASE_LAPSES = 26.0


async def a_lapsed_lease_is_settled(world: World) -> None:
    """T1 claims, calls and is told to come back later, of which it hears when its lease has lapsed and T2 calls: it
    hands back nothing, and nobody comes beside T2."""
    await world.partner()
    await world.declare(in_lane(2))
    first = await world.claim_one()
    world.freeze(first)
    await world.reply(first.visit, Reply(429, {}, b""))
    await world.pass_time(LEASE_LAPSES)
    second = await world.claim_one()
    await world.thaw(first)
    await world.check()
    await world.pass_time(2)
    await world.claim()
    world.act(second.visit)
    await world.answer(second.visit)
    await world.drain()


async def a_late_answer_is_settled(world: World) -> None:
    """T1's call is done, but T1 hears of it after its lease, when T2 has told and settled the same."""
    await world.partner()
    await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit)
    world.freeze(first)
    await world.answer(first.visit)
    await world.pass_time(LEASE_LAPSES)
    second = await world.claim_one()
    world.act(second.visit)
    await world.answer(second.visit)
    await world.thaw(first)
    await world.drain()


async def a_stale_worker_has_more_to_send(world: World) -> None:
    """T1 has read what to tell and sleeps before its first call; meanwhile all is told, and taken back."""
    await world.partner(limits=Limits(rate=100, burst=100))
    incident = await world.declare(in_lane(2))
    first = await world.claim_one(stalls=True)
    await world.pass_time(LEASE_LAPSES)
    await world.claim()
    await world.answer_all()
    await world.recover(incident)
    await world.claim()
    await world.answer_all()
    await world.wake(first)
    await world.answer_all()
    await world.drain()


async def what_failed_is_overtaken(world: World) -> None:
    """A block fails and waits; its release, which is new work, is told before it."""
    await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    await world.lose(first.visit)
    await world.recover(incident)
    await world.claim()
    await world.answer_all()
    await world.pass_time(10)
    await world.claim()
    await world.answer_all()
    await world.drain()


async def a_reply_is_lost(world: World) -> None:
    """The partner has done it and its answer is lost: the repeat must be known to it as one."""
    (number,) = [await world.partner()]
    await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit)
    await world.lose(first.visit)
    await world.drain()
    assert world.ledgers[number].repeats == 2


async def nothing_was_heard(world: World) -> None:
    """Neither call nor answer arrived."""
    await world.partner()
    await world.declare(in_lane(2))
    first = await world.claim_one()
    await world.lose(first.visit)
    await world.drain()


async def two_claim_at_once(world: World) -> None:
    """Work comes into a lane that is being called."""
    await world.partner()
    await world.declare(in_lane(2))
    first = await world.claim_one()
    await world.declare(in_lane(4))
    await world.claim(5)
    world.act(first.visit)
    await world.answer(first.visit)
    await world.drain()


async def a_release_meets_its_block(world: World) -> None:
    """The release is decided while the call of the block is under way: it waits for its end."""
    await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    await world.recover(incident)
    await world.claim(5)
    world.act(first.visit)
    await world.answer(first.visit)
    await world.drain()
