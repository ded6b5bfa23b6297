"""Every step outside the process fails in two ways: nothing happened, or it happened and we were not told. After
both, nothing is lost, nothing is wrong, and what was told twice is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest

from app.adapters.contract import Reply
from app.core.db import open_pool
from app.core.errors import Unavailable
from app.delivery import engine

from .door import Door, door
from .network import Session
from .stories import LEASE_LAPSES
from .world import World, in_lane

TWINS = pytest.mark.parametrize("happened", [False, True], ids=["nothing happened", "it happened"])


@pytest.fixture
async def way(database: str) -> AsyncIterator[Door]:
    async with door(database) as made:
        yield made


@pytest.fixture
async def frail(world: World, way: Door) -> AsyncIterator[World]:
    """The same world, whose workers reach the database through the door, and survive what they meet there."""
    pool = await open_pool(way.dsn, size=4)
    world.desk = msgspec.structs.replace(world.desk, pool=pool)
    world.work = partial(engine._safely, broken=Counter())
    await world.partner()
    yield world
    await world.close()
    pool.terminate()


def repeats(world: World) -> int:
    (ledger,) = world.ledgers.values()
    return ledger.repeats


async def nobody_waits(world: World) -> None:
    """Who failed lives, and holds nothing that others would have to wait for."""
    assert await world.pool.fetchval("SELECT count(*) FROM partner_lane WHERE lease_until > now()") == 0
    assert await world.pool.fetchval("SELECT max(lapses) FROM partner_lane") == 0


async def ends_well(world: World) -> None:
    await world.check()
    await world.pass_time(LEASE_LAPSES)
    await world.drain()


@TWINS
async def test_the_claim_fails(frail, way, happened):
    await frail.declare(in_lane(2))
    way.break_at("lease_token + 1", heard=happened)
    assert await engine._claim(frail.desk, 4) == []
    assert way.broke
    leased = await frail.pool.fetchval("SELECT count(*) FROM partner_lane WHERE lease_until > now()")
    assert leased == happened
    await ends_well(frail)
    assert repeats(frail) == 0


@TWINS
async def test_reading_the_work_fails(frail, way, happened):
    await frail.declare(in_lane(2))
    way.break_at("d.open_at", heard=happened)
    await frail.claim_one()
    assert way.broke
    await nobody_waits(frail)
    await ends_well(frail)
    assert repeats(frail) == 0


@TWINS
async def test_the_call_fails(frail, happened):
    await frail.declare(in_lane(2))
    session = await frail.claim_one()
    if happened:
        frail.act(session.visit)
    await frail.lose(session.visit)
    await ends_well(frail)
    assert repeats(frail) == 2 * happened


@TWINS
@pytest.mark.parametrize("status", [500, 502, 503, 504, 302, 404])
async def test_the_call_is_answered_with_a_failure(frail, happened, status):
    await frail.declare(in_lane(2))
    session = await frail.claim_one()
    if happened:
        frail.act(session.visit)
    await frail.reply(session.visit, Reply(status, {}, b"practice"))
    await ends_well(frail)
    assert repeats(frail) == 2 * happened


@TWINS
@pytest.mark.parametrize(
    "body", [b"{", b'{"results": 7}', b'{"results": [], "results": []}', b'{"results": [NaN]}']
)
async def test_the_answer_is_not_understood(frail, happened, body):
    await frail.declare(in_lane(2))
    session = await frail.claim_one()
    if happened:
        frail.act(session.visit)
    await frail.reply(session.visit, Reply(200, {}, body))
    await ends_well(frail)
    assert repeats(frail) == 2 * happened


@TWINS
@pytest.mark.parametrize("statement", ["FOR UPDATE", "UPDATE delivery SET", "UPDATE progress SET", "COMMIT"])
async def test_settling_fails(frail, way, happened, statement):
    """Before COMMIT it is done again at once; in COMMIT nobody knows, and what was told is in doubt."""
    await frail.declare(in_lane(2))
    session = await frail.claim_one()
    frail.act(session.visit)
    way.break_at(statement, heard=happened)
    await frail.answer(session.visit)
    assert way.broke
    assert await frail.pool.fetchval("SELECT sum(done) FROM progress") == (
        0 if unknown(statement, happened) else 2
    )
    await nobody_waits(frail)
    await ends_well(frail)
    assert repeats(frail) == 2 * unknown(statement, happened)


def unknown(statement: str, happened: bool) -> bool:
    """Whether the worker left without having settled."""
    return statement == "COMMIT" and not happened


@TWINS
async def test_handing_back_fails(frail, way, happened):
    await frail.declare(in_lane(2))
    session = await frail.claim_one()
    frail.act(session.visit)
    way.break_at("lease_until = '-infinity'\nWHERE partner_id", heard=happened)
    await frail.answer(session.visit)
    assert way.broke
    await nobody_waits(frail)
    await ends_well(frail)
    assert repeats(frail) == 0


@TWINS
@pytest.mark.parametrize("statement", ["COMMIT", "INSERT INTO command"])
async def test_making_good_fails(frail, way, happened, statement):
    """A worker has slept over its lease; it fails to have its call told again, or to hear that it is."""
    incident = await frail.declare(in_lane(2))
    first = await frail.claim_one()
    frail.freeze(first)
    await frail.pass_time(LEASE_LAPSES)
    await frail.claim_one()
    for session in await decided_meanwhile(frail, incident):
        frail.act(session.visit)
        await frail.answer(session.visit)
    frail.act(first.visit, late=True)
    await frail.answer(first.visit)
    way.break_at(statement, heard=happened)
    await frail.thaw(first)
    assert way.broke
    await nobody_waits(frail)
    await ends_well(frail)


async def decided_meanwhile(world: World, incident: int) -> list[Session]:
    """The block is told by another worker, and then its release by one more, which is given."""
    await world.answer_all()
    await world.recover(incident)
    return await world.claim()


@TWINS
async def test_declaring_fails(world, way, happened):
    """Who decides is told that nobody knows, looks, and finds all of it or nothing."""
    await world.partner()
    pool, direct = await open_pool(way.dsn, size=1), world.pool
    keys = in_lane(4)
    way.break_at("COMMIT", heard=happened)
    world.pool = pool
    with pytest.raises(Unavailable):
        await world.declare(keys)
    world.pool = direct
    found = await direct.fetchval("SELECT count(*) FROM listing WHERE blocked_by > 0")
    assert found == (4 if happened else 0)
    world.wanted = dict.fromkeys(keys, int(happened))
    await world.drain()
    pool.terminate()
