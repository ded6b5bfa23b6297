"""The engine with real partners: each ends with exactly what it should hold, whatever happens on the way."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from app.core.db import transaction
from app.core.errors import Conflict, Invalid
from app.delivery import partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope, ScopeChange
from app.delivery.send import Terms
from app.sandbox.faults import Faults


async def test_every_partner_is_told_in_its_own_dialect(town, keys, names):
    for kind in ("ceir", "eir_push", "webhook"):
        await town.partner(kind)
    incident = await town.incident()
    await town.block(incident, keys(700))
    async with town.worker():
        found = await town.settled(incident)
        await town.release(incident, keys(20))
        found = await town.settled(incident)
    for kind in ("ceir", "eir_push", "webhook"):
        assert town.blocked(kind) == names(keys(700)[20:])
        assert found[kind].block.done == 700
        assert found[kind].release.done == 20
    assert found["ceir"].block.calls >= 700 / 3


async def test_a_small_theft_waits_for_no_large_one(town, keys):
    """A partner that is told one by one is in the middle of the first when it hears of the second."""
    await town.partner("eir_push", faults=Faults(latency_ms=10), limits=Limits(max_inflight=2))
    large, small = await town.incident(), await town.incident()
    await town.block(large, keys(3000))
    async with town.worker():
        await town.until(large, lambda all_: all_["eir_push"].block.done > 50)
        await town.block(small, [36_000000_000000 + number for number in range(16)])
        await town.settled(small)
        found = (await town.standings(large))["eir_push"].block
    assert found.done < 2400


async def test_a_partner_that_fails_a_tenth_of_its_calls_ends_complete(town, keys, names):
    await town.partner("eir_push", faults=Faults(fail_rate=0.1, applied=True))
    await town.partner("ceir", faults=Faults(item_retry_rate=0.2))
    incident = await town.incident()
    await town.block(incident, keys(400))
    async with town.worker():
        found = await town.settled(incident)
    assert town.blocked("eir_push") == town.blocked("ceir") == names(keys(400))
    assert found["eir_push"].block.failed_calls > 0
    assert found["eir_push"].block.already > 0


async def test_a_partner_that_is_down_never_delays_another(town, keys, names):
    await town.partner("eir_push", name="dead", faults=Faults(down_for_s=3600))
    await town.partner("eir_push", name="well")
    incident = await town.incident()
    await town.block(incident, keys(300))
    async with town.worker():
        found = await town.until(incident, lambda all_: all_["well"].settled)
        assert found["dead"].block.open == 300
        await asyncio.sleep(2.5)
        town.stages["dead"].misbehaviour.order(Faults())
        await town.settled(incident)
    assert town.blocked("dead") == town.blocked("well") == names(keys(300))
    # The breaker opened: a partner that is down is not called by every lane again and again.
    assert town.stages["dead"].misbehaviour.acted["down"] < 40


async def test_what_was_decided_later_is_all_that_is_told(town, pool, keys):
    number = await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(50))
    async with town.worker():
        await town.settled(incident)
        await transaction(pool, lambda conn: partners.pause(conn, number, "maintenance"))
        before = town.stages["webhook"].ledger.calls
        await town.release(incident, keys(50))
        again = await town.incident()
        await town.block(again, keys(50))
        await town.release(again, keys(30))
        await asyncio.sleep(0.3)
        assert town.stages["webhook"].ledger.calls == before
        await transaction(pool, lambda conn: partners.resume(conn, number))
        found = await town.settled(again)
    assert (found["webhook"].block.superseded, found["webhook"].block.already) == (30, 20)
    assert (
        found["webhook"].release.done,
        (await town.standings(incident))["webhook"].release.superseded,
    ) == (30, 50)
    assert len(town.blocked("webhook")) == 20
    assert town.stages["webhook"].ledger.counts()["released"] == 30


async def test_a_rate_is_a_contract(town, keys):
    await town.partner("eir_push", limits=Limits(rate=40, burst=5))
    incident = await town.incident()
    await town.block(incident, keys(60))
    began = asyncio.get_running_loop().time()
    async with town.worker(), town.worker():
        await town.settled(incident)
    took = asyncio.get_running_loop().time() - began
    assert took > (60 - 5) / 40


async def test_calls_that_a_slow_partner_left_no_time_for_are_not_lost_to_its_rate(town, pool):
    """They had been allowed, eight at once, and were not made within the stretch."""
    limits = Limits(rate=0.001, burst=8, max_inflight=1)
    await town.partner("eir_push", faults=Faults(latency_ms=400), limits=limits)
    incident = await town.incident()
    await town.block(incident, [35_555555_000000 + 16 * number for number in range(8)])
    async with town.worker():
        found = await town.settled(incident)
    assert (found["eir_push"].block.done, town.stages["eir_push"].ledger.calls) == (8, 8)


async def test_throttling_spends_no_attempt(town, keys, pool):
    await town.partner("webhook", faults=Faults(calls_per_second=2), change={"identifiers_per_call": 10})
    incident = await town.incident()
    await town.block(incident, keys(60))
    async with town.worker():
        found = await town.settled(incident)
    assert found["webhook"].block.done == 60
    assert town.stages["webhook"].misbehaviour.acted["limited"] > 0
    assert await pool.fetchval("SELECT max(tries) FROM delivery") == 0


async def test_refused_credentials_pause_the_partner_once(town, keys, pool):
    await town.partner("ceir", change={"password": "wrong"})
    incident = await town.incident()
    await town.block(incident, keys(60))
    async with town.worker():
        async with asyncio.timeout(10):
            while not await pool.fetchval("SELECT paused FROM partner"):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    assert town.stages["ceir"].ledger.calls <= 16
    found = (await town.standings(incident))["ceir"]
    assert (found.health, found.block.open) == ("paused", 60)
    assert await pool.fetchval("SELECT count(*) FROM audit_entry WHERE kind = 'partner.paused'") == 1


async def test_calls_that_were_held_back_are_not_counted(town, keys):
    """All lanes begin at once; the first call is turned away, and the others never go out."""
    seen: list[str] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=401)

    await town.listener("strict", take)
    incident = await town.incident()
    await town.block(incident, keys(60))
    async with town.worker():
        await town.until(incident, lambda all_: all_["strict"].health == "paused")
        await asyncio.sleep(2.5)
    block = (await town.standings(incident))["strict"].block
    assert (block.calls, block.failed_calls) == (len(seen), len(seen)) == (1, 1)


async def test_a_refusal_is_final_and_keeps_the_partners_words(town, keys, pool):
    await town.partner("ceir", faults=Faults(refuse_rate=1))
    incident = await town.incident()
    await town.block(incident, keys(7))
    async with town.worker():
        found = await town.settled(incident)
    assert found["ceir"].block.refused == 7
    row = await pool.fetchrow("SELECT DISTINCT state, code FROM delivery_item")
    assert row["state"] == "refused"
    assert row["code"]


async def test_partners_are_told_what_is_in_their_scope(town, pool):
    await town.partner("webhook", name="all")
    await town.partner("webhook", name="brand", scope=PartnerScope(kinds=("imei",), tacs=("35111111",)))
    await town.partner("webhook", name="serials", scope=PartnerScope(kinds=("serial",)))
    serial = await pool.fetchval(
        "INSERT INTO serial_number (serial, gtin) VALUES ('TAB1', '') RETURNING serial_id"
    )
    incident = await town.incident()
    keys = [35_111111_000001, 35_222222_000001, -serial]
    await town.block(incident, sorted(keys))
    async with town.worker():
        found = await town.settled(incident)
    assert {name: one.block.wanted for name, one in found.items()} == {"all": 3, "brand": 1, "serials": 1}
    assert town.blocked("serials") == ["TAB1"]
    assert len(town.blocked("brand")) == 1


async def test_two_workers_share_the_work_and_send_nothing_twice(town, keys, names):
    await town.partner("ceir")
    incident = await town.incident()
    await town.block(incident, keys(900))
    async with town.worker(slots=4), town.worker(slots=4):
        await town.settled(incident)
    assert town.blocked("ceir") == names(keys(900))
    assert town.stages["ceir"].ledger.counts()["duplicates"] == 0


async def test_a_worker_that_is_told_to_stop_hands_over_at_once(town, keys, names):
    await town.partner("eir_push", faults=Faults(latency_ms=5))
    incident = await town.incident()
    await town.block(incident, keys(600))
    async with town.worker():
        await town.until(incident, lambda all_: all_["eir_push"].block.done > 50)
    began = asyncio.get_running_loop().time()
    half = (await town.standings(incident))["eir_push"].block
    assert half.open > 0
    async with town.worker():
        await town.until(incident, lambda all_: all_["eir_push"].block.done > half.done)
        assert asyncio.get_running_loop().time() - began < 5
        await town.settled(incident)
    assert town.blocked("eir_push") == names(keys(600))
    assert town.stages["eir_push"].ledger.counts()["duplicates"] == 0


async def test_each_call_is_on_the_audit_log(town, keys, pool):
    await town.partner("ceir")
    incident = await town.incident()
    await town.block(incident, keys(30))
    async with town.worker():
        found = await town.settled(incident)
    attempts = await pool.fetch(
        "SELECT body::jsonb AS body FROM audit_entry WHERE kind = 'delivery.attempted'"
    )
    details = [row["body"]["detail"] for row in attempts]
    calls = [call for detail in details for call in detail["calls"]]
    assert len(calls) == found["ceir"].block.calls == town.stages["ceir"].ledger.calls
    assert {detail["incident"] for detail in details} == {incident}
    assert calls[0]["exchanges"][0]["status"] == 200
    assert sum(call["outcomes"]["done"] for call in calls) == 30


async def test_bad_identifiers_at_the_head_never_hold_up_the_others(town, pool, keys):
    await town.partner("ceir")
    incident = await town.incident()
    few = [keys(1)[0] + 16 * number for number in range(20)]
    await town.block(incident, few)
    stage = town.stages["ceir"]
    bad = iter(["retry"] * 9)
    stage.misbehaviour.item = lambda: next(bad, "fine")
    async with town.worker():
        await town.until(incident, lambda all_: all_["ceir"].block.done >= 11, within=3)
        await town.settled(incident)
    assert await pool.fetchval("SELECT failures FROM partner_pace") == 0


async def test_a_pause_stops_a_lane_that_is_being_worked(town, pool, keys):
    number = await town.partner("eir_push", faults=Faults(latency_ms=20))
    incident = await town.incident()
    await town.block(incident, [keys(1)[0] + 16 * n for n in range(400)])
    async with town.worker():
        await town.until(incident, lambda all_: all_["eir_push"].block.done > 0)
        await transaction(pool, lambda conn: partners.pause(conn, number, "stop"))
        await asyncio.sleep(1.3)
        calls = town.stages["eir_push"].ledger.calls
        await asyncio.sleep(0.7)
        assert town.stages["eir_push"].ledger.calls == calls < 400


async def test_a_release_overtakes_the_rest_of_a_block_under_way(town, keys):
    await town.partner("eir_push", faults=Faults(latency_ms=20))
    incident = await town.incident()
    some = [keys(1)[0] + 16 * n for n in range(300)]
    await town.block(incident, some)
    async with town.worker():
        await town.until(incident, lambda all_: all_["eir_push"].block.done > 0)
        await town.release(incident, some)
        found = await town.settled(incident)
    assert found["eir_push"].block.superseded > 100
    assert town.blocked("eir_push") == []


async def test_all_calls_of_one_batch_share_one_deadline(town, pool, keys):
    """An adapter may need several calls; together they must end within the lease."""
    await town.partner("knox_guard", faults=Faults(latency_ms=300))
    incident = await town.incident()
    await town.block(incident, keys(1))
    async with town.worker(terms=Terms(deadline=0.4)):
        async with asyncio.timeout(5):
            while not await pool.fetchval("SELECT failed_calls FROM progress"):
                await asyncio.sleep(0.05)
    detail = await pool.fetchval("SELECT last_fault FROM progress")
    assert "within 0.4 s" in detail


async def test_a_scope_that_would_leave_devices_out_silently_is_refused(town, pool):
    with pytest.raises(Invalid, match="silently"):
        await town.partner("webhook", scope=PartnerScope(gtins=("08806090000003",)))
    number = await town.partner(
        "webhook", name="b", scope=PartnerScope(kinds=("imei",), tacs=("35111111", "35222222"))
    )
    async with pool.acquire() as conn:
        partner = await partners.find(conn, number)
        smaller = ScopeChange(kinds=("imei",), tacs=("35111111",))
        with pytest.raises(Conflict, match="only grow"):
            await partners.change(conn, partner, keyring=town.keyring, now=partner.created_at, scope=smaller)
