"""The guards, one by one, by fixed schedules: two sessions, no chance involved."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from app.adapters.contract import Answer, Confirmation, Op, Outcome
from app.core import imei
from app.core.db import transaction
from app.delivery import confirm, lanes, send
from app.delivery.commands import Command, order
from app.delivery.lanes import Lane
from app.delivery.send import PATIENCE
from app.delivery.settle import Settlement
from app.delivery.settle import settle as write


def now() -> datetime:
    return datetime.now(UTC)


def nothing_left(work: lanes.Work, outcome: Outcome = Outcome.DONE) -> Settlement:
    answers = {place: Answer(outcome) for place in work.orders}
    return Settlement(work, [], None, answers, untold=list(work.dropped), calls=1)


async def claim_one(pool) -> Lane:
    async with pool.acquire() as conn:
        (lane,) = await lanes.claim(conn, 1, send.LEASE)
    return lane


async def work_of(pool, lane: Lane) -> lanes.Work:
    async with pool.acquire() as conn:
        (work,) = await lanes.next_works(conn, lane, PATIENCE, 1)
    return work


async def lapse(pool) -> None:
    await pool.execute("UPDATE partner_lane SET lease_until = now() - interval '1 second'")


async def settle(pool, lane, done, keep=0.0) -> bool:
    return await transaction(pool, lambda conn: write(conn, lane, [done], [], keep=keep, lapses=0, now=now()))


@pytest.fixture
async def incident(town, keys) -> int:
    """One partner, one lane of work."""
    await town.partner("webhook")
    number = await town.incident()
    await town.block(number, keys(1))
    return number


async def test_a_lane_is_held_by_one_worker(incident, pool):
    async with pool.acquire() as first, pool.acquire() as second:
        both = await asyncio.gather(lanes.claim(first, 5, send.LEASE), lanes.claim(second, 5, send.LEASE))
    assert sorted(len(claimed) for claimed in both) == [0, 1]


async def test_who_lost_the_lease_writes_nothing(incident, pool, town):
    stale = await claim_one(pool)
    work = await work_of(pool, stale)
    await lapse(pool)
    fresh = await claim_one(pool)
    assert fresh.token == stale.token + 1
    assert await settle(pool, stale, nothing_left(work)) is False
    assert (await town.standings(incident))["webhook"].block.done == 0
    assert await settle(pool, fresh, nothing_left(await work_of(pool, fresh))) is True
    assert (await town.standings(incident))["webhook"].block.done == 1
    assert await settle(pool, stale, nothing_left(work)) is False


async def test_a_worker_that_lets_go_of_a_lane_has_not_died_of_it(incident, pool):
    """Five workers that died in a row give up an order; a database that was away for five moments gives up none."""
    async with pool.acquire() as conn:
        for _ in range(send.POISON_FROM + 1):
            (lane,) = await lanes.claim(conn, 1, send.LEASE)
            await lanes.let_lapse(conn, lane)
    assert lane.lapsed
    assert lane.lapses < lanes.CAREFUL_FROM


async def test_a_lapsed_lease_reads_no_more_work(incident, pool):
    lane = await claim_one(pool)
    await lapse(pool)
    async with pool.acquire() as conn:
        assert not await lanes.next_works(conn, lane, PATIENCE, 1)


async def test_a_lease_that_is_nearly_over_sends_nothing(incident, pool, town):
    """Without this check an older state could reach the partner after a newer one, whatever the fence does."""
    lane = await claim_one(pool)
    async with town.worker(slots=0) as desk:
        almost_over = time.monotonic() - (send.LEASE - send.DEADLINE - send.MARGIN)
        await send.work_lane(desk, lane, almost_over)
    assert town.stages["webhook"].ledger.calls == 0
    assert (await town.standings(incident))["webhook"].block.open == 1


async def test_a_settled_delivery_is_not_sent_again(incident, pool):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    assert await settle(pool, lane, nothing_left(work), keep=send.LEASE)
    async with pool.acquire() as conn:
        assert not await lanes.next_works(conn, lane, PATIENCE, 1)
    assert await pool.fetchval("SELECT sum(pending) FROM partner_lane") == 0


async def test_work_that_comes_while_a_lane_is_held_is_not_forgotten(incident, pool, town, keys):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    later = Settlement(work, [1], None, {}, calls=1, failed_calls=1, new_round=True, wait=3600)
    await town.block(incident, [keys(1)[0] + 16])
    assert await settle(pool, lane, later)
    again = await claim_one(pool)
    fresh = await work_of(pool, again)
    assert fresh.chunk_id != work.chunk_id


async def test_new_work_comes_before_what_failed(incident, pool, town, keys):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    assert await settle(pool, lane, Settlement(work, [1], None, {}, calls=1, failed_calls=1, new_round=True))
    await town.block(incident, [keys(1)[0] + 16])
    assert (await work_of(pool, await claim_one(pool))).chunk_id != work.chunk_id


async def test_one_of_every_partner_comes_before_anyones_second(town, pool, keys):
    for name in ("a", "b", "c"):
        await town.partner("webhook", name=name)
    await town.block(await town.incident(), keys(64))
    async with pool.acquire() as conn:
        first = await lanes.claim(conn, 3, send.LEASE)
        rest = await lanes.claim(conn, 100, send.LEASE)
    assert len({lane.partner_id for lane in first}) == 3
    assert len(rest) == 3 * 8 - 3


async def test_a_failing_partner_is_probed_by_one_lane(town, pool, keys):
    number = await town.partner("webhook")
    await town.block(await town.incident(), keys(64))
    async with pool.acquire() as conn:
        for _ in range(5):
            await lanes.note_fault(conn, number, "HTTP 500", failed=True, rest=0, longest_rest=60)
        assert await lanes.claim(conn, 10, send.LEASE) == []
        await conn.execute("UPDATE partner_pace SET resume_at = now()")
        (probe,) = await lanes.claim(conn, 10, send.LEASE)
        assert probe.probing
        await lanes.note_success(conn, number)
        assert len(await lanes.claim(conn, 10, send.LEASE)) == 7


async def confirmed(pool, number: int, key: int, op: Op, outcome: Outcome = Outcome.DONE):
    result = Confirmation(imei.full(key), op, Answer(outcome, code="KG"))
    return await transaction(pool, lambda conn: confirm.confirm(conn, 1, [result], now()))


async def test_accepted_waits_for_the_partners_word(incident, pool, town, keys):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    block = (await town.standings(incident))["webhook"].block
    assert (block.accepted, block.settled) == (1, False)
    assert (await confirmed(pool, 1, keys(1)[0], Op.BLOCK)).counted == 1
    assert (await confirmed(pool, 1, keys(1)[0], Op.BLOCK)).counted == 0
    block = (await town.standings(incident))["webhook"].block
    assert (block.accepted, block.done, block.settled) == (0, 1, True)


async def test_a_word_that_comes_before_its_order_is_settled_stands(incident, pool, town, keys):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await confirmed(pool, 1, keys(1)[0], Op.BLOCK)
    await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    block = (await town.standings(incident))["webhook"].block
    assert (block.accepted, block.done) == (0, 1)


async def test_a_word_about_what_a_dead_worker_told_stands(incident, pool, town, keys):
    await claim_one(pool)
    await lapse(pool)
    await confirmed(pool, 1, keys(1)[0], Op.BLOCK)
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    block = (await town.standings(incident))["webhook"].block
    assert (block.accepted, block.done) == (0, 1)


async def test_a_word_that_meets_the_settling_of_its_order_is_never_lost(incident, pool, town, keys):
    """The order is being settled, and not yet committed, when the partner's word comes."""
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    async with pool.acquire() as conn:
        settling = conn.transaction()
        await settling.start()
        done = nothing_left(work, Outcome.ACCEPTED)
        assert await write(conn, lane, [done], [], keep=0, lapses=0, now=now())
        word = asyncio.create_task(confirmed(pool, 1, keys(1)[0], Op.BLOCK))
        await asyncio.sleep(0.3)
        await settling.commit()
        assert (await word).counted == 1
    block = (await town.standings(incident))["webhook"].block
    assert (block.accepted, block.done) == (0, 1)


async def test_a_newer_decision_that_is_settled_ends_the_wait_for_an_older_one(incident, pool, town, keys):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    await town.release(incident, keys(1))
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await settle(pool, lane, nothing_left(work))
    standing = (await town.standings(incident))["webhook"]
    assert (standing.block.accepted, standing.block.superseded, standing.settled) == (0, 1, True)
    assert (await confirmed(pool, 1, keys(1)[0], Op.BLOCK)).counted == 0


async def test_a_late_word_about_an_older_block_says_nothing_of_the_newer(incident, pool, town, keys):
    for decide in (None, town.release):
        if decide:
            await decide(incident, keys(1))
        lane = await claim_one(pool)
        work = await work_of(pool, lane)
        await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    await town.block(incident, keys(1))
    assert (await confirmed(pool, 1, keys(1)[0], Op.BLOCK, Outcome.REFUSED)).counted == 0
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    assert (await town.standings(incident))["webhook"].block.refused == 0


async def test_a_theft_comes_before_enrolment(town, pool, keys):
    await town.partner("knox_guard")
    async with pool.acquire() as conn, conn.transaction():
        receipt = await conn.fetchval(
            "INSERT INTO receipt (source, received_at, received_by, digest) VALUES ('t', now(), 't', '')"
            " RETURNING receipt_id"
        )
        enrol = Command(Op.ENROL, now(), "test", receipt_id=receipt)
        await order(conn, enrol, [keys(1)[0] + 16 * n for n in range(600)], [0] * 600)
    await town.block(await town.incident(), keys(1))
    assert (await work_of(pool, await claim_one(pool))).op == Op.BLOCK


async def test_a_refusal_that_comes_later_is_counted_as_one(incident, pool, town, keys):
    lane = await claim_one(pool)
    work = await work_of(pool, lane)
    await settle(pool, lane, nothing_left(work, Outcome.ACCEPTED))
    await confirmed(pool, 1, keys(1)[0], Op.BLOCK, Outcome.REFUSED)
    block = (await town.standings(incident))["webhook"].block
    assert (block.refused, block.settled) == (1, True)


async def test_what_cannot_be_written_down_is_not_told_over_and_over(town, owner):
    """A database without room, say: all that was under way once, then a call now and then."""
    await town.partner("eir_push")
    told = [35_555555_000000 + 16 * number for number in range(50)]
    incident = await town.incident()
    await town.block(incident, told)
    await owner.execute("ALTER TABLE audit_entry ADD CONSTRAINT no_room CHECK (false) NOT VALID")
    async with town.worker():
        await asyncio.sleep(2)
        calls = town.stages["eir_push"].ledger.calls
        await owner.execute("ALTER TABLE audit_entry DROP CONSTRAINT no_room")
        await town.settled(incident)
    assert len(told) < calls < len(told) + 12
    assert len(town.blocked("eir_push")) == len(told)
