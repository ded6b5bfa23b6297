"""Rows that know more IMEIs of a device than the registry does."""

from __future__ import annotations

import asyncio
import io
from itertools import pairwise

import pytest

from app.blocklist.ask import look_up
from app.core.db import transaction
from app.delivery import partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope
from app.devices.incoming import here
from app.devices.intake import Defaults, Format, read
from app.devices.receipts import FindingKind, Terms
from app.devices.register import register
from app.incidents import decide
from app.incidents.scope import Scope

from .test_goods_in import counts, devices, found


async def test_a_row_fills_in_more_imeis_of_the_same_device(pool, registers, phones):
    first, second = phones(0, 1).split(",")[:2]
    third, fourth = phones(1, 1).split(",")[:2]
    await registers(f"imei1,serial,gtin\n{first},,\n,S-2,08806090000003\n")
    rows = f"imei1,imei2,serial,gtin\n{first},{second},,\n{third},{fourth},S-2,08806090000003\n"
    receipt = await registers(rows)
    assert counts(receipt) == (0, 2, 0, 0, 0)
    updates = await found(pool, receipt, FindingKind.UPDATE)
    assert [(one.line, one.field, "has set: imeis" in one.sentence) for one in updates] == [
        (2, "imeis", True),
        (3, "imeis", True),
    ]
    for imeis in ([first, second], sorted([third, fourth])):
        found_by = [await devices(pool, imei=number) for number in imeis]
        assert found_by[0] == found_by[1]
        assert sorted(found_by[0][0].imeis) == imeis
    assert counts(await registers(rows)) == (0, 0, 0, 2, 0)
    assert counts(await registers(f"imei1\n{second}\n")) == (0, 0, 0, 1, 0)
    other = await registers(f"imei1,imei2\n{first},{third}\n")
    (one,) = await found(pool, other)
    assert (one.field, "which device it is (its identifiers are those of 2)" in one.sentence) == (
        "imeis",
        True,
    )


async def test_one_more_imei_is_filled_in_for_one_device_alone(pool, registers, phones):
    one, two, same = (phones(place, 1).split(",")[0] for place in (0, 1, 2))
    await registers(f"imei1\n{one}\n{two}\n")
    receipt = await registers(f"imei1,imei2\n{one},{same}\n{two},{same}\n{same},\n")
    assert counts(receipt) == (0, 1, 0, 1, 1)
    assert [flaw.line for flaw in await found(pool, receipt)] == [3]
    assert (await devices(pool, imei=same))[0].imeis == sorted([one, same])


async def test_more_imeis_of_a_stolen_device_raise_an_alert_and_block_nothing(
    pool, registers, phones, manager, approver, now
):
    first, second = phones(0, 1).split(",")[:2]
    third = phones(1, 1).split(",")[0]
    await registers(f"imei1,serial,gtin\n{first},,\n,S-2,08806090000003\n")
    draft = decide.Draft(title="Paris", scope=Scope(imeis=(first,), serials=("S-2",)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    await transaction(pool, lambda conn: decide.submit(conn, manager, made.id, now))
    await transaction(pool, lambda conn: decide.approve(conn, approver, made.id, now))
    receipt = await registers(f"imei1,imei2,serial,gtin\n{first},{second},,\n{third},,S-2,08806090000003\n")
    assert (counts(receipt), receipt.warnings) == ((0, 1, 0, 0, 1), 1)
    (warning,) = await found(pool, receipt, FindingKind.WARNING)
    assert (warning.line, warning.code, warning.value) == (2, "imei-not-claimed", second)
    (refused,) = await found(pool, receipt)
    assert "declared stolen by its serial, so declare its IMEIs as well" in refused.sentence
    async with pool.acquire() as conn:
        keys = [int(number[:14]) for number in (first, second, third)]
        told = await look_up(conn, keys)
        alerts = await conn.fetch("SELECT body FROM audit_entry WHERE kind = 'alert.raised'")
    assert [str(told.of(key).status) for key in keys] == ["blocked", "clear", "unknown"]
    assert {word for word in ("contradicts-stolen", "registered-while-stolen") if word in str(alerts)} == {
        "contradicts-stolen",
        "registered-while-stolen",
    }


@pytest.mark.parametrize("bare", [False, True])
async def test_a_theft_waits_for_a_file_that_knows_more_imeis(
    pool, registers, phones, manager, warehouse, now, bare
):
    first, second = phones(0, 1).split(",")[:2]
    await registers(
        "serial,gtin\nS-2,08806090000003\n" if bare else f"imei1,serial,gtin\n{first},S-2,08806090000003\n"
    )
    draft = decide.Draft(title="Paris", scope=Scope(serials=("S-2",)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    rows = io.BytesIO(f"imei1,imei2,serial,gtin\n{first},{second},S-2,08806090000003\n".encode())
    async with pool.acquire() as conn:
        async with conn.transaction():
            incoming = here(read(rows, Format.CSV, Defaults()))
            await register(conn, warehouse, incoming, Terms("test", b"x" * 32), now=now)
            submitting = asyncio.create_task(
                transaction(pool, lambda other: decide.submit(other, manager, made.id, now))
            )
            await asyncio.sleep(0.3)
            assert not submitting.done()
        assert (await submitting).state == "submitted"
        told = await look_up(conn, [int(number[:14]) for number in (first, second)])
    assert [str(each.status) for each in told.listed.values()] == ["suspect", "suspect"]


async def test_a_file_that_knows_more_imeis_waits_for_a_theft(pool, registers, phones, manager, now):
    first, second = phones(0, 1).split(",")[:2]
    await registers(f"imei1\n{first}\n")
    draft = decide.Draft(title="Paris", scope=Scope(imeis=(first,)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    async with pool.acquire() as conn, conn.transaction():
        await decide.submit(conn, manager, made.id, now)
        arriving = asyncio.create_task(registers(f"imei1,imei2\n{first},{second}\n"))
        await asyncio.sleep(0.3)
        assert not arriving.done()
    (warning,) = await found(pool, await arriving, FindingKind.WARNING)
    assert (warning.code, warning.value) == ("imei-not-claimed", second)


async def test_more_imeis_are_enrolled_with_brand_partners(pool, registers, phones, now, keyring):
    first, second = phones(0, 1).split(",")[:2]
    settings = {"url": "https://knox.example", "api_token": "t", "email": "help@retailer.example"}
    said = {"adapter": "knox_guard", "settings": settings, "scope": PartnerScope(), "limits": Limits()}
    said["keyring"] = keyring
    await transaction(pool, lambda conn: partners.add(conn, name="Brand", now=now, **said))
    await registers(f"imei1\n{first}\n")
    await registers(f"imei1,imei2\n{first},{second}\n")
    async with pool.acquire() as conn:
        chunks = await conn.fetch("SELECT keys FROM chunk ORDER BY chunk_id")
    assert [row["keys"] for row in chunks] == [[int(first[:14])], [int(second[:14])]]


async def test_a_column_that_has_slipped_by_a_row_is_rejected_in_time(pool, registers, phones):
    numbers = [line.split(",")[0] for line in phones(0, 301).splitlines()]
    rows = "".join(f"{one},{other}\n" for one, other in pairwise(numbers))
    receipt = await registers(f"imei1,imei2\n{rows}")
    assert receipt.registered + receipt.rejected == 300
    told = await found(pool, receipt)
    assert sum(one.code == "rows-entangled" for one in told) > 200
    assert "as where a column has slipped" in told[-1].sentence


async def test_a_serial_that_is_filled_in_may_have_been_declared(pool, registers, phones, manager, now):
    number = phones(0, 1).split(",")[0]
    await registers(f"imei1\n{number}\n")
    draft = decide.Draft(title="Paris", scope=Scope(serials=("S-9",)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    await transaction(pool, lambda conn: decide.submit(conn, manager, made.id, now))
    receipt = await registers(f"imei1,serial\n{number},S-9\n")
    (warning,) = await found(pool, receipt, FindingKind.WARNING)
    assert (warning.code, warning.value) == ("serial-listed", "S-9")
