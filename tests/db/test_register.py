"""Goods-in against a real database: each row gets its verdict, and nothing is ever half registered."""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg
import pytest

from app.access.roles import Principal, Role
from app.core.db import Pool
from app.core.errors import Forbidden, Invalid
from app.devices.find import Wanted, find
from app.devices.intake import Submission
from app.devices.receipts import FindingKind, Terms, findings
from app.devices.register import register
from app.incidents import decide
from app.incidents.scope import Scope

from .conftest import NOW


async def rejections(pool: Pool, receipt_id: int, kind: FindingKind = FindingKind.REJECTION):
    auditor = Principal("audrey", "Audrey", Role.AUDITOR)
    async with pool.acquire() as conn:
        return await findings(conn, auditor, receipt_id, kind, after=0, limit=1000)


async def devices(pool: Pool, **wanted):
    auditor = Principal("audrey", "Audrey", Role.AUDITOR)
    async with pool.acquire() as conn:
        return await find(conn, auditor, Wanted(**wanted), after=0, limit=1000, now=NOW)


async def test_registers_and_finds_by_every_name(pool, registers, phones):
    receipt = await registers(phones(0, 25))
    assert (receipt.rows, receipt.registered, receipt.unchanged, receipt.rejected) == (25, 25, 0, 0)
    (device,) = await devices(pool, serial="SN000003")
    assert len(device.imeis) == 2
    assert device.status == "clear"
    assert str(device.unit_value) == "499.90"
    for name in ("imei", "pallet", "receipt"):
        value = {"imei": device.imeis[1], "pallet": device.pallet, "receipt": receipt.receipt_id}[name]
        assert device in await devices(pool, **{name: value})
    assert await devices(pool, imei=device.imeis[0][:14] + "07") == [device]


async def test_the_same_file_again_changes_nothing(pool, registers, phones):
    first = await registers(phones(0, 25))
    again = await registers(phones(0, 25))
    assert (again.registered, again.unchanged, again.rejected) == (0, 25, 0)
    assert len(await devices(pool, receipt=first.receipt_id)) == 25


async def test_valid_rows_are_registered_although_others_are_not(pool, registers, phones):
    text = phones(0, 3) + "490154203237519,,SN9,08806090000003,,,,,,\n" + phones(3, 2)
    receipt = await registers(text)
    assert (receipt.rows, receipt.registered, receipt.rejected) == (6, 5, 1)
    (flaw,) = await rejections(pool, receipt.receipt_id)
    assert (flaw.line, flaw.code) == (5, "imei-check-digit")
    assert "would be 8" in flaw.sentence


async def test_a_repeated_line_is_unchanged_and_a_contradicting_one_rejected(pool, registers, phones):
    line = phones(0, 1)
    receipt = await registers(line + line + line.replace("SN000000", "OTHER"))
    assert (receipt.rows, receipt.registered, receipt.unchanged, receipt.rejected) == (3, 1, 1, 1)
    (flaw,) = await rejections(pool, receipt.receipt_id)
    assert (flaw.line, flaw.code) == (4, "duplicate-in-file")
    assert "line 2" in flaw.sentence


async def test_a_rejected_line_shadows_no_other(pool, registers, phones):
    a, b = (line.split(",") for line in phones(0, 2).splitlines())
    lines = [[a[0], "", "A"], [a[0], b[0], "AB"], [b[0], "", "B"]]
    receipt = await registers("".join(",".join([*line, *a[3:]]) + "\n" for line in lines))
    assert (receipt.registered, receipt.rejected) == (2, 1)
    assert [flaw.line for flaw in await rejections(pool, receipt.receipt_id)] == [3]


async def test_what_is_registered_is_never_overwritten(pool, registers, phones):
    await registers(phones(0, 1))
    moved = await registers(phones(0, 1).replace("PAR-1", "LYS-2"))
    assert (moved.unchanged, moved.rejected) == (0, 1)
    (flaw,) = await rejections(pool, moved.receipt_id)
    assert flaw.code == "registered-differently"
    assert "site" in flaw.sentence
    (device,) = await devices(pool, serial="SN000000")
    assert device.site == "PAR-1"


async def test_an_imei_of_one_device_on_another_serial_is_rejected(pool, registers, phones):
    await registers(phones(0, 2))
    line = phones(0, 1).replace("SN000000", "SN000001")
    receipt = await registers(line)
    assert receipt.rejected == 1
    assert (await rejections(pool, receipt.receipt_id))[0].code == "registered-differently"


async def test_devices_without_imei_are_known_by_serial_and_gtin(pool, registers):
    header = "serial,gtin,pallet,site,owner\n"
    receipt = await registers(
        header + "TAB1,08806090000010,,,\nTAB2,08806090000010,,,\nTAB1,08806090000010,,,\n"
    )
    assert (receipt.registered, receipt.unchanged) == (2, 1)
    (device,) = await devices(pool, serial="TAB1")
    assert device.imeis == []
    again = await registers(header + "TAB1,08806090000010,,,\n")
    assert again.unchanged == 1


async def test_the_segments_of_a_dispatch_advice_name_many_devices_each(pool, registers):
    body = "CPS+1'LIN+1++9506000134352:SRV'QTY+12:6'GIN+BN+F1:F3+F2+F5'"
    sets = "GIR+1+F5:BN+352099001761481:EI'GIR+1+F3:BN+352099001761481:EI'"
    receipt = await registers(
        f"UNB+UNOC:3+A+B+260302:0615+1'UNH+1+DESADV:D:96A:UN'{body}{sets}UNT+8+1'UNZ+1+1'"
    )
    assert (receipt.rows, receipt.registered, receipt.unchanged, receipt.rejected) == (5, 3, 1, 1)
    (flaw,) = await rejections(pool, receipt.receipt_id)
    assert (flaw.line, flaw.code, "line 7" in flaw.sentence) == (8, "duplicate-in-file", True)
    (odd,) = await rejections(pool, receipt.receipt_id, FindingKind.WARNING)
    assert (odd.line, odd.code) == (4, "quantity-differs")


async def test_an_empty_cell_contradicts_nothing(pool, registers, phones):
    await registers(phones(0, 1))
    number = (await devices(pool, serial="SN000000"))[0].imeis
    sparse = await registers(f"{number[0]},{number[1]},,,,,,,,\n")
    assert sparse.unchanged == 1


async def test_two_files_at_once_register_each_device_once(pool, registers, phones):
    async def one() -> tuple[int, int]:
        for _ in range(5):
            try:
                receipt = await registers(phones(0, 400))
            except asyncpg.UniqueViolationError:
                continue
            return receipt.registered, receipt.unchanged
        raise AssertionError("never got through")

    results = await asyncio.gather(*(one() for _ in range(4)))
    assert sorted(results) == [(0, 400), (0, 400), (0, 400), (400, 0)]
    found = [{device.id for device in await devices(pool, receipt=number)} for number in (1, 2, 3, 4)]
    assert len(set.union(*found)) == 400


async def test_a_broken_file_leaves_nothing(pool, registers, phones):
    with pytest.raises(Invalid):
        await registers("imeix,of,use\n1,2,3\n")
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM receipt") == 0
        assert await conn.fetchval("SELECT count(*) FROM audit_entry") == 0


async def test_a_device_declared_stolen_before_it_arrived_is_named(
    pool, registers, phones, manager, approver, now: datetime
):
    number = phones(0, 1).split(",")[0]
    said = decide.Draft(title="Seen in a shop", scope=Scope(imeis=(number,)))
    async with pool.acquire() as conn:
        for step in (
            lambda c: decide.draft(c, manager, said, now),
            lambda c: decide.submit(c, manager, 1, now),
            lambda c: decide.approve(c, approver, 1, now),
        ):
            async with conn.transaction():
                await step(conn)
    receipt = await registers(phones(0, 1))
    assert receipt.registered == 1
    (warning,) = await rejections(pool, receipt.receipt_id, FindingKind.WARNING)
    assert (warning.code, number in warning.sentence) == ("imei-listed", True)


async def test_only_goods_in_may_register(pool, registers, phones, manager, now):
    async with pool.acquire() as conn:
        with pytest.raises(Forbidden, match="receipts:write"):
            await register(conn, manager, Submission((), iter(())), Terms("test", b""), now=now)
