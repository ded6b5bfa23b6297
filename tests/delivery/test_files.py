"""The engine and partners that take files: what is left there, and what the audit log says of it."""

import asyncio
import hashlib
import json

import msgspec
import pytest

from app.access.roles import Principal, Role
from app.adapters.contract import Answer, Failing, NoAnswer, Outcome
from app.core.db import transaction
from app.core.imei import full
from app.delivery import asking, lanes, partners, whole_list
from app.sandbox.faults import Faults
from app.sandbox.ledger import State

from .conftest import utc_now

ADMIN = Principal("ada", "Ada", Role.ADMIN)
KINDS = ("sftp_csv", "dirbs_file", "gsma_file")


async def _taken(town, kind, count):
    """Waits until a partner, which looks now and then, has read that so many are blocked."""
    async with asyncio.timeout(10):
        while len(town.blocked(kind)) != count:
            await asyncio.sleep(0.02)


async def test_a_theft_reaches_partners_by_file(town, keys, names):
    told = keys(600)
    for kind in KINDS:
        await town.partner(kind, change={"acknowledged": False})
    incident = await town.incident()
    await town.block(incident, told)
    async with town.worker():
        standings = await town.settled(incident)
        assert {one.block.done for one in standings.values()} == {600}
        await town.release(incident, told[:100])
        await town.settled(incident)
        for kind in KINDS:
            await _taken(town, kind, 500)
    for kind in KINDS:
        assert town.blocked(kind) == names(told[100:])
        assert town.stages[kind].ledger.duplicates == 0


async def test_files_that_did_not_get_there_are_left_again_and_nothing_twice(town, pool, names):
    """However often it fails: the other side refuses a file whose rows it has already from a larger one."""
    told = [35_555555_000000 + 16 * number for number in range(64)]
    await town.partner("dirbs_file", change={"acknowledged": False}, faults=Faults(fail_rate=1, applied=True))
    stage, incident = town.stages["dirbs_file"], await town.incident()
    await town.block(incident, told)
    async with town.worker():
        while stage.misbehaviour.acted["failed"] < 5:
            await _hurry(pool)
        stage.misbehaviour.order(Faults())
        await _hurry(pool)
        await town.settled(incident)
        await _taken(town, "dirbs_file", len(told))
    assert town.blocked("dirbs_file") == names(told)
    assert {len(stage.ledger.history(name)) for name in names(told)} == {1}
    said = await pool.fetch("SELECT body FROM audit_entry WHERE kind = 'delivery.attempted'")
    calls = [call for row in said for call in json.loads(row["body"])["detail"]["calls"]]
    assert len({exchange["file"] for call in calls for exchange in call["exchanges"]}) == 1


async def _hurry(pool):
    """What waits to be told again is due at once."""
    await pool.execute("UPDATE delivery SET next_at = now() WHERE state = 0 AND next_at > now()")
    await pool.execute("UPDATE partner_lane SET next_at = now() WHERE pending > 0")
    await pool.execute("UPDATE partner_pace SET resume_at = now()")


async def test_the_audit_log_has_the_hash_of_each_file(town, keys):
    await town.partner("sftp_csv", change={"acknowledged": False})
    incident = await town.incident()
    await town.block(incident, keys(1))
    async with town.worker():
        await town.settled(incident)
    said = await town.pool.fetchval("SELECT body FROM audit_entry WHERE kind = 'delivery.attempted'")
    (call,) = json.loads(said)["detail"]["calls"]
    (exchange,) = call["exchanges"]
    assert exchange["did"] == "written"
    assert "-block-" in exchange["file"]
    assert len(exchange["sha256"]) == len(hashlib.sha256().hexdigest())
    assert "practice-password" not in said


async def test_a_partner_that_lost_our_files_is_given_the_whole_list(town, keys, names, pool):
    """What was told stands on it; what is still to be told does not, for it would be told twice."""
    number = await town.partner("dirbs_file", change={"acknowledged": False})
    stage, told = town.stages["dirbs_file"], keys(600)
    incident = await town.incident()
    await town.block(incident, told)
    async with town.worker() as desk:
        await town.settled(incident)
        await town.release(incident, told[:100])
        await town.settled(incident)
        await _taken(town, "dirbs_file", 500)
        for name in names(told[200:]):
            stage.ledger.tell(name, State.RELEASED)
        await transaction(pool, lambda conn: partners.pause(conn, number, "a backup is restored"))
        later = await town.incident()
        await town.block(later, [35_999999_000000 + n for n in range(20)])
        await transaction(pool, lambda conn: partners.resume(conn, number))
        await town.settled(later)
        await transaction(pool, lambda conn: asking.reconcile(conn, ADMIN, number, utc_now()))
        while await asking.step(desk):
            pass
        await _taken(town, "dirbs_file", 520)
        await town.release(later, [35_999999_000000])
        await town.settled(later)
        await _taken(town, "dirbs_file", 519)
    assert (await pool.fetchval("SELECT reconciled ->> 'listed' FROM partner_pace")) == "520"
    assert stage.misbehaviour.acted["refused"] == 0


async def test_a_whole_list_leaves_out_what_is_still_to_be_told(town, keys, pool):
    number = await town.partner("dirbs_file", change={"acknowledged": False})
    first, second = await town.incident(), await town.incident()
    async with town.worker():
        await town.block(first, keys(50))
        await town.settled(first)
    await town.block(second, [35_999999_000000 + n for n in range(20)])
    async with town.worker(slots=0) as desk:
        await transaction(pool, lambda conn: asking.reconcile(conn, ADMIN, number, utc_now()))
        assert await whole_list.publish(desk, await _contact(desk, number)) == 50
    async with town.worker():
        await town.settled(second)
        await _taken(town, "dirbs_file", 70)


async def test_a_partner_is_given_no_list_while_it_is_being_told(town, keys, pool):
    number = await town.partner("dirbs_file", change={"acknowledged": False})
    await town.block(await town.incident(), keys(1))
    async with pool.acquire() as conn, conn.transaction():
        (lane,) = await lanes.claim(conn, 1, 25)
        assert await lanes.claim_all(conn, number, 25) == []
        await lanes.hand_back(conn, lane)
        assert len(await lanes.claim_all(conn, number, 25)) == 16
        assert await lanes.claim(conn, 1, 25) == []


async def test_a_worker_that_died_over_a_list_leaves_nothing_in_doubt(town, keys, pool):
    """Its lanes had nothing left to be told: they are free, and what somebody else had blocked there stays his."""
    number = await town.partner("eir_push")
    await transaction(pool, lambda conn: lanes.claim_all(conn, number, 0))
    held = await transaction(pool, lambda conn: lanes.claim_all(conn, number, 0))
    assert len(held) == 16
    incident = await town.incident()
    for name in map(full, keys(4)):
        town.stages["eir_push"].ledger.tell(name, State.BLOCKED)
    await town.block(incident, keys(4))
    async with town.worker():
        assert (await town.settled(incident))["eir_push"].block.already == 4
        await town.release(incident, keys(4))
        assert (await town.settled(incident))["eir_push"].release.not_ours == 4


class Slow:
    """An adapter over which its worker sleeps, while another one takes the lanes."""

    def __init__(self, adapter, pool):
        self._adapter, self._pool = adapter, pool

    async def publish(self, key, orders, wire, at):
        await self._pool.execute("UPDATE partner_lane SET lease_token = lease_token + 1")
        return await self._adapter.publish(key, orders, wire, at)


async def test_a_list_over_which_a_worker_slept_does_not_count(town, pool):
    number = await town.partner("dirbs_file", change={"acknowledged": False})
    async with town.worker(slots=0) as desk:
        contact = await _contact(desk, number)
        slow = msgspec.structs.replace(contact, adapter=Slow(contact.adapter, pool))
        with pytest.raises(NoAnswer, match="slept"):
            await whole_list.publish(desk, slow)


class Told:
    """An adapter that notes what is on the list it is given, and answers."""

    def __init__(self, answer):
        self._answer = answer
        self.listed = []

    async def publish(self, key, orders, wire, at):
        self.listed = [order.key for order in orders]
        return self._answer


async def test_a_list_that_was_not_taken_does_not_count(town):
    number = await town.partner("dirbs_file", change={"acknowledged": False})
    async with town.worker(slots=0) as desk:
        contact = await _contact(desk, number)
        told = msgspec.structs.replace(contact, adapter=Told(Answer(Outcome.REFUSED, words="no room left")))
        with pytest.raises(Failing, match="no room left"):
            await whole_list.publish(desk, told)


async def test_what_somebody_else_had_blocked_there_is_not_on_the_list(town, keys):
    number = await town.partner("eir_push")
    for name in map(full, keys(3)):
        town.stages["eir_push"].ledger.tell(name, State.BLOCKED)
    incident = await town.incident()
    await town.block(incident, keys(5))
    async with town.worker():
        await town.settled(incident)
    adapter = Told(Answer(Outcome.DONE))
    async with town.worker(slots=0) as desk:
        contact = await _contact(desk, number)
        assert await whole_list.publish(desk, msgspec.structs.replace(contact, adapter=adapter)) == 2
    assert adapter.listed == keys(5)[3:]


async def _contact(desk, number):
    async with desk.pool.acquire() as conn:
        return await desk.contacts.of(conn, number)
