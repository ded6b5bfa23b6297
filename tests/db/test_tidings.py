"""What follows from events, in the database: who waits for whom, which pallet a device is taken off, and when."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from typing import Any

import pytest

from app.core import imei
from app.core.db import transaction
from app.core.errors import Conflict
from app.devices.incoming import here
from app.devices.intake import Defaults, Format, read
from app.devices.receipts import Terms
from app.devices.register import MET_ANOTHER, register
from app.epcis import capture
from app.epcis.document import read_alone
from app.epcis.store import Behaviour
from app.incidents.tidings import carry

from .conftest import NOW
from .test_epcis import ERROR, packed, phone, reads, received


def number(phone_number: int) -> str:
    """The IMEI of `phone(phone_number)`."""
    return imei.full(35_209900_000000 + phone_number)


@pytest.fixture
def accepts(pool, warehouse):
    async def accept(*events, behaviour=Behaviour.ROLLBACK) -> int:
        said = {"behaviour": behaviour, "digest": bytes(32), "now": NOW}
        return await transaction(pool, lambda conn: capture.accept(conn, warehouse, reads(*events), **said))

    return accept


@pytest.fixture
def works(pool):
    """Works as the worker does, until nothing is left."""

    async def work() -> None:
        while await transaction(pool, lambda conn: capture.work(conn, carry, NOW), also=MET_ANOTHER):
            pass

    return work


@pytest.fixture
def failures(pool, warehouse):
    """How a capture failed, once it is finished."""

    async def ask(capture_id: int):
        async with pool.acquire() as conn:
            found = await capture.find(conn, warehouse, capture_id)
        assert found.finished_at is not None
        return found.failures

    return ask


@pytest.fixture
def tells(accepts, works, failures):
    """Captures these events, all of which are stored."""

    async def tell(*events) -> None:
        capture_id = await accepts(*events)
        await works()
        assert await failures(capture_id) == []

    return tell


@pytest.fixture
def stands(pool):
    """The pallet on which `phone(number)` stands."""

    async def ask(phone_number: int) -> str:
        key = 35_209900_000000 + phone_number
        query = "SELECT pallet FROM device JOIN device_imei USING (device_id) WHERE key = $1"
        found: str = await pool.fetchval(query, key)
        return found

    return ask


def on(sscc: str, *phones: int, at: str, action: str = "ADD", **members: Any) -> dict[str, Any]:
    """Phones that went onto a pallet, or (DELETE) came off it: all of it where none is named."""
    event_id = f"urn:x:{action}:{sscc}:{at}"
    said = {"eventID": event_id, "action": action, "eventTime": f"2026-12-21T{at}Z", **members}
    return packed(
        0, parentID=f"https://id.gs1.org/00/{sscc}", childEPCs=[phone(one) for one in phones], **said
    )


P, Q = "106141412345678908", "340123450000000018"


async def upload(conn, actor, *imeis: str) -> None:
    body = "\n".join(["imei1", *imeis, ""]).encode()
    goods = here(read(io.BytesIO(body), Format.CSV, Defaults()))
    await register(conn, actor, goods, Terms("test", hashlib.sha256(body).digest()), now=NOW)


async def somebody_waits(pool) -> None:
    async with asyncio.timeout(20):
        while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_an_event_that_meets_an_upload_is_carried_out_after_it(
    accepts, works, failures, pool, warehouse, behaviour
):
    async with pool.acquire() as conn, conn.transaction():
        await upload(conn, warehouse, number(1))
    capture_id = await accepts(received(1, epcList=[phone(1), phone(2), phone(3)]), behaviour=behaviour)
    async with pool.acquire() as conn, conn.transaction():
        await upload(conn, warehouse, number(2))
        working = asyncio.create_task(works())
        await somebody_waits(pool)
    await working
    assert await failures(capture_id) == []
    assert await pool.fetchval("SELECT count(*) FROM device") == 3
    assert await pool.fetchval("SELECT count(*) FROM epcis_event") == 1


async def test_who_closes_a_pallet_takes_nothing_off_another_one(tells, stands):
    await tells(on(P, 1, 2, 3, at="01:00:00"), on(Q, 1, at="02:00:00"))
    await tells(on(P, 1, 2, at="02:00:05", action="DELETE"))
    assert [await stands(one) for one in (1, 2, 3)] == [Q, "", P]


async def test_unpacking_that_is_told_before_packing_counts(tells, stands):
    await tells(on(P, action="DELETE", at="10:00:00"), on(Q, 2, 4, action="DELETE", at="10:00:00"))
    await tells(on(P, 1, 2, at="09:00:00"))
    await tells(on(Q, 3, 4, at="09:00:00"))
    assert [await stands(one) for one in (1, 2, 3, 4)] == ["", "", Q, ""]
    await tells(on(P, 1, at="11:00:00"), on(P, 2, at="09:30:00"), on(Q, 4, at="10:00:00"))
    assert [await stands(one) for one in (1, 2, 4)] == [P, "", Q]


async def test_unpacking_that_was_declared_wrong_takes_nothing_off(tells, stands):
    error = {"declarationTime": "2026-12-22T01:00:00Z", "reason": "did_not_occur"}
    before, after = (on(P, action="DELETE", at=f"{hour}:00:00") for hour in (10, 11))
    await tells(before)
    await tells(on(P, 1, at="09:00:00"))
    assert await stands(1) == ""
    await tells({**before, "errorDeclaration": error})
    assert await stands(1) == P
    await tells(after)
    await tells({**after, "errorDeclaration": error})
    await tells(on(P, 2, at="09:30:00"))
    assert [await stands(one) for one in (1, 2)] == [P, P]


PACKING, EMPTYING = on(P, 1, at="09:00:00"), on(P, action="DELETE", at="10:00:00")


@pytest.mark.parametrize(
    ("first", "second", "pallet"),
    [
        (PACKING, EMPTYING, ""),
        (EMPTYING, PACKING, ""),
        (PACKING, {**PACKING, "errorDeclaration": ERROR}, Q),
        ({**PACKING, "errorDeclaration": ERROR}, PACKING, Q),
    ],
)
async def test_two_that_tell_of_one_pallet_at_once_know_of_each_other(
    tells, stands, pool, warehouse, first, second, pallet
):
    async def tell(conn, event) -> None:
        read = read_alone(json.dumps(event).encode(), NOW)
        await capture.capture_alone(conn, warehouse, read, carry, digest=bytes(32), now=NOW)

    await tells(on(Q, 1, at="08:00:00"))
    async with pool.acquire() as conn, conn.transaction():
        await tell(conn, first)
        telling = asyncio.create_task(transaction(pool, lambda other: tell(other, second)))
        await somebody_waits(pool)
    await telling
    assert await stands(1) == pallet


async def test_a_handset_is_taken_off_by_whichever_imei(tells, stands, registers):
    await registers(f"imei1,imei2,serial\n{number(1)},{number(2)},SN1\n")
    await tells(on(P, 2, action="DELETE", at="10:00:00"), on(P, 1, at="09:00:00"))
    assert await stands(1) == ""


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_a_device_that_cannot_be_registered_fails_its_event_and_is_named(
    accepts, works, failures, pool, behaviour
):
    somewhere = {"bizLocation": {"id": f"urn:x:{'dock' * 60}"}}
    many = received(1, epcList=[phone(one) for one in range(20, 40)], **somewhere)
    capture_id = await accepts(many, received(2), behaviour=behaviour)
    await works()
    (failure,) = await failures(capture_id)
    assert (failure.code, failure.ours) == ("devices-rejected", False)
    assert failure.detail.startswith("20 device(s) of the event cannot be registered, and nothing was done: ")
    assert f"{number(20)}: The site has 246 characters" in failure.detail
    assert len(failure.flaws) == 10
    assert (failure.flaws[1].detail.split(":")[0], failure.flaws[1].code) == (number(21), "text-too-long")
    expected = 0 if behaviour is Behaviour.ROLLBACK else 1
    assert await pool.fetchval("SELECT count(*) FROM device") == expected
    assert await pool.fetchval("SELECT count(*) FROM receipt") == expected


async def test_a_device_that_comes_in_elsewhere_stays_as_it_is_registered(tells, pool):
    await tells(received(1, bizLocation={"id": "urn:x:dock:1"}))
    await tells(received(2, epcList=[phone(1)], bizLocation={"id": "urn:x:dock:2"}))
    assert await pool.fetchval("SELECT array_agg(site) FROM device") == ["urn:x:dock:1"]


async def test_events_do_not_tell_how_large_a_file_usually_is(tells, registers, phones):
    for phone_number in range(10):
        await tells(received(phone_number))
    assert (await registers(phones(0, 1100))).registered == 1100
    await registers(phones(2000, 20))
    with pytest.raises(Conflict, match="11,000 rows"):
        await registers(phones(5000, 11_500))
