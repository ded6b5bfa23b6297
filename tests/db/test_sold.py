"""What was sold to customers is no goods of ours: no incident claims it unless somebody says so."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.alerts import alert
from app.blocklist import sightings
from app.blocklist.standing import Status
from app.core.db import transaction
from app.core.errors import Conflict, Forbidden, Invalid
from app.core.reach import Reach, narrow
from app.devices import sold
from app.devices.naming import Name
from app.devices.sold import Trade, Traded
from app.epcis import capture
from app.epcis.document import read_alone
from app.incidents.tidings import carry

from .nights import Night, cells


@pytest.fixture
def night(pool, manager, approver, now) -> Night:
    return Night(pool, manager, approver, now)


@pytest.fixture
def trades(pool, warehouse, now):
    """`await trades(sold, *serials, at=…)`: told by whoever runs the shop."""
    told = iter(range(1000))

    async def tell(is_sold: bool, *serials: str, at=None) -> Traded:
        said, source = Trade(serials=serials, at=at), f"sale:{next(told)}"
        return await transaction(
            pool, lambda conn: sold.trade(conn, warehouse, said, sold=is_sold, source=source, now=now)
        )

    return tell


@pytest.fixture
def captures(pool, warehouse, now):
    """Captures one event."""

    async def tell(**members) -> None:
        shared = {"type": "ObjectEvent", "action": "OBSERVE", "eventTimeZoneOffset": "+00:00"}
        context = {"@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"}
        read = read_alone(json.dumps(context | shared | members).encode(), now)
        said = {"actor": warehouse, "read": read, "carry": carry, "digest": bytes(32), "now": now}
        await transaction(pool, lambda conn: capture.capture_alone(conn, **said))

    return tell


async def is_sold(pool, serial: str) -> bool:
    found: bool = await pool.fetchval("SELECT sold_at IS NOT NULL FROM device WHERE serial = $1", serial)
    return found


def epc(text: str, line: int) -> str:
    number = cells(text, 0)[line]
    return f"urn:gsma:imei:{number[:8]}-{number[8:14]}-0"


async def test_sold_devices_are_left_out_unless_somebody_says_so(night, registers, phones, trades, pool):
    text = phones(0, 10)
    await registers(text)
    pallet = cells(text, 4)[0]
    assert await trades(True, "SN000000", "SN000001", "GHOST") == Traded(2, 2, ["GHOST"])
    shown = (drafted := await night.draft(pallets=(pallet,))).preview
    assert (shown.devices, shown.sold.devices, shown.sold.identifiers) == (8, 2, 4)
    assert (shown.sold.included, shown.sold.first) == (False, sorted(cells(text, 0)[:2] + cells(text, 1)[:2]))
    assert [one.code for one in shown.warnings] == ["sold"]
    submitted = await night.submit(drafted.id)
    await night.approve(drafted.id)
    assert await night.status(cells(text, 0)[0]) == Status.CLEAR
    assert await night.status(cells(text, 0)[2]) == Status.BLOCKED
    claimed = await pool.fetch("SELECT key FROM claim ORDER BY key")
    keys = sorted(int(number[:14]) for column in (0, 1) for number in cells(text, column)[2:])
    assert [row["key"] for row in claimed] == keys
    frozen = await pool.fetchval("SELECT frozen FROM incident WHERE incident_id = $1", submitted.id)
    assert frozen == digest(keys)


def digest(keys: list[int]) -> bytes:
    """Of what is really claimed."""
    return hashlib.sha256(b"".join(key.to_bytes(8, "big") for key in keys)).digest()


@pytest.mark.parametrize("when", ["draft", "submission"])
async def test_they_are_claimed_when_the_draft_or_the_submission_says_so(
    night, registers, phones, trades, pool, when
):
    text = phones(0, 2)
    await registers(text)
    await trades(True, "SN000000")
    drafted = await night.draft(include_sold=when == "draft", serials=("SN000000", "SN000001"))
    assert drafted.preview.sold.included == (when == "draft")
    submitted = await night.submit(drafted.id, **({"include_sold": True} if when == "submission" else {}))
    assert submitted.include_sold
    assert submitted.preview is not None
    assert (submitted.preview.devices, submitted.preview.sold.included) == (2, True)
    await night.approve(drafted.id)
    assert await night.status(cells(text, 0)[0]) == Status.BLOCKED
    detail = await pool.fetchval(
        "SELECT body::jsonb -> 'detail' FROM audit_entry WHERE kind = 'incident.submitted'"
    )
    assert (detail["include_sold"], detail["sold"]) == (True, 1)


async def test_what_is_sold_between_draft_and_submission_is_left_out(night, registers, phones, trades):
    text = phones(0, 2)
    await registers(text)
    drafted = await night.draft(serials=("SN000000", "SN000001"))
    await trades(True, "SN000000")
    submitted = await night.submit(drafted.id)
    assert submitted.preview is not None
    assert (submitted.preview.devices, submitted.preview.sold.devices) == (1, 1)
    assert await night.status(cells(text, 0)[0]) == Status.CLEAR


async def test_an_incident_of_sold_devices_alone_is_told_why_it_claims_nothing(
    night, registers, phones, trades
):
    await registers(phones(0, 1))
    await trades(True, "SN000000")
    with pytest.raises(Conflict, match=r"1 were sold \(include_sold would claim them\)"):
        await night.submit((await night.draft(serials=("SN000000",))).id)


async def test_what_came_back_is_goods_again_whatever_the_order_in_which_it_is_told(
    registers, phones, trades, pool, now
):
    await registers(phones(0, 1))
    await trades(False, "SN000000", at=now - timedelta(days=1))
    await trades(True, "SN000000", at=now - timedelta(days=2))
    assert not await is_sold(pool, "SN000000")
    await trades(True, "SN000000", at=now)
    assert await is_sold(pool, "SN000000")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=6))
async def test_the_latest_by_the_time_it_happened_holds_in_whatever_order_it_is_told(
    registers, phones, pool, now, told
):
    await registers(phones(0, 1))
    async with pool.acquire() as conn:
        begun = conn.transaction()
        await begun.start()
        names = [Name(serial="SN000000")]
        for is_sold, hour in told:
            telling = sold.Telling(is_sold, now + timedelta(hours=hour), "sale:x", "tests", now)
            await sold.tell(conn, names, (), telling)
        latest = max(enumerate(told), key=lambda one: (one[1][1], one[0]))[1]
        at = await conn.fetchval("SELECT sold_at FROM device WHERE serial = 'SN000000'")
        assert at == (now + timedelta(hours=latest[1]) if latest[0] else None)
        await sold.withdraw(conn, "sale:x")
        assert await conn.fetchval("SELECT sold_at FROM device WHERE serial = 'SN000000'") is None
        await begun.rollback()


async def test_what_is_sold_while_it_is_held_stays_blocked_and_rings(
    night, registers, phones, trades, pool, manager
):
    text = phones(0, 2)
    await registers(text)
    number = await night.theft(serials=("SN000000", "SN000001"))
    await trades(True, "SN000000")
    assert await night.status(cells(text, 0)[0]) == Status.BLOCKED
    async with pool.acquire() as conn:
        (raised,) = await alert.listed(conn, manager, seen=False)
    assert (raised.kind, raised.subject, raised.detail) == (
        "sold-while-claimed",
        f"incident:{number}",
        {"devices": 1},
    )
    assert raised.concerns == manager.label


@pytest.mark.parametrize(
    "said",
    [{"bizStep": "retail_selling"}, {"bizStep": "shipping", "disposition": "retail_sold"}],
    ids=["retail_selling", "retail_sold"],
)
async def test_events_tell_sales_and_what_they_take_back_was_none(registers, phones, captures, pool, said):
    text = phones(0, 2)
    await registers(text)
    sale = {"eventID": "urn:x:sale", "eventTime": "2026-12-20T10:00:00Z", "epcList": [epc(text, 0)], **said}
    await captures(**sale)
    assert (await is_sold(pool, "SN000000"), await is_sold(pool, "SN000001")) == (True, False)
    wrong = {"declarationTime": "2026-12-21T10:00:00Z", "reason": "did_not_occur"}
    await captures(**sale, errorDeclaration=wrong)
    assert not await is_sold(pool, "SN000000")


@pytest.mark.parametrize(
    "said",
    [{"bizStep": "receiving"}, {"bizStep": "shipping", "disposition": "returned"}],
    ids=["received", "returned"],
)
async def test_events_tell_what_came_back(registers, phones, captures, trades, pool, said):
    text = phones(0, 1)
    await registers(text)
    event = {"epcList": [epc(text, 0)], **said}
    await captures(**event, eventTime="2026-12-19T10:00:00Z")
    await trades(True, "SN000000", at=None)
    assert await is_sold(pool, "SN000000")
    await captures(**event, eventTime="2026-12-22T02:01:00Z")
    assert not await is_sold(pool, "SN000000")


async def test_what_is_shipped_is_not_sold_for_that(registers, phones, captures, pool):
    text = phones(0, 1)
    await registers(text)
    await captures(bizStep="shipping", eventTime="2026-12-20T10:00:00Z", epcList=[epc(text, 0)])
    assert not await is_sold(pool, "SN000000")


async def test_goods_in_of_the_first_file_again_does_not_take_a_sale_back(registers, phones, trades, pool):
    await registers(phones(0, 1))
    await trades(True, "SN000000")
    await registers(phones(0, 1))
    assert await is_sold(pool, "SN000000")


async def test_a_question_about_a_sold_device_is_no_sign_of_a_theft(registers, phones, trades, pool):
    await registers(phones(0, 2))
    await pool.execute("UPDATE device SET left_at = now() WHERE serial = 'SN000001'")
    number = await pool.fetchval("SELECT device_id FROM device WHERE serial = 'SN000000'")
    async with pool.acquire() as conn:
        assert await sightings.in_stock(conn, [number]) == {number}
        await trades(True, "SN000000")
        assert await sightings.in_stock(conn, [number]) == set()


@pytest.mark.parametrize(("owner", "seen"), [("Retailer", 1), ("Somebody else", 0)])
async def test_who_sees_the_goods_of_one_owner_sees_their_sales_alone(
    registers, phones, trades, night, pool, owner, seen
):
    await registers(phones(0, 2))
    await trades(True, "SN000000")
    await night.theft(serials=("SN000001",))
    async with pool.acquire() as conn, conn.transaction():
        await narrow(conn, Reach((owner,), None))
        assert await conn.fetchval("SELECT count(*) FROM sale") == seen
        # The incident is of somebody who may see all.
        assert await conn.fetchval("SELECT count(*) FROM incident_site") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("DELETE FROM golden")


async def test_what_cannot_be_right_is_refused_with_its_place(pool, warehouse, carrier, now):
    def tell(who, **said):
        return transaction(
            pool, lambda conn: sold.trade(conn, who, Trade(**said), sold=True, source="sale:x", now=now)
        )

    with pytest.raises(Invalid) as refused:
        await tell(warehouse, imeis=("490154203237510",), at=now + timedelta(hours=1))
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/imeis/0", "/at"]
    with pytest.raises(Invalid, match="names no device"):
        await tell(warehouse)
    with pytest.raises(Forbidden):
        await tell(carrier, serials=("A",))
