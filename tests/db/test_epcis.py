"""Captures in the database: one transaction or event by event, the same event again, and what the hook is told."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from app.audit.read import entries
from app.core.db import transaction
from app.core.errors import Conflict, Forbidden, Invalid, Missing
from app.epcis import capture, query
from app.epcis.document import STANDARD_CONTEXT, read_alone, read_document
from app.epcis.effects import Aggregated, Register
from app.epcis.query import Wanted
from app.epcis.store import Behaviour

from .conftest import NOW

SSCC = "https://id.gs1.org/00/106141412345678908"
ERROR = {"declarationTime": "2026-12-22T01:00:00Z", "reason": "did_not_occur"}


async def only_stored(*_: Any) -> None:
    """Nothing follows from events here."""


def phone(number: int) -> str:
    return f"urn:gsma:imei:35209900-{number:06d}-0"


def received(number: int, **members: Any) -> dict[str, Any]:
    return {
        "type": "ObjectEvent", "eventID": f"urn:x:{number}", "action": "ADD", "bizStep": "receiving",
        "eventTime": "2026-12-21T10:00:00+01:00", "eventTimeZoneOffset": "+01:00", "epcList": [phone(number)],
        **members,
    }  # fmt: skip


def packed(number: int, **members: Any) -> dict[str, Any]:
    event = received(
        number, type="AggregationEvent", bizStep="packing", parentID=SSCC, childEPCs=[phone(number)]
    )
    event.update(members)
    del event["epcList"]
    return event


def reads(*events: Any, context: Any = STANDARD_CONTEXT):
    value = {
        "@context": context, "type": "EPCISDocument", "schemaVersion": "2.0",
        "creationDate": "2026-12-21T10:05:00Z", "epcisBody": {"eventList": events},
    }  # fmt: skip
    body = json.dumps(value).encode()
    return read_document(body, 100_000, NOW)


class Heard:
    """A handler that notes what it is told, and fails for some events."""

    def __init__(self, fails: dict[str, Exception] | None = None) -> None:
        self.told: list[tuple[str, list[type]]] = []
        self.actors: set[str] = set()
        self._fails = fails or {}

    async def __call__(self, conn, actor, event, effects, now) -> None:
        self.told.append((event.event_id, [type(one) for one in effects]))
        self.actors.add(actor.key_id)
        if event.event_id in self._fails:
            await conn.fetchval("SELECT count(*) FROM device")
            raise self._fails[event.event_id]


@pytest.fixture
def accepts(pool, warehouse):
    """Accepts events as a capture and gives its number."""

    async def accept(*events, behaviour=Behaviour.ROLLBACK, now=NOW, actor=warehouse) -> int:
        said = {"behaviour": behaviour, "digest": bytes(32), "now": now}
        return await transaction(pool, lambda conn: capture.accept(conn, actor, reads(*events), **said))

    return accept


@pytest.fixture
def works(pool):
    """Works until nothing is left, and gives the number of steps."""

    async def work(carry=only_stored, now=NOW) -> int:
        steps = 0
        while await transaction(pool, lambda conn: capture.work(conn, carry, now)):
            steps += 1
        return steps

    return work


@pytest.fixture
def stored(pool, warehouse):
    """The events that are stored and fit the question."""

    async def ask(**wanted: Any) -> list[dict[str, Any]]:
        async with pool.acquire() as conn:
            page = await query.find(conn, warehouse, Wanted(**wanted), after=0, limit=1000)
        return [json.loads(event) for event in page.events]

    return ask


@pytest.fixture
def job(pool, warehouse):
    async def ask(capture_id: int):
        async with pool.acquire() as conn:
            return await capture.find(conn, warehouse, capture_id)

    return ask


async def test_a_capture_waits_and_is_stored(accepts, works, stored, job):
    number = await accepts(received(1), packed(2))
    assert (await job(number)).finished_at is None
    assert await stored() == []
    heard = Heard()
    assert await works(heard, NOW + timedelta(seconds=2)) == 1
    found = await job(number)
    assert (found.finished_at, found.failures) == (NOW + timedelta(seconds=2), [])
    one, two = await stored()
    assert one == {**received(1), "recordTime": "2026-12-22T02:00:02.000Z"}
    assert two["eventID"] == "urn:x:2"
    assert heard.told == [("urn:x:1", [Register]), ("urn:x:2", [Aggregated])]
    assert heard.actors == {"dock"}


async def test_the_same_again_changes_nothing(accepts, works, stored):
    await accepts(received(1), packed(2))
    await works()
    before = await stored()
    heard = Heard()
    await accepts(received(1), packed(2), received(3))
    await works(heard, NOW + timedelta(days=1))
    assert heard.told == [("urn:x:3", [Register])]
    assert (await stored())[:2] == before


async def test_an_event_without_identity_is_the_same_event_again(accepts, works, stored):
    event = received(1)
    del event["eventID"]
    heard = Heard()
    for _ in range(2):
        await accepts(event)
        await works(heard)
    (one,) = await stored()
    assert one["eventID"].startswith("urn:uuid:")
    assert heard.told == [(one["eventID"], [Register])]


async def test_an_event_twice_in_one_document_is_one(accepts, works, stored):
    heard = Heard()
    await accepts(received(1), received(1))
    await works(heard)
    assert len(await stored()) == len(heard.told) == 1


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_an_identity_stands_for_one_event(accepts, works, stored, job, behaviour):
    await accepts(received(1))
    await works()
    number = await accepts(received(2), received(1, action="OBSERVE"), behaviour=behaviour)
    await works()
    (failure,) = (await job(number)).failures
    assert (failure.code, failure.ours) == ("event-differs", False)
    kept = [event["eventID"] for event in await stored()]
    assert kept == (["urn:x:1"] if behaviour is Behaviour.ROLLBACK else ["urn:x:1", "urn:x:2"])
    assert (await stored(event_id="urn:x:1"))[0]["action"] == "ADD"


async def test_rollback_refuses_flaws_at_once(accepts, pool):
    with pytest.raises(Invalid) as error:
        await accepts(received(1), received(2, action="x"), received(3, eventTime="y"))
    assert [flaw.pointer for flaw in error.value.flaws] == [
        "/epcisBody/eventList/1/action",
        "/epcisBody/eventList/2/eventTime",
    ]
    assert await pool.fetchval("SELECT count(*) FROM epcis_capture") == 0


async def test_rollback_keeps_all_or_nothing(accepts, works, stored, job, pool):
    refusing = Heard({"urn:x:1100": Conflict("No such site.", "site-unknown")})
    number = await accepts(*map(received, range(1200)))
    await works(refusing)
    assert await stored() == []
    found = await job(number)
    assert found.finished_at is not None
    assert [(one.detail, one.code) for one in found.failures] == [("No such site.", "site-unknown")]
    assert await pool.fetchval("SELECT place FROM epcis_capture_error") == 1100
    counts = await pool.fetchrow("SELECT events, stored, known, failed FROM epcis_capture")
    assert tuple(counts) == (1200, 0, 0, 1200)
    assert await pool.fetchval("SELECT count(*) FROM epcis_pending") == 0


async def test_proceed_keeps_what_is_good(accepts, works, stored, job, pool):
    refusing = Heard({f"urn:x:{number}": Conflict("No such site.", "site-unknown") for number in (3, 700)})
    events = [received(number) for number in range(1200)]
    events[5] = received(5, action="x", bizStep="y")
    number = await accepts(*events, behaviour=Behaviour.PROCEED)
    assert await works(refusing) == 4
    assert await pool.fetchval("SELECT count(*) FROM epcis_event") == 1197
    failures = (await job(number)).failures
    assert [one.code for one in failures] == ["site-unknown", "event-wrong", "site-unknown"]
    assert {flaw.pointer for flaw in failures[1].flaws} == {
        "/epcisBody/eventList/5/action",
        "/epcisBody/eventList/5/bizStep",
    }
    counts = await pool.fetchrow("SELECT events, stored, known, failed FROM epcis_capture")
    assert tuple(counts) == (1200, 1197, 0, 3)


async def test_a_long_capture_is_worked_in_slices_that_others_can_see(accepts, pool):
    await accepts(*map(received, range(1200)), behaviour=Behaviour.PROCEED)
    seen = []
    while await transaction(pool, lambda conn: capture.work(conn, only_stored, NOW)):
        seen.append(await pool.fetchval("SELECT stored FROM epcis_capture"))
    assert seen == [500, 1000, 1200, 1200]


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_a_fault_of_ours_ends_the_capture_and_is_called_ours(accepts, works, job, behaviour):
    number = await accepts(received(1), behaviour=behaviour)
    await works(Heard({"urn:x:1": RuntimeError("password=secret")}))
    (failure,) = (await job(number)).failures
    assert (failure.ours, failure.code) == (True, "internal")
    assert "secret" not in failure.detail


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_a_fault_that_passes_is_tried_again(accepts, works, stored, job, behaviour):
    number = await accepts(received(1), behaviour=behaviour)
    with pytest.raises(OSError, match="away"):
        await works(Heard({"urn:x:1": OSError("away")}))
    assert (await job(number)).finished_at is None
    await works()
    assert [event["eventID"] for event in await stored()] == ["urn:x:1"]
    assert (await job(number)).failures == []


async def test_captures_are_worked_in_their_order_by_one_worker_at_a_time(accepts, pool):
    await accepts(received(1))
    await accepts(received(2))
    heard = Heard()
    async with pool.acquire() as first, first.transaction():
        assert await capture.work(first, heard, NOW) == 1
        async with pool.acquire() as second, second.transaction():
            assert await capture.work(second, heard, NOW) == 0
    assert [event_id for event_id, _ in heard.told] == ["urn:x:1"]


async def test_what_the_handler_wrote_goes_with_what_is_undone(accepts, works, pool):
    async def writing(conn, actor, event, effects, now) -> None:
        await conn.execute("INSERT INTO serial_number (serial, gtin) VALUES ($1, '')", event.event_id)
        if event.event_id == "urn:x:2":
            raise Conflict("no")

    await accepts(received(1), received(2))
    await works(writing)
    assert await pool.fetchval("SELECT count(*) FROM serial_number") == 0
    await accepts(received(3), received(2), received(4), behaviour=Behaviour.PROCEED)
    await works(writing)
    assert {row["serial"] for row in await pool.fetch("SELECT serial FROM serial_number")} == {
        "urn:x:3",
        "urn:x:4",
    }


async def test_every_capture_is_on_the_log(accepts, works, pool):
    number = await accepts(received(1), received(1))
    await works()
    async with pool.acquire() as conn:
        found = await entries(conn, after=0, limit=10, subject=f"capture:{number}", kind=None)
    assert [one.body["kind"] for one in found] == ["capture.accepted", "capture.finished"]
    assert all(one.body["actor"] == "key:dock (Dock)" for one in found)
    assert found[1].body["detail"] == {
        "behaviour": "rollback",
        "events": 2,
        "stored": 1,
        "known": 1,
        "failed": 0,
    }


async def test_an_event_and_the_declaration_that_it_was_wrong(accepts, works, stored, pool, warehouse):
    heard = Heard()
    await accepts(received(1))
    await accepts(received(1, errorDeclaration=ERROR))
    await accepts(received(1, errorDeclaration=ERROR))
    await works(heard)
    assert [kinds[0].__name__ for _, kinds in heard.told] == ["Register", "Withdrawn"]
    assert len(await stored(event_id="urn:x:1")) == 2
    (declared,) = await stored(errors_only=True)
    assert declared["errorDeclaration"] == ERROR
    async with pool.acquire() as conn:
        assert json.loads(await query.find_one(conn, warehouse, "urn:x:1")) == declared


async def test_an_event_is_compared_with_the_event_and_not_with_its_declaration(accepts, works, stored, job):
    declared = received(1, action="OBSERVE", errorDeclaration=ERROR)
    # Either order: the table answers in whatever order it likes.
    events = [received(1), declared, received(2, action="OBSERVE", errorDeclaration=ERROR), received(2)]
    for _ in range(2):
        for event in events:
            number = await accepts(event)
            await works()
            assert (await job(number)).failures == []
    number = await accepts(received(1, bizStep="commissioning"))
    await works()
    assert [one.code for one in (await job(number)).failures] == ["event-differs"]


async def test_an_event_that_was_declared_wrong_before_is_stored_and_not_carried_out(accepts, works, stored):
    heard = Heard()
    for events in ([received(1, errorDeclaration=ERROR)], [received(1), received(2)]):
        await accepts(*events)
        await works(heard)
    await accepts(
        received(3, errorDeclaration=ERROR), received(3), received(4), received(4, errorDeclaration=ERROR)
    )
    await works(heard)
    assert [(event_id, kinds[0].__name__) for event_id, kinds in heard.told] == [
        ("urn:x:1", "Withdrawn"),
        ("urn:x:2", "Register"),
        ("urn:x:3", "Withdrawn"),
        ("urn:x:4", "Register"),
        ("urn:x:4", "Withdrawn"),
    ]
    assert len(await stored()) == 7


@pytest.fixture
def alone(pool, warehouse):
    async def store(event: dict[str, Any], carry=only_stored) -> str:
        body = json.dumps(event).encode()
        work = partial(
            capture.capture_alone,
            actor=warehouse,
            read=read_alone(body, NOW),
            carry=carry,
            digest=bytes(32),
            now=NOW,
        )
        return await transaction(pool, work)

    return store


async def test_one_event_is_stored_at_once(alone, stored, pool):
    heard = Heard()
    assert await alone(received(1), heard) == "urn:x:1"
    assert await alone(received(1), heard) == "urn:x:1"
    assert [event["eventID"] for event in await stored()] == ["urn:x:1"]
    assert heard.told == [("urn:x:1", [Register])]
    assert await pool.fetchval("SELECT count(*) FROM epcis_capture WHERE finished_at IS NULL") == 0


async def test_one_event_that_is_refused_leaves_nothing(alone, pool):
    await alone(received(1))
    with pytest.raises(Conflict, match="stands for another event"):
        await alone(received(1, action="OBSERVE"))
    with pytest.raises(Conflict, match="no site"):
        await alone(received(2), Heard({"urn:x:2": Conflict("no site")}))
    assert await pool.fetchval("SELECT count(*) FROM epcis_capture") == 1
    assert await pool.fetchval("SELECT count(*) FROM audit_entry") == 1


async def test_contexts_of_documents_go_with_their_events(pool, warehouse, works, stored):
    own = {"my": "urn:my:"}
    said = {"behaviour": Behaviour.ROLLBACK, "digest": bytes(32), "now": NOW}
    for number, context in ((1, [STANDARD_CONTEXT, own]), (2, STANDARD_CONTEXT)):
        event = received(number, **{"my:truck": "B-52"})
        await transaction(
            pool,
            lambda conn, c=context, e=event: capture.accept(conn, warehouse, reads(e, context=c), **said),
        )
    await works()
    one, two = await stored()
    assert one["@context"] == [STANDARD_CONTEXT, own]
    assert "@context" not in two


async def test_who_may(accepts, manager, pool):
    with pytest.raises(Forbidden):
        await accepts(received(1), actor=manager)
    async with pool.acquire() as conn:
        with pytest.raises(Missing):
            await capture.find(conn, manager, 999)
        with pytest.raises(Missing):
            await query.find_one(conn, manager, "urn:x:none")
