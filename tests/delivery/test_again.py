"""Told again: what was refused, all there is, a partner that comes late; and one that goes."""

from __future__ import annotations

import pytest

from app.access.roles import Principal, Role
from app.adapters.contract import Op
from app.core.db import transaction
from app.core.errors import Conflict
from app.delivery import again, partners
from app.delivery.again import Again, Replay, Which
from app.delivery.commands import Command, order
from app.delivery.scope import PartnerScope
from app.sandbox.faults import Faults
from app.sandbox.ledger import State

from .conftest import utc_now

ADMIN = Principal("ada", "Ada", Role.ADMIN)


@pytest.fixture
def replays(pool):
    async def ask(number: int, **said) -> Again:
        return await transaction(
            pool, lambda conn: again.replay(conn, ADMIN, number, Replay(**said), utc_now())
        )

    return ask


@pytest.fixture
def resyncs(pool):
    async def ask(number: int) -> Again:
        return await transaction(pool, lambda conn: again.resync(conn, ADMIN, number, utc_now()))

    return ask


async def test_what_was_refused_is_taken_after_all(town, keys, replays):
    number = await town.partner("ceir", faults=Faults(refuse_rate=1.0))
    incident = await town.incident()
    await town.block(incident, keys(10))
    async with town.worker():
        assert (await town.settled(incident))["ceir"].block.refused == 10
        town.stages["ceir"].misbehaviour.order(Faults())
        assert await replays(number) == Again(10, 0)
        found = (await town.settled(incident))["ceir"]
        assert (found.block.refused, found.block.done, found.again.done) == (0, 10, 10)
        assert await replays(number) == Again(0, 0)
        await town.release(incident, keys(10))
        assert (await town.settled(incident))["ceir"].release.done == 10
    assert town.blocked("ceir") == []


async def test_what_was_read_before_a_release_is_not_told_after_it(town, keys):
    """A replay reads how things stand and orders it a moment later: what was decided meanwhile counts."""
    number = await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(10))
    async with town.worker():
        await town.settled(incident)
        await town.release(incident, keys(10))
        async with town.pool.acquire() as conn, conn.transaction():
            late = Command(Op.BLOCK, utc_now(), "test", incident_id=incident, again=True)
            await order(conn, late, keys(10), [1] * 10, only=[number])
        await town.settled(incident)
    assert town.blocked("webhook") == []


async def test_asking_twice_orders_nothing_twice(town, keys, replays):
    number = await town.partner("webhook")
    first, second = await town.incident(), await town.incident()
    await town.block(first, keys(10))
    await town.block(second, keys(15))
    async with town.worker():
        await town.settled(second)
        await town.settled(first)
    assert await replays(number, which=Which.ALL, incident=second) == Again(15, 0)
    assert await replays(number, which=Which.ALL) == Again(0, 0)
    before = town.stages["webhook"].ledger.counts()
    async with town.worker():
        assert (await town.settled(second))["webhook"].again.already == 15
    after = town.stages["webhook"].ledger.counts()
    assert (after["blocked"], after["duplicates"] - before["duplicates"]) == (15, 15)


async def test_only_what_was_ordered_in_that_time_is_told_again(town, keys, replays):
    number = await town.partner("webhook")
    first, second = await town.incident(), await town.incident()
    await town.block(first, keys(5))
    between = utc_now()
    await town.block(second, keys(12))
    async with town.worker():
        await town.settled(second)
    assert await replays(number, which=Which.ALL, since=between) == Again(7, 0)


async def test_a_partner_that_comes_late_is_brought_up_to_date(town, keys, resyncs):
    await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(30))
    await town.release(incident, keys(10))
    late = await town.partner("eir_push")
    assert await resyncs(late) == Again(20, 0)
    async with town.worker():
        found = await town.settled(incident)
        assert found["eir_push"].again.done == 20
        await town.release(incident, keys(30)[10:])
        assert (await town.settled(incident))["eir_push"].release.done == 20
    assert town.blocked("eir_push") == []


async def test_a_partner_that_lost_its_data_is_brought_up_to_date(town, keys, names, resyncs):
    number = await town.partner("eir_push")
    incident = await town.incident()
    await town.block(incident, keys(30))
    async with town.worker():
        await town.settled(incident)
        ledger = town.stages["eir_push"].ledger
        await town.release(incident, keys(10))
        await town.settled(incident)
        ledger.forget()
        for name in names(keys(10)):
            ledger.tell(name, State.BLOCKED)
        assert await resyncs(number) == Again(20, 10)
        await town.settled(incident)
    assert town.blocked("eir_push") == names(keys(30)[10:])


async def test_a_removed_partner_is_told_nothing_and_is_waited_for_no_longer(town, pool, keys):
    number = await town.partner("webhook", name="Gone")
    await town.partner("eir_push")
    incident = await town.incident()
    await town.block(incident, keys(10))
    remove = {"leave_blocks": False, "now": utc_now()}
    await transaction(pool, lambda conn: again.remove(conn, ADMIN, number, **remove))
    async with town.worker():
        found = await town.settled(incident)
    [gone] = [standing for name, standing in found.items() if name.startswith("Gone")]
    assert (gone.block.superseded, gone.block.done) == (10, 0)
    assert town.stages["Gone"].ledger.calls == 0
    async with pool.acquire() as conn:
        assert [it.name for it in await partners.everyone(conn)] == ["eir_push"]
    await town.partner("webhook", name="Gone")
    with pytest.raises(Conflict, match="removed"):
        await transaction(pool, lambda conn: again.resync(conn, ADMIN, number, utc_now()))


async def test_a_partner_that_holds_our_blocks_is_not_removed_by_mistake(town, pool, keys):
    number = await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(10))
    await pool.execute(
        "UPDATE incident SET state = 'approved', submitted_by = 'a', approved_by = 'b', assents = '{b}'"
        " WHERE incident_id = $1",
        incident,
    )
    async with town.worker():
        await town.settled(incident)
    with pytest.raises(Conflict, match="1 incident"):
        await transaction(
            pool, lambda conn: again.remove(conn, ADMIN, number, leave_blocks=False, now=utc_now())
        )
    await transaction(pool, lambda conn: again.remove(conn, ADMIN, number, leave_blocks=True, now=utc_now()))


async def test_partners_are_told_of_their_kinds_and_countries_and_in_their_words(town, pool, keys):
    await town.partner("webhook", name="theft", scope=PartnerScope(incidents=("theft",)))
    await town.partner("webhook", name="loss", scope=PartnerScope(incidents=("loss",)))
    await town.partner("webhook", name="Germany", scope=PartnerScope(countries=("DE",)))
    await town.partner("ceir", scope=PartnerScope(countries=("FR",), reasons={"theft": "7"}))
    incident = await town.incident()
    await pool.execute("UPDATE incident SET country = 'FR'")
    await town.block(incident, keys(4))
    async with town.worker():
        found = await town.settled(incident)
        await town.release(incident, keys(4))
        await town.settled(incident)
    assert {name: standing.block.done for name, standing in found.items()} == {"theft": 4, "ceir": 4}
    assert {name: stage.ledger.calls > 0 for name, stage in town.stages.items()} == {
        "theft": True, "loss": False, "Germany": False, "ceir": True,
    }  # fmt: skip
