"""Sightings and alerts against a real database: what is noted, what is not, and who is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from app.access import keys
from app.access.roles import Principal, Role
from app.blocklist import lookout, sightings
from app.blocklist.lookout import EVERY, Via
from app.blocklist.sightings import Reported
from app.core.db import transaction
from app.devices import presence
from app.devices.naming import Name
from app.incidents import decide

from .asking import API, SECOND


@pytest.fixture
async def stock(registers: Any, phones: Any) -> list[str]:
    """The first IMEI of each of six phones at PAR-1, which tells what leaves it; the last one has left."""
    await registers(phones(0, 6))
    return [line.split(",")[0] for line in phones(0, 6).splitlines()]


async def test_who_asks_about_a_stolen_device_is_noted_and_its_manager_alerted(world, stock):
    number = await world.theft(*stock[:2])
    await world.asks(stock[0], via=Via("n5g-eir", "mcc:208"))
    (seen,) = await world.sightings(incident=number)
    assert (seen.imei, seen.status, seen.times) == (stock[0][:14], "blocked", 1)
    assert (seen.way, seen.place, seen.incident) == ("n5g-eir", "mcc:208", number)
    assert seen.asked_by == world.carrier.label
    (raised,) = await world.alerts()
    assert (raised.kind, raised.subject, raised.concerns) == (
        "sighting",
        f"incident:{number}",
        world.reader.label,
    )
    assert raised.detail["identifiers"] == 1


async def test_the_same_question_again_counts_on_the_first(world, stock):
    number = await world.theft(stock[0])
    for _ in range(3):
        await world.asks(stock[0], stock[0])
        world.now += SECOND
        await world.lookout.write()
    await world.asks(stock[0])
    (seen,) = await world.sightings(incident=number)
    assert seen.times == 4
    assert (seen.last_at - seen.first_at) == 3 * SECOND
    assert [one.times for one in await world.alerts()] == [1]


async def test_ways_and_places_and_askers_are_told_apart(world, stock, conn, now):
    await world.theft(stock[0])
    other = await keys.create(conn, name="Süd", role="carrier", by="cli", now=now, random=Random(5).randbytes)
    for via in (API, Via("n5g-eir", "mcc:208"), Via("n5g-eir", "mcc:262")):
        await world.asks(stock[0], via=via)
    await world.asks(stock[0], by=Principal(other.key_id, "Süd", Role.CARRIER))
    assert len(await world.sightings()) == 4


async def test_a_suspect_that_is_blocked_later_is_two_sightings(world, stock):
    number = await world.theft(stock[0], approved=False)
    await world.asks(stock[0])
    await world.lookout.write()
    await transaction(world.pool, lambda conn: decide.approve(conn, world.approver, number, world.now))
    await world.asks(stock[0])
    assert [one.status for one in await world.sightings(incident=number)] == ["suspect", "blocked"]


async def test_a_new_alert_is_raised_after_somebody_has_looked(world, stock):
    await world.theft(*stock[:3])
    numbers = []
    for phone in stock[:3]:
        await world.asks(phone)
        await world.lookout.write()
        (raised,) = await world.alerts()
        numbers.append((raised.id, raised.times))
        if phone == stock[1]:
            assert await world.sees(raised.id)
            assert not await world.sees(raised.id)
    (first, once), (same, twice), (another, again) = numbers
    assert (first == same, first == another) == (True, False)
    assert (once, twice, again) == (1, 2, 1)


async def test_alerts_are_on_the_audit_log_once(world, stock, conn):
    number = await world.theft(*stock[:2])
    for phone in stock[:2]:
        await world.asks(phone)
        await world.lookout.write()
    bodies = await conn.fetch("SELECT body FROM audit_entry WHERE kind = 'alert.raised'")
    assert [f'"subject":"incident:{number}"' in row["body"] for row in bodies] == [True]


async def test_the_owners_own_people_are_no_sighting(world, stock, conn):
    await world.theft(stock[0])
    for own in (world.reader, world.approver):
        await world.asks(stock[0], by=own)
    await world.lookout.write()
    assert await conn.fetchval("SELECT count(*) FROM sighting") == 0


async def test_what_nobody_knows_here_is_no_sighting(world, stock):
    await world.asks("49015420323751", "35209900000000")
    assert await world.sightings() == []


async def test_a_device_in_stock_that_is_asked_about_is_the_first_sign_of_a_theft(world, stock):
    await world.leaves(6)
    await world.asks(*stock[:2])
    assert [one.status for one in await world.sightings(in_stock=True)] == ["clear", "clear"]
    assert await world.alerts() == []
    (raised,) = await world.judged()
    assert (raised.kind, raised.subject) == ("in-stock", "site:PAR-1")
    assert (raised.detail["devices"], raised.detail["device_ids"]) == (2, [1, 2])
    assert raised.detail["asked_by"] == [world.carrier.key_id]
    assert [one.times for one in await world.judged()] == [1]


async def test_a_departure_that_is_told_late_is_no_alert(world, stock):
    await world.leaves(6)
    await world.asks(*stock[:2])
    await world.lookout.write()
    await world.leaves(1)
    (raised,) = await world.judged()
    assert raised.detail["device_ids"] == [2]
    assert [one.device for one in await world.sightings(in_stock=True)] == [2]


async def test_nothing_is_said_of_stock_at_a_site_that_tells_no_departures(world, stock):
    await world.asks(stock[0])
    assert await world.sightings() == []


@pytest.mark.parametrize(("back", "noted"), [(False, []), (True, [6])])
async def test_what_left_is_not_in_stock_unless_it_came_back(world, stock, conn, back, noted):
    await world.leaves(6)
    if back:
        await presence.seen(conn, [Name(int(stock[5][:14]))], [], world.now + 2 * SECOND)
    await world.asks(stock[5])
    assert [one.device for one in await world.sightings()] == noted


async def test_what_is_only_announced_is_not_in_stock(world, stock, conn):
    await world.leaves(6)
    await conn.execute("UPDATE device SET arrived_in = NULL WHERE device_id = 1")
    await world.asks(stock[0])
    assert await world.sightings() == []


async def test_while_the_database_is_away_sightings_are_kept(world, stock, monkeypatch):
    """Those too that come just then."""
    number = await world.theft(stock[0])

    async def fails(*_: object, **__: object) -> None:
        await world.asks(stock[0])
        raise ConnectionError("the database is away")

    await world.asks(stock[0])
    with monkeypatch.context() as away:
        away.setattr(sightings, "note", fails)
        for _ in range(2):
            await world.lookout.write()
    (seen,) = await world.sightings(incident=number)
    assert seen.times == 3


@pytest.mark.parametrize("clear", [False, True])
async def test_who_fills_the_memory_hides_nothing_of_what_others_ask(
    world, stock, conn, now, monkeypatch, clear
):
    other = await keys.create(
        conn, name="Loud", role="carrier", by="cli", now=now, random=Random(5).randbytes
    )
    loud = Principal(other.key_id, "Loud", Role.CARRIER)
    monkeypatch.setattr(lookout, "MOST_CLEAR_OF_ONE" if clear else "MOST_OF_ONE", 3)
    await world.leaves(6)
    if not clear:
        await world.theft(*stock[:5])
    await world.asks(*stock[:5], by=loud)
    await world.asks(stock[4])
    found = await world.sightings()
    assert len([one for one in found if one.asked_by == loud.label]) == 3
    assert [one.imei for one in found if one.asked_by == world.carrier.label] == [stock[4][:14]]
    await world.asks(*stock[:5], by=loud)
    assert [one.times for one in await world.sightings() if one.asked_by == loud.label] == [2, 2, 2]


async def test_an_alert_tells_all_that_was_seen_and_who_was_the_last(world, stock):
    await world.theft(*stock[:3])
    for phone, via in ((stock[0], API), (stock[0], Via("n5g-eir", "mcc:208")), (stock[1], API)):
        await world.asks(phone, via=via)
        await world.lookout.write()
    (raised,) = await world.alerts()
    assert (raised.detail["sightings"], raised.detail["identifiers"]) == (3, 2)
    assert raised.detail["asked_by"] == world.carrier.label


async def test_who_reports_much_makes_one_alert_and_few_rows(world, stock, conn):
    numbers = [int(phone[:14]) for phone in stock[:3]]
    for place in range(2 * sightings.MOST_PLACES):
        said = [Reported(number, world.now, f"Lyon {place}", f"note {place}") for number in numbers]
        await transaction(
            world.pool, lambda c, said=said: sightings.report(c, world.carrier, said, world.now)
        )
    found = await world.sightings()
    assert len(found) == 3 * (sightings.MOST_PLACES + 1)
    assert sum(one.times for one in found) == 3 * 2 * sightings.MOST_PLACES
    (raised,) = await world.alerts()
    assert (raised.kind, raised.subject, raised.detail["identifiers"]) == (
        "report",
        f"key:{world.carrier.key_id}",
        3,
    )


async def test_old_sightings_go_but_for_those_of_incidents_that_are_open(world, stock, pool):
    number, ended = await world.theft(stock[0]), await world.theft(stock[1])
    await world.leaves(6)
    await world.asks(*stock[:3])
    assert len(await world.sightings()) == 3
    await transaction(pool, lambda conn: decide.withdraw(conn, world.reader, ended, "found", world.now))
    later = world.now + timedelta(days=400)
    assert await transaction(pool, lambda conn: sightings.forget(conn, world.now)) == 0
    assert await transaction(pool, lambda conn: sightings.forget(conn, later)) == 2
    assert [one.incident for one in await world.sightings()] == [number]


async def test_a_process_that_ends_rests_no_more(world, stock):
    """However long it would rest after what it has just written."""
    number = await world.theft(*stock[:2])
    await world.asks(stock[0])
    stopping = asyncio.Event()
    async with world.pool.acquire() as conn:
        await conn.execute("BEGIN; LOCK TABLE sighting")
        writing = asyncio.create_task(world.lookout.run(stopping))
        await asyncio.sleep(EVERY + 1.5)
        await world.asks(stock[1])
        await conn.execute("COMMIT")
    await asyncio.sleep(0.3)
    stopping.set()
    await asyncio.wait_for(writing, 2)
    assert len(await world.sightings(incident=number)) == 2
