"""Sightings and alerts against a real database: what is noted, what is not, and who is told."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from app.access import keys
from app.access.roles import Principal, Role
from app.alerts import alert
from app.alerts.alert import Alert
from app.blocklist import enumeration, sightings
from app.blocklist.ask import look_up
from app.blocklist.enumeration import Runs
from app.blocklist.sightings import GRACE, Sighting, Wanted
from app.blocklist.standing import Standing, Status
from app.blocklist.witness import EVERY, Via, Witness
from app.core.db import transaction
from app.devices import presence
from app.devices.naming import Name
from app.incidents import decide
from app.incidents.scope import Scope

API = Via("api")
SECOND = timedelta(seconds=1)


class World:
    """One web process's witness, an asker from outside, and a clock."""

    def __init__(
        self, pool: Any, now: datetime, carrier: Principal, reader: Principal, approver: Principal
    ) -> None:
        self.pool, self.now, self.carrier, self.reader, self.approver = pool, now, carrier, reader, approver
        self.witness = Witness(pool, lambda: self.now)

    async def asks(self, *numbers: str, by: Principal | None = None, via: Via = API) -> None:
        asked = [int(number[:14]) for number in numbers]
        async with self.pool.acquire() as conn:
            found = await look_up(conn, sorted(set(asked)))
        self.witness.saw_many(by or self.carrier, via, asked, found)

    async def theft(self, *imeis: str, approved: bool = True) -> int:
        said = decide.Draft(title="Paris", scope=Scope(imeis=imeis))
        number = (await transaction(self.pool, lambda c: decide.draft(c, self.reader, said, self.now))).id
        await transaction(self.pool, lambda conn: decide.submit(conn, self.reader, number, self.now))
        if approved:
            await transaction(self.pool, lambda conn: decide.approve(conn, self.approver, number, self.now))
        return number

    async def sees(self, alert_id: int) -> bool:
        return await transaction(self.pool, lambda conn: alert.see(conn, self.reader, alert_id, self.now))

    async def sightings(self, **wanted: Any) -> list[Sighting]:
        await self.witness.write()
        async with self.pool.acquire() as conn:
            return await sightings.listed(conn, self.reader, Wanted(**wanted), limit=1000)

    async def alerts(self) -> list[Alert]:
        async with self.pool.acquire() as conn:
            return await alert.listed(conn, self.reader, seen=False)

    async def judged(self, later: timedelta = GRACE + SECOND) -> list[Alert]:
        self.now += later
        await transaction(self.pool, lambda conn: sightings.judge(conn, self.now))
        return await self.alerts()

    async def leaves(self, *devices: int, seconds: int = 1) -> None:
        async with self.pool.acquire() as conn:
            at = self.now + seconds * SECOND
            imeis = await conn.fetch("SELECT keys[1] FROM device WHERE device_id = ANY ($1)", devices)
            await presence.left(conn, [Name(row[0]) for row in imeis], [], at)


@pytest.fixture
async def carrier(conn: Any, now: datetime) -> Principal:
    made = await keys.create(
        conn, name="Operator Nord", role="carrier", by="cli", now=now, random=Random(24).randbytes
    )
    return Principal(made.key_id, "Operator Nord", Role.CARRIER)


@pytest.fixture
def world(pool: Any, now: datetime, carrier: Principal, manager: Principal, approver: Principal) -> World:
    return World(pool, now, carrier, manager, approver)


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
        await world.witness.write()
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
    await world.witness.write()
    await transaction(world.pool, lambda conn: decide.approve(conn, world.approver, number, world.now))
    await world.asks(stock[0])
    assert [one.status for one in await world.sightings(incident=number)] == ["suspect", "blocked"]


async def test_a_new_alert_is_raised_after_somebody_has_looked(world, stock):
    await world.theft(*stock[:3])
    numbers = []
    for phone in stock[:3]:
        await world.asks(phone)
        await world.witness.write()
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
        await world.witness.write()
    bodies = await conn.fetch("SELECT body FROM audit_entry WHERE kind = 'alert.raised'")
    assert [f'"subject":"incident:{number}"' in row["body"] for row in bodies] == [True]


async def test_the_owners_own_people_are_no_sighting(world, stock, conn):
    await world.theft(stock[0])
    for own in (world.reader, world.approver):
        await world.asks(stock[0], by=own)
    await world.witness.write()
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
    await world.witness.write()
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
            await world.witness.write()
    (seen,) = await world.sightings(incident=number)
    assert seen.times == 3


async def test_one_number_after_the_other_is_an_alert_whatever_process_hears_it(pool, world):
    """Three processes, each of which hears every third question."""
    runs = [Runs() for _ in range(3)]
    for place in range(60):
        runs[place % 3].add(world.carrier.key_id, [35_209900_000100 + place], world.now)
    for each in runs:
        await transaction(pool, lambda conn, each=each: enumeration.guard(conn, each.news(), world.now))
    (raised,) = await world.alerts()
    assert (raised.kind, raised.subject) == ("enumeration", f"key:{world.carrier.key_id}")
    assert (raised.detail["from"], raised.detail["asked"]) == ("35209900000100", 60)


@pytest.mark.parametrize("asked", [range(0, 60_000, 13), [7] * 500, range(40)], ids=["far", "same", "few"])
async def test_other_questions_are_none(pool, world, asked):
    runs = Runs()
    runs.add(world.carrier.key_id, [35_209900_000000 + number for number in asked], world.now)
    await transaction(pool, lambda conn: enumeration.guard(conn, runs.news(), world.now))
    assert await world.alerts() == []


async def test_numbers_that_were_asked_for_long_ago_count_no_more(pool, world):
    runs = Runs()
    for part in (range(30), range(30, 60)):
        runs.add(world.carrier.key_id, [35_209900_000000 + place for place in part], world.now)
        await transaction(pool, lambda conn: enumeration.guard(conn, runs.news(), world.now))
        world.now += enumeration.MEMORY + SECOND
    assert await world.alerts() == []


async def test_who_asks_by_serial_asks_for_no_numbers_in_a_row(world):
    """Serials have numbers of ours, one after the other."""
    for number in range(60):
        world.witness.saw(world.carrier, API, -1100 - number, Standing(Status.UNKNOWN))
    await world.witness.write()
    assert await world.alerts() == []


async def test_numbers_in_a_row_are_not_forgotten_while_the_database_is_away(world, monkeypatch):
    async def fails(*_: object, **__: object) -> None:
        raise ConnectionError("the database is away")

    for place in range(60):
        world.witness.saw(world.carrier, API, 35_209900_000100 + place, Standing(Status.UNKNOWN))
    with monkeypatch.context() as away:
        away.setattr(enumeration, "guard", fails)
        await world.witness.write()
    assert await world.alerts() == []
    await world.witness.write()
    assert [one.kind for one in await world.alerts()] == ["enumeration"]


async def test_a_process_that_ends_rests_no_more(world, stock):
    """However long it would rest after what it has just written."""
    number = await world.theft(*stock[:2])
    await world.asks(stock[0])
    stopping = asyncio.Event()
    async with world.pool.acquire() as conn:
        await conn.execute("BEGIN; LOCK TABLE sighting")
        writing = asyncio.create_task(world.witness.run(stopping))
        await asyncio.sleep(EVERY + 1.5)
        await world.asks(stock[1])
        await conn.execute("COMMIT")
    await asyncio.sleep(0.3)
    stopping.set()
    await asyncio.wait_for(writing, 2)
    assert len(await world.sightings(incident=number)) == 2
