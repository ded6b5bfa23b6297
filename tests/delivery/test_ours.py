"""What is ours at a partner: nobody else's block is ever released, and no block of ours is forgotten there."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from app.access.roles import Principal, Role
from app.core.clock import utc_now
from app.core.db import transaction
from app.core.imei import full
from app.delivery import again, partners
from app.delivery.again import Replay, Which
from app.sandbox.faults import Faults
from app.sandbox.ledger import State

ADMIN = Principal("k_admin", "Tests", Role.ADMIN)


def others_block(town, name: str, numbers: list[int]) -> None:
    """Somebody else has these blocked at that partner."""
    for number in numbers:
        town.stages[name].ledger.tell(full(number), State.BLOCKED)


async def unanswered(town, numbers: list[int]) -> int:
    """An incident of which a partner does all that it is told, and whose answers are lost."""
    await town.partner("eir_push", faults=Faults(fail_rate=1.0, applied=True))
    incident: int = await town.incident()
    await town.block(incident, numbers)
    return incident


async def taken(town, count: int) -> None:
    while len(town.blocked("eir_push")) < count:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["ceir", "eir_push"])
async def test_a_block_of_somebody_else_is_left_to_him(town, keys, kind):
    await town.partner(kind)
    incident = await town.incident()
    others_block(town, kind, keys(20)[:5])
    async with town.worker():
        await town.block(incident, keys(20))
        told = (await town.settled(incident))[kind].block
        await town.release(incident, keys(20))
        lifted = (await town.settled(incident))[kind].release
    assert (told.done, told.already) == (15, 5)
    assert (lifted.done, lifted.not_ours, lifted.already) == (15, 5, 0)
    assert len(town.blocked(kind)) == 5


async def test_what_had_been_told_before_an_answer_was_lost_is_ours(town, keys):
    """The partner had blocked it by our own call, and says so at the second one."""
    incident = await unanswered(town, keys(4))
    async with town.worker():
        await taken(town, 4)
        town.stages["eir_push"].misbehaviour.order(Faults())
        told = (await town.settled(incident))["eir_push"].block
        await town.release(incident, keys(4))
        lifted = (await town.settled(incident))["eir_push"].release
    assert told.already == 4
    assert (lifted.done, lifted.not_ours) == (4, 0)
    assert town.blocked("eir_push") == []


async def test_what_a_worker_told_before_it_died_is_ours(town, keys, pool):
    await town.partner("eir_push")
    incident = await town.incident()
    await town.block(incident, keys(4))
    others_block(town, "eir_push", keys(4))
    await pool.execute("UPDATE partner_lane SET lease_until = now() - interval '1 second' WHERE pending > 0")
    async with town.worker():
        await town.settled(incident)
        await town.release(incident, keys(4))
        lifted = (await town.settled(incident))["eir_push"].release
    assert (lifted.done, lifted.not_ours) == (4, 0)


async def test_who_never_heard_of_a_block_hears_nothing_of_its_release(town, keys, pool):
    number = await town.partner("webhook")
    await transaction(pool, lambda conn: partners.pause(conn, number, "maintenance"))
    incident = await town.incident()
    await town.block(incident, keys(50))
    await town.release(incident, keys(50))
    async with town.worker():
        await transaction(pool, lambda conn: partners.resume(conn, number))
        found = (await town.settled(incident))["webhook"]
    assert (found.block.superseded, found.release.not_ours) == (50, 50)
    assert town.stages["webhook"].ledger.calls == 0


async def test_a_block_that_was_refused_is_nothing_to_release(town, keys):
    await town.partner("ceir", faults=Faults(refuse_rate=1.0))
    incident = await town.incident()
    await town.block(incident, keys(10))
    async with town.worker():
        refused = (await town.settled(incident))["ceir"].block
        town.stages["ceir"].misbehaviour.order(Faults())
        others_block(town, "ceir", keys(10))
        await town.release(incident, keys(10))
        lifted = (await town.settled(incident))["ceir"].release
    assert (refused.refused, lifted.not_ours) == (10, 10)
    assert len(town.blocked("ceir")) == 10


async def test_what_a_partner_took_is_ours_though_it_refuses_the_repeat(town, keys):
    """Its answer was lost, and it will not hear of the same twice."""
    incident = await unanswered(town, keys(4))
    async with town.worker():
        await taken(town, 4)
        town.stages["eir_push"].misbehaviour.order(Faults(refuse_rate=1.0))
        told = (await town.settled(incident))["eir_push"].block
        town.stages["eir_push"].misbehaviour.order(Faults())
        await town.release(incident, keys(4))
        lifted = (await town.settled(incident))["eir_push"].release
    assert told.refused == 4
    assert (lifted.done, lifted.not_ours) == (4, 0)
    assert town.blocked("eir_push") == []


@pytest.mark.parametrize("first", [Faults(), Faults(refuse_rate=1.0)], ids=["taken", "refused"])
async def test_what_is_refused_when_a_person_has_it_told_again(town, keys, pool, first):
    """Ours if it was taken the first time, and nobody's if it was refused then, too."""
    number = await town.partner("eir_push", faults=first)
    incident = await town.incident()
    taken = 0 if first.refuse_rate else 4
    async with town.worker():
        await town.block(incident, keys(4))
        await town.settled(incident)
        town.stages["eir_push"].misbehaviour.order(Faults(refuse_rate=1.0))
        asked = partial(
            again.replay, actor=ADMIN, partner_id=number, wanted=Replay(which=Which.ALL), now=utc_now()
        )
        await transaction(pool, asked)
        await town.settled(incident)
        town.stages["eir_push"].misbehaviour.order(Faults())
        await town.release(incident, keys(4))
        lifted = (await town.settled(incident))["eir_push"].release
    assert (lifted.done, lifted.not_ours) == (taken, 4 - taken)
    assert town.blocked("eir_push") == []


async def test_what_a_worker_told_again_before_it_died_is_ours_whatever_is_said_then(town, keys, pool):
    """Refused at first, taken when it was told again by a worker that died of it, and refused to the next."""
    number = await town.partner("eir_push", faults=Faults(refuse_rate=1.0))
    incident = await town.incident()
    async with town.worker():
        await town.block(incident, keys(4))
        await town.settled(incident)
    asked = partial(
        again.replay, actor=ADMIN, partner_id=number, wanted=Replay(which=Which.ALL), now=utc_now()
    )
    await transaction(pool, asked)
    await pool.execute("UPDATE partner_lane SET lease_until = now() - interval '1 second' WHERE pending > 0")
    async with town.worker():
        await town.settled(incident)
        town.stages["eir_push"].misbehaviour.order(Faults())
        await town.release(incident, keys(4))
        lifted = (await town.settled(incident))["eir_push"].release
    assert (lifted.done + lifted.already, lifted.not_ours) == (4, 0)


async def test_a_release_that_came_to_nothing_leaves_the_block_ours(town, keys, pool):
    """Blocked, released (which the partner never took), and blocked again: it is still our block."""
    await town.partner("eir_push")
    first, second = await town.incident(), await town.incident()
    await town.block(first, keys(3))
    async with town.worker():
        await town.settled(first)
        town.stages["eir_push"].misbehaviour.order(Faults(fail_rate=1.0))
        await town.release(first, keys(3))
        while await pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0 AND tries > 0") < 3:
            await asyncio.sleep(0.02)
        await town.block(second, keys(3))
        town.stages["eir_push"].misbehaviour.order(Faults())
        told = (await town.settled(second))["eir_push"].block
        await town.release(second, keys(3))
        lifted = (await town.settled(second))["eir_push"].release
    assert told.already == 3
    assert (lifted.done, lifted.not_ours) == (3, 0)
    assert town.blocked("eir_push") == []


async def test_the_partners_own_reference_is_kept_for_the_release(town, keys, pool):
    """Rows of somebody else for the same device stay; ours goes, by its number."""
    await town.partner("eir_rest")
    incident = await town.incident()
    await town.block(incident, keys(6))
    async with town.worker():
        assert (await town.settled(incident))["eir_rest"].block.done == 6
        kept = await pool.fetch("SELECT DISTINCT ref FROM delivery_item WHERE state = 'done' AND ref <> ''")
        assert len(kept) == 6
        before = town.stages["eir_rest"].ledger.calls
        await town.release(incident, keys(6))
        assert (await town.settled(incident))["eir_rest"].release.done == 6
        assert town.stages["eir_rest"].ledger.calls == before + 6
    assert town.blocked("eir_rest") == []


async def test_a_partner_where_a_repeat_makes_a_second_row_has_one_in_the_end(town, keys):
    await town.partner("eir_rest", faults=Faults(fail_rate=0.2, applied=True))
    incident = await town.incident()
    await town.block(incident, keys(40))
    async with town.worker():
        await town.settled(incident)
        town.stages["eir_rest"].misbehaviour.order(Faults())
        await town.release(incident, keys(40))
        lifted = (await town.settled(incident))["eir_rest"].release
    assert (lifted.done + lifted.already, lifted.not_ours) == (40, 0)
    assert town.blocked("eir_rest") == []
