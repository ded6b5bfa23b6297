"""Fixed stories, continued: whose block it is, whom a worker dies of, and what a call did that came too late."""

from __future__ import annotations

from app.adapters.contract import Reply
from app.core import imei

from .ledger import Broken
from .network import Session
from .stories import LEASE_LAPSES
from .world import World, in_lane

FORTNIGHT = 15 * 86_400.0
_OPEN = "SELECT count(*) FROM delivery WHERE state = 0"
_FAILED = "SELECT key, code FROM delivery_item WHERE state = 'parked'"


async def given_up(world: World) -> dict[int, str]:
    """What was given up, and why."""
    return {row["key"]: row["code"] for row in await world.pool.fetch(_FAILED)}


async def somebody_elses_block_is_released(world: World) -> None:
    """The partner had it blocked already, by somebody else's word: our release is not for it."""
    number = await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit, ["already", "done"])
    await world.answer(first.visit)
    await world.recover(incident)
    await world.drain()
    if world.ledgers[number].others != {imei.full(in_lane(1)[0])}:
        raise Broken("what somebody else had blocked was released")


async def a_block_never_leaves(world: World) -> None:
    """Declared and taken back while the partner was paused: it need not hear of either."""
    number = await world.partner()
    await world.pause(number)
    await world.recover(await world.declare(in_lane(2)))
    await world.drain()


async def a_dead_workers_block_is_taken_back(world: World) -> None:
    """T1 has told a block and died; nobody but the partner knows, which must be told of the release."""
    await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit)
    await world.kill(first)
    await world.recover(incident)
    await world.pass_time(LEASE_LAPSES)
    await world.drain()


async def _told_late(world: World, *, until_settled: bool) -> None:
    await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    world.freeze(first)
    await world.pass_time(LEASE_LAPSES)
    second = await world.claim_one()
    world.act(second.visit)
    await world.recover(incident)
    await world.answer(second.visit)
    if second.task.done():
        second = await world.claim_one()
    world.act(second.visit)
    if until_settled:
        await world.answer(second.visit)
    world.act(first.visit, late=True)
    await world.answer(first.visit)
    await world.thaw(first)
    await world.answer_all()
    await world.drain()


async def a_call_outlasts_its_lease(world: World) -> None:
    """T1's block leaves its hands when T2 has told the block and its release: the partner hears the release again."""
    await _told_late(world, until_settled=True)


async def a_call_outlasts_its_lease_beside_another(world: World) -> None:
    """The same, before T2 has heard the answer to its release: that is on its way still, but past already."""
    await _told_late(world, until_settled=False)


async def workers_die_of_one(world: World) -> None:
    """Whoever tells the second of these dies of it. It is given up, it alone, and the others are told."""
    number = await world.partner()
    keys = in_lane(5)
    poison = imei.full(keys[1])
    await world.declare(keys)
    for _ in range(40):
        claimed = await world.claim()
        for session in claimed:
            await _die_or_answer(world, session, poison)
        await world.pass_time(LEASE_LAPSES)
        if not claimed:
            break
    if await given_up(world) != {keys[1]: "poison"}:
        raise Broken(f"given up: {await given_up(world)}")
    if {told.name for told in world.ledgers[number].held.values()} != {imei.full(key) for key in keys} - {
        poison
    }:
        raise Broken("others than that of which workers die were not told")
    await world.drain()


async def processes_die_of_one(world: World) -> None:
    """One process tells six lanes at once. Of one identifier it dies, whatever else it has in its hands: that one is
    given up, and nothing that was told beside it."""
    await world.partner()
    keys = [key for lane in range(6) for key in in_lane(3, lane)]
    poison = imei.full(keys[0])
    await world.declare(keys)
    for _ in range(60):
        if not await world.claim(64) and not await world.pool.fetchval(_OPEN):
            break
        while visits := [session.open_visit for session in world.sessions if session.open_visit]:
            if any(order.name == poison for visit in visits for order in visit.orders):
                for session in list(world.sessions):
                    await world.kill(session)
                break
            for visit in visits:
                world.act(visit)
                await world.answer(visit)
        await world.pass_time(LEASE_LAPSES)
    if await given_up(world) != {keys[0]: "poison"}:
        raise Broken(f"given up: {await given_up(world)}")
    await world.drain()


async def _die_or_answer(world: World, session: Session, poison: str) -> None:
    while visit := session.open_visit:
        if any(order.name == poison for order in visit.orders):
            await world.kill(session)
            return
        world.act(visit)
        await world.answer(visit)


async def a_partner_fails_for_a_fortnight(world: World) -> None:
    """What has been tried for that long is given up with a reason, and waits for somebody to have it told again."""
    await world.partner()
    await world.declare(in_lane(2))
    for _ in range(2):
        session = await world.claim_one()
        await world.lose(session.visit)
        await world.pass_time(FORTNIGHT)
    if set((await given_up(world)).values()) != {"late"}:
        raise Broken(f"given up: {await given_up(world)}")
    await world.drain()


async def a_partner_chokes_on_whole_calls(world: World) -> None:
    """It fails whatever holds two identifiers: they are told one by one."""
    await world.partner()
    await world.declare(in_lane(4))
    for _ in range(12):
        for session in await world.claim():
            while visit := session.open_visit:
                if len(visit.orders) > 1:
                    await world.reply(visit, Reply(500, {}, b"practice"))
                else:
                    world.act(visit)
                    await world.answer(visit)
        await world.pass_time(500)
    if left := await world.pool.fetchval(_OPEN):
        raise Broken(f"{left} deliveries wait for a partner that takes one identifier a call")
    await world.drain()


async def a_partner_rests_after_the_deed(world: World) -> None:
    """It acts, and the gate before it says 503 with Retry-After; then all is taken back, which it must be told."""
    await world.partner()
    incident = await world.declare(in_lane(2))
    first = await world.claim_one()
    world.act(first.visit)
    await world.reply(first.visit, Reply(503, {"retry-after": "2"}, b""))
    await world.recover(incident)
    await world.drain()
