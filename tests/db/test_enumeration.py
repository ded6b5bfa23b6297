"""Who asks for one number after the other is found out, in whatever order; who meets many handsets is not."""

from __future__ import annotations

from random import Random

import pytest

from app.blocklist import enumeration
from app.blocklist.enumeration import Runs
from app.blocklist.standing import Standing, Status
from app.core.db import transaction

from .asking import API, SECOND


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


STRIDES = [number for begin in range(24) for number in range(begin, 120_000, 24)]
HALVES = [number for number in range(3_000) if number % 100 < 49]


@pytest.mark.parametrize("asked", [STRIDES, HALVES, HALVES[::-1]], ids=["strides", "49 of 100", "backwards"])
async def test_no_order_hides_that_all_are_asked_for(pool, world, asked):
    """In parts, as a process counts them."""
    runs = Runs()
    for at in range(0, len(asked), 5_000):
        runs.add(
            world.carrier.key_id, [35_209900_000000 + number for number in asked[at : at + 5_000]], world.now
        )
        await transaction(pool, lambda conn: enumeration.guard(conn, runs.news(), world.now))
    (raised,) = await world.alerts()
    assert raised.kind == "enumeration"
    assert raised.detail["asked"] >= enumeration.DENSE


async def test_who_meets_many_handsets_is_no_such(pool, world):
    """A marketplace, in bulk: 200,000 of forty models of which there are a million each."""
    chance, runs = Random(7), Runs()
    for _ in range(40):
        asked = [35_209900_000000 + chance.randrange(40_000_000) for _ in range(5_000)]
        runs.add(world.carrier.key_id, asked, world.now)
        await transaction(pool, lambda conn: enumeration.guard(conn, runs.news(), world.now))
    assert await world.alerts() == []


OTHERS = {"far": range(0, 60_000, 13), "same": [7] * 500, "few": range(40)}


@pytest.mark.parametrize("asked", OTHERS.values(), ids=OTHERS)
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
        world.lookout.saw(world.carrier, API, -1100 - number, Standing(Status.UNKNOWN))
    await world.lookout.write()
    assert await world.alerts() == []


async def test_numbers_in_a_row_are_not_forgotten_while_the_database_is_away(world, monkeypatch):
    async def fails(*_: object, **__: object) -> None:
        raise ConnectionError("the database is away")

    for place in range(60):
        world.lookout.saw(world.carrier, API, 35_209900_000100 + place, Standing(Status.UNKNOWN))
    with monkeypatch.context() as away:
        away.setattr(enumeration, "guard", fails)
        await world.lookout.write()
    assert await world.alerts() == []
    await world.lookout.write()
    assert [one.kind for one in await world.alerts()] == ["enumeration"]
