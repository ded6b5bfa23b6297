"""What was sold is forgotten in time or when it is asked for; what is blocked stays blocked, what is held stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.access.roles import Principal, Role
from app.blocklist import sightings
from app.blocklist.sightings import Noted, Reported, note
from app.blocklist.standing import Status
from app.core.db import transaction
from app.core.errors import Forbidden, Invalid
from app.devices import erasure, sold
from app.devices.erasure import Erased, Erasure
from app.devices.find import Wanted, find
from app.devices.moves import Move, move
from app.devices.sold import Trade
from app.incidents import decide

from .nights import ADMIN, Night, cells

ELSEWHERE = "340123450000000018"


@pytest.fixture
def night(pool, manager, approver, now) -> Night:
    return Night(pool, manager, approver, now)


@pytest.fixture
def sells(pool, warehouse, now):
    async def tell(*serials: str, at=None, is_sold: bool = True) -> None:
        said = Trade(serials=serials, at=at)
        await transaction(
            pool, lambda conn: sold.trade(conn, warehouse, said, sold=is_sold, source="sale:1", now=now)
        )

    return tell


@pytest.fixture
def erases(pool, now):
    async def tell(*serials: str, by: Principal = ADMIN) -> Erased:
        said = Erasure("asked by its owner", serials=serials)
        return await transaction(pool, lambda conn: erasure.erase(conn, by, said, now))

    return tell


@pytest.fixture
def ages(pool, now):
    """Erases what was sold so many days ago, and says how many devices that were, batch by batch."""

    async def tell(days: int) -> list[int]:
        counts = []
        while count := await transaction(
            pool, lambda conn: erasure.erase_old(conn, now - timedelta(days=days), now)
        ):
            counts.append(count)
        return counts

    return tell


async def held(pool, serial: str) -> tuple:
    row = await pool.fetchrow("SELECT * FROM device WHERE serial = $1", serial)
    moved = await pool.fetchval("SELECT count(*) FROM movement WHERE device_id = $1", row["device_id"])
    linked = await pool.fetchval(
        "SELECT (SELECT count(*) FROM receipt_part WHERE device_ids @> ARRAY[$1::bigint])"
        " + (SELECT count(*) FROM receipt_repeat WHERE device_ids @> ARRAY[$1::bigint])",
        row["device_id"],
    )
    return row["owner"], row["site"], row["pallet"], row["receipt_id"], row["left_at"], moved, linked


FORGOTTEN = ("", "", "", 0, None, 0, 0)


async def test_whose_it_was_and_where_it_stood_is_forgotten_and_what_it_is_called_stays(
    night, registers, phones, pool, sells, erases, warehouse, now
):
    text = phones(0, 3)
    await registers(text)
    await registers(text, kind="arrival")
    moves = [Move(ELSEWHERE, serials=("SN000000", "SN000001"))]
    await transaction(pool, lambda conn: move(conn, warehouse, moves, source="m:1", now=now))
    await pool.execute("UPDATE device SET left_at = now()")
    await sells("SN000000")
    beside = await held(pool, "SN000001")
    assert await erases("SN000000", "GHOST") == Erased(1, 0, [], ["GHOST"])
    assert await held(pool, "SN000000") == FORGOTTEN
    row = await pool.fetchrow("SELECT keys, model FROM device WHERE serial = 'SN000000'")
    assert (row["keys"], row["model"]) == ([int(cells(text, column)[0][:14]) for column in (0, 1)], "Phone X")
    assert (await held(pool, "SN000001"))[:6] == beside[:6]
    detail = await pool.fetchval(
        "SELECT body::jsonb -> 'detail' FROM audit_entry WHERE kind = 'devices.erased'"
    )
    assert (detail["count"], detail["reason"], len(detail["devices"])) == (1, "asked by its owner", 1)
    assert cells(text, 0)[0][:14] not in str(detail)


async def test_the_same_file_again_does_not_bring_it_back(registers, phones, pool, sells, erases):
    text = phones(0, 3)
    await registers(text)
    await sells("SN000000")
    await erases("SN000000")
    again = await registers(text)
    assert (again.unchanged, again.updated, again.rejected, again.registered) == (3, 0, 0, 0)
    assert await held(pool, "SN000000") == FORGOTTEN
    more = await registers(text.replace("Phone X", "", 1))
    assert (more.unchanged, more.updated) == (3, 0)
    assert await held(pool, "SN000000") == FORGOTTEN


async def test_what_came_back_may_be_told_of_anew(registers, phones, pool, sells, erases, now):
    text = phones(0, 1)
    await registers(text)
    await sells("SN000000", at=now - timedelta(days=1))
    await erases("SN000000")
    await sells("SN000000", is_sold=False)
    await registers(text)
    assert (await held(pool, "SN000000"))[0] == "Retailer"


async def test_what_is_held_by_an_incident_or_was_not_sold_is_kept_with_its_reason(
    night, registers, phones, pool, sells, erases
):
    text = phones(0, 4)
    await registers(text)
    number = await night.theft(serials=("SN000000", "SN000001"))
    await sells("SN000000", "SN000002")
    await erases("SN000002")
    answer = await erases("SN000000", "SN000002", "SN000003")
    assert [(one.name, one.code, one.incidents) for one in answer.kept] == [
        ("SN000000", "held", [number]), ("SN000002", "erased", []), ("SN000003", "not-sold", []),
    ]  # fmt: skip
    assert answer.erased == 0
    assert (await held(pool, "SN000000"))[0] == "Retailer"
    await night.withdraw(number)
    assert (await erases("SN000000")).erased == 1


async def test_who_blocks_an_erased_device_finds_it_and_what_was_seen_of_it_is_gone(
    night, registers, phones, pool, sells, erases, carrier, now
):
    text = phones(0, 1)
    await registers(text)
    await sells("SN000000")
    row = await pool.fetchrow("SELECT device_id, keys FROM device")
    seen = Noted(
        row["keys"][0], 0, carrier.key_id, "report", "Lyon", "a name", None, row["device_id"], 1, now, now
    )
    report = Reported(row["keys"][0], now, "Lyon", "a name")
    async with pool.acquire() as conn, conn.transaction():
        await note(conn, [seen], now)
        await sightings.report(conn, carrier, [report], now)
    assert (await erases("SN000000")).sightings == 1
    for table in ("sighting", "alert", "audit_entry"):
        told = [str(row) for row in await pool.fetch(f"SELECT t::text FROM {table} AS t")]
        assert not [one for one in told if "Lyon" in one or "a name" in one]
    number = (await night.draft(include_sold=True, imeis=(cells(text, 0)[0],))).id
    await night.submit(number)
    await night.approve(number)
    for column in (0, 1):
        assert await night.status(cells(text, column)[0]) == Status.BLOCKED


async def test_who_claims_while_it_is_erased_finds_it_erased_or_keeps_it(
    night, registers, phones, pool, sells, now
):
    await registers(phones(0, 1))
    await sells("SN000000")
    number = (await night.draft(include_sold=True, serials=("SN000000",))).id
    said = Erasure("asked", serials=("SN000000",))
    async with pool.acquire() as conn:
        begun = conn.transaction()
        await begun.start()
        await decide.submit(conn, night.manager, number, now)
        waiting = asyncio.create_task(transaction(pool, lambda other: erasure.erase(other, ADMIN, said, now)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await begun.commit()
    assert [one.code for one in (await waiting).kept] == ["held"]
    assert (await held(pool, "SN000000"))[0] == "Retailer"


async def test_what_is_old_is_erased_in_batches_and_what_was_ever_claimed_is_not(
    night, registers, phones, pool, sells, ages, now, monkeypatch
):
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    await registers(phones(0, 7))
    number = await night.theft(serials=("SN000000",))
    await night.withdraw(number)
    old = now - timedelta(days=100)
    await sells(*(f"SN{number:06d}" for number in range(6)), at=old)
    await sells("SN000005", at=now)
    assert await ages(101) == []
    assert await ages(99) == [2, 2]
    owners = [row["owner"] for row in await pool.fetch("SELECT owner FROM device ORDER BY serial")]
    assert owners == ["Retailer", "", "", "", "", "Retailer", "Retailer"]
    rows = await pool.fetch("SELECT body::jsonb AS body FROM audit_entry WHERE kind = 'devices.erased'")
    assert [(row["body"]["actor"], row["body"]["detail"]["count"]) for row in rows] == [("retention", 2)] * 2
    assert await ages(99) == []


async def test_that_somebody_read_whose_sold_devices_are_is_on_the_record(
    registers, phones, pool, sells, erases, warehouse, now
):
    await registers(phones(0, 3))

    async def reads(**wanted) -> int:
        async with pool.acquire() as conn:
            assert await find(conn, warehouse, Wanted(**wanted), after=0, limit=10, now=now)
        found: int = await pool.fetchval("SELECT count(*) FROM audit_entry WHERE kind = 'personal.read'")
        return found

    assert await reads(receipt=1) == 0
    await sells("SN000000", "SN000001")
    assert await reads(receipt=1) == 1
    detail = await pool.fetchval(
        "SELECT body::jsonb -> 'detail' FROM audit_entry WHERE kind = 'personal.read'"
    )
    assert (detail["count"], len(detail["devices"])) == (2, 2)
    await erases("SN000000", "SN000001")
    assert await reads(serial="SN000000") == 1


async def test_only_an_administrator_erases_and_says_why(pool, registers, phones, erases, manager, now):
    await registers(phones(0, 1))
    for role in set(Role) - {Role.ADMIN}:
        with pytest.raises(Forbidden):
            await erases("SN000000", by=Principal("x", "X", role))
    for said in (Erasure("", serials=("A",)), Erasure("why")):
        with pytest.raises(Invalid):
            await transaction(pool, lambda conn, said=said: erasure.erase(conn, ADMIN, said, now))
