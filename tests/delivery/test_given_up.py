"""What cannot be told: one bad order is found among the good ones, and given up with a reason; nothing waits for it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from aiohttp import web
from structlog.testing import capture_logs

from app.access.roles import Principal, Role
from app.core.db import transaction
from app.core.imei import full
from app.delivery import again, partners
from app.delivery.again import Again, Replay, Which
from app.delivery.progress import GivenUp, Outstanding, given_up, outstanding, refusals
from app.sandbox.faults import Faults

from .conftest import utc_now

ADMIN = Principal("ada", "Ada", Role.ADMIN)


async def partner_that_chokes_on(town, imei: str) -> tuple[int, list[int]]:
    """A webhook that answers 500 to every message in which this IMEI stands; and how many orders each held."""
    sizes: list[int] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.text()
        sizes.append(len(msgspec.json.decode(body)["data"]["identifiers"]))
        return web.Response(status=500 if imei in body else 204)

    return await town.listener("choking", take), sizes


async def test_a_batch_that_fails_as_a_whole_is_told_in_ever_smaller_parts(town, pool, keys):
    lane = [35_555555_000000 + 16 * number for number in range(32)]
    _, sizes = await partner_that_chokes_on(town, full(lane[13]))
    incident = await town.incident()
    await town.block(incident, lane)
    async with town.worker() as desk:
        while (await town.standings(incident))["choking"].block.done < 31:
            await pool.execute("UPDATE delivery SET next_at = now() WHERE state = 0 AND next_at > now()")
            await pool.execute("UPDATE partner_lane SET next_at = now() WHERE pending > 0")
            await pool.execute("UPDATE partner_pace SET resume_at = now()")
        assert not desk.stopping.is_set()
    assert sizes[:3] == [32, 32, 16]
    assert 1 in sizes


async def test_what_has_been_tried_for_a_fortnight_is_parked_with_the_last_words(town, pool, keys):
    number = await town.partner("webhook", faults=Faults(fail_rate=1.0))
    incident = await town.incident()
    await town.block(incident, keys(3))
    tried = "UPDATE delivery SET waits_since = now() - $1::interval WHERE lane {} (SELECT min(lane) FROM delivery)"
    await pool.execute(tried.format(">"), timedelta(days=13, hours=23))
    await pool.execute(tried.format("="), timedelta(days=14, hours=1))
    async with town.worker():
        found = await town.until(incident, lambda all_: all_["webhook"].block.parked == 1)
    assert found["webhook"].block.open == 2
    async with pool.acquire() as conn:
        given_up = await refusals(conn, incident, number, after=0, limit=10)
    assert {(it.code, it.state) for it in given_up} == {("late", "parked")}
    assert "HTTP 500" in given_up[0].words


async def test_what_a_partner_put_off_for_a_fortnight_is_parked_with_its_words(town, pool):
    """Its calls are answered, and the neighbours taken; this one order never is."""
    lane = [35_555555_000000 + 16 * number for number in range(3)]
    number = await town.listener("tardy", _putting_off(full(lane[1])))
    incident = await town.incident()
    await town.block(incident, lane)
    await pool.execute("UPDATE delivery SET waits_since = now() - interval '15 days'")
    async with town.worker():
        found = await town.until(incident, lambda all_: all_["tardy"].block.parked == 1)
    assert found["tardy"].block.done == 2
    async with pool.acquire() as conn:
        (given_up,) = await refusals(conn, incident, number, after=0, limit=10)
    assert given_up.words == "Given up after 1 round of tries; the last came to: still-syncing"


def _putting_off(imei: str):
    async def take(request: web.Request) -> web.Response:
        told = [
            told["identifier"] for told in msgspec.json.decode(await request.read())["data"]["identifiers"]
        ]
        results = [
            {"identifier": it, "outcome": "retry", "code": "still-syncing"}
            if it == imei
            else {"identifier": it, "outcome": "done"}
            for it in told
        ]
        return web.json_response({"results": results})

    return take


async def test_a_pause_is_no_trying(town, pool, keys):
    number = await town.partner("webhook", faults=Faults(fail_rate=1.0))
    await transaction(pool, lambda conn: partners.pause(conn, number, "maintenance"))
    incident = await town.incident()
    await town.block(incident, keys(3))
    await pool.execute("UPDATE delivery SET waits_since = now() - interval '20 days'")
    await transaction(pool, lambda conn: partners.resume(conn, number))
    async with town.worker():
        found = await town.until(incident, lambda all_: all_["webhook"].block.failed_calls > 0)
        assert found["webhook"].block.parked == 0


async def test_where_workers_died_again_and_again_orders_are_told_one_by_one(town, pool):
    await town.partner("webhook")
    lane = [35_555555_000000 + 16 * number for number in range(9)]
    incident = await town.incident()
    await town.block(incident, lane)
    died = "UPDATE partner_lane SET lapses = $1, lease_until = now() - interval '1 second' WHERE pending > 0"
    await pool.execute(died, 2)
    async with town.worker():
        found = await town.settled(incident)
    assert found["webhook"].block.done == 9
    assert town.stages["webhook"].ledger.calls == 9
    assert await pool.fetchval("SELECT max(lapses) FROM partner_lane") == 0


async def died_at(pool, place: int, *, chunk: str = "min(chunk_id)") -> None:
    """Four workers, the last of them careful, died when they were about to tell this order."""
    await pool.execute(
        "UPDATE partner_lane AS l SET lapses = 4, lease_until = now() - interval '1 second', told_place = $1,"
        f" told_chunk = (SELECT {chunk} FROM delivery WHERE lane = l.lane) WHERE pending > 0",
        place,
    )


async def test_at_which_workers_died_is_parked_and_the_others_are_told(town, pool):
    number = await town.partner("webhook")
    lane = [35_555555_000000 + 16 * number for number in range(9)]
    incident = await town.incident()
    await town.block(incident, lane)
    await died_at(pool, 1)
    async with town.worker():
        found = await town.settled(incident)
    assert (found["webhook"].block.done, found["webhook"].block.parked) == (8, 1)
    async with pool.acquire() as conn:
        [given_up] = await refusals(conn, incident, number, after=0, limit=10)
    assert (given_up.identifier, given_up.code) == (full(lane[0]), "poison")


async def test_what_has_come_before_the_one_at_which_workers_died_is_not_to_blame(town, pool):
    """They died at the second delivery of the lane; a more urgent one has come since."""
    await town.partner("webhook")
    lane = [35_555555_000000 + 16 * number for number in range(9)]
    first, second = await town.incident(), await town.incident()
    await town.block(first, lane[:4])
    await town.block(second, lane[4:])
    await died_at(pool, 1, chunk="max(chunk_id)")
    async with town.worker():
        assert (await town.settled(first))["webhook"].block.done == 4
        assert (await town.settled(second))["webhook"].block.done == 5


async def test_the_neighbour_of_what_was_taken_back_meanwhile_is_not_to_blame(town, pool):
    await town.partner("webhook")
    lane = [35_555555_000000 + 16 * number for number in range(9)]
    incident = await town.incident()
    await town.block(incident, lane)
    await died_at(pool, 1)
    await town.release(incident, lane[:1])
    async with town.worker():
        found = await town.settled(incident)
    assert (found["webhook"].block.done, found["webhook"].block.parked) == (8, 0)


async def left(pool, number: int) -> tuple[Outstanding, str]:
    async with pool.acquire() as conn:
        found = (await outstanding(conn))[number]
        return found, found.health(await partners.find(conn, number))


async def replay(pool, number: int) -> Again:
    wanted = Replay(which=Which.PARKED)
    return await transaction(pool, lambda conn: again.replay(conn, ADMIN, number, wanted, utc_now()))


async def test_what_is_parked_is_seen_without_opening_its_incident(town, pool, keys):
    number = await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(1))
    await died_at(pool, 1)
    with capture_logs() as log:
        async with town.worker():
            standing = (await town.settled(incident))["webhook"]
    assert standing.health == "parked"
    assert await left(pool, number) == (Outstanding(parked=1), "parked")
    async with pool.acquire() as conn:
        assert await given_up(conn) == [GivenUp(number, "webhook", incident, "t", 1)]
        note = (await outstanding(conn))[number].note(await partners.find(conn, number))
    assert note == "1 parked: 'imei-gateway partner parked' says where, and what to do"
    [event] = [event for event in log if event["event"] == "delivery.parked"]
    said = {name: event[name] for name in ("partner", "incident", "identifiers", "code")}
    assert said == {"partner": number, "incident": incident, "identifiers": 1, "code": "poison"}


async def test_what_is_given_up_again_counts_once_and_what_is_told_after_all_no_more(town, pool, keys):
    number = await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(1))
    for _ in range(2):
        await died_at(pool, 1, chunk="max(chunk_id)")
        async with town.worker():
            await town.settled(incident)
        assert (await left(pool, number))[0] == Outstanding(parked=1)
        assert await replay(pool, number) == Again(1, 0)
        assert (await left(pool, number))[0] == Outstanding(pending=1, parked=1)
    async with town.worker():
        standing = (await town.settled(incident))["webhook"]
    assert (standing.health, standing.parked) == ("working", 0)
    assert await left(pool, number) == (Outstanding(), "working")


async def test_what_is_refused_again_counts_once(town, pool, keys):
    number = await town.partner("ceir", faults=Faults(refuse_rate=1.0))
    incident = await town.incident()
    await town.block(incident, keys(3))
    async with town.worker():
        await town.settled(incident)
        await transaction(pool, lambda conn: again.replay(conn, ADMIN, number, Replay(), utc_now()))
        await town.settled(incident)
        assert (await left(pool, number))[0] == Outstanding(refused=3)
        town.stages["ceir"].misbehaviour.order(Faults())
        await transaction(pool, lambda conn: again.replay(conn, ADMIN, number, Replay(), utc_now()))
        await town.settled(incident)
    assert (await left(pool, number))[0] == Outstanding()


async def test_a_parked_block_that_was_released_since_is_parked_no_more(town, pool, keys):
    number = await town.partner("webhook")
    incident = await town.incident()
    await town.block(incident, keys(1))
    await died_at(pool, 1)
    async with town.worker():
        await town.settled(incident)
        assert (await left(pool, number))[0] == Outstanding(parked=1)
        await town.release(incident, keys(1))
        await town.settled(incident)
    assert await left(pool, number) == (Outstanding(), "working")
