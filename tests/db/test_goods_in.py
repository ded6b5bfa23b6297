"""Goods that are announced, arrive, are corrected and moved; and what a receipt keeps of its rejected rows."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import pytest

from app.access.roles import Principal, Role
from app.core.db import transaction
from app.core.errors import Conflict, Invalid
from app.devices import receipts
from app.devices.find import Wanted, find
from app.devices.moves import Move, history, move, on_pallets, withdraw
from app.devices.pallets import reconcile
from app.devices.receipts import FindingKind, ReceiptKind
from app.incidents import decide
from app.incidents.scope import Scope

from .conftest import HEADER, NOW

AUDITOR = Principal("audrey", "Audrey", Role.AUDITOR)
OTHER = "340123450000000018"
ASN = {"kind": ReceiptKind.ANNOUNCEMENT}


async def devices(pool, **wanted):
    async with pool.acquire() as conn:
        return await find(conn, AUDITOR, Wanted(**wanted), after=0, limit=1000, now=NOW)


async def found(pool, receipt, kind=FindingKind.REJECTION):
    async with pool.acquire() as conn:
        return await receipts.findings(conn, AUDITOR, receipt.receipt_id, kind, after=0, limit=1000)


async def dock(pool, pallet):
    async with pool.acquire() as conn:
        return await reconcile(conn, AUDITOR, pallet)


def counts(receipt):
    return (receipt.registered, receipt.updated, receipt.arrived, receipt.unchanged, receipt.rejected)


@pytest.fixture
def moved(pool, warehouse, now):
    async def told(*moves: Move, source: str = "test"):
        return await transaction(pool, lambda conn: move(conn, warehouse, moves, source=source, now=now))

    return told


async def test_what_was_announced_arrives(pool, registers, phones):
    announced = await registers(phones(0, 3), **ASN)
    assert counts(announced) == (3, 0, 0, 0, 0)
    arrived = await registers(phones(0, 2))
    assert counts(arrived) == (0, 2, 2, 0, 0)
    assert not await found(pool, arrived, FindingKind.UPDATE)
    assert counts(await registers(phones(0, 2))) == (0, 0, 0, 2, 0)
    assert counts(await registers(phones(0, 2), **ASN)) == (0, 0, 0, 2, 0)
    assert len(await devices(pool, receipt=announced.receipt_id)) == 3


async def test_the_dock_says_what_is_missing_elsewhere_and_surplus(pool, registers, phones):
    await registers(phones(0, 4), **ASN)
    pallet = phones(0, 1).split(",")[4]
    lines = phones(0, 3).splitlines()
    await registers("\n".join([lines[0], lines[1], lines[2].replace(pallet, OTHER)]) + "\n")
    await registers(phones(20, 1).replace(phones(20, 1).split(",")[4], pallet))
    seen = await dock(pool, pallet)
    assert (seen.announced, seen.arrived, seen.complete) == (4, 3, False)
    assert [each.serial for each in seen.missing] == ["SN000003"]
    assert [each.serial for each in seen.elsewhere] == ["SN000002"]
    assert [each.serial for each in seen.surplus] == ["SN000020"]
    other = await dock(pool, OTHER)
    assert (other.announced, other.arrived, other.surplus_count) == (0, 1, 0)
    await registers(phones(3, 1))
    assert (await dock(pool, pallet)).missing_count == 0


async def test_a_row_fills_in_what_was_left_open_and_overwrites_nothing(pool, registers, phones):
    whole = phones(0, 1).strip().split(",")
    bare = [*whole[:2], "", "", "", "PAR-1", "", "", "", ""]
    await registers(",".join(bare) + "\n")
    filled = await registers(",".join(whole) + "\n")
    assert counts(filled) == (0, 1, 0, 0, 0)
    (update,) = await found(pool, filled, FindingKind.UPDATE)
    assert (update.line, update.code) == (2, "device-updated")
    assert "serial, gtin, pallet, owner, model, unit_value" in update.sentence
    (device,) = await devices(pool, serial=whole[2])
    assert (device.gtin, device.pallet, str(device.unit_value)) == (whole[3], whole[4], "499.90")
    assert counts(await registers(",".join(whole) + "\n")) == (0, 0, 0, 1, 0)
    assert counts(await registers(",".join(bare) + "\n")) == (0, 0, 0, 1, 0)
    other = [*whole[:7], "Phone Y", *whole[8:]]
    refused = await registers(",".join(other) + "\n")
    assert counts(refused) == (0, 0, 0, 0, 1)
    (flaw,) = await found(pool, refused)
    assert (flaw.field, flaw.code) == ("model", "registered-differently")
    assert (await devices(pool, serial=whole[2]))[0].model == "Phone X"


async def test_two_rows_that_fill_in_the_same_device_are_taken_in_order(pool, registers, phones):
    whole = phones(0, 1).strip().split(",")
    await registers(",".join([*whole[:2], *[""] * 8]) + "\n")
    rows = [[*whole[:2], "", "", "", "", "", model, "", ""] for model in ("Phone A", "Phone B", "Phone A")]
    receipt = await registers("".join(",".join(row) + "\n" for row in rows))
    assert counts(receipt) == (0, 1, 0, 1, 1)
    assert [flaw.line for flaw in await found(pool, receipt)] == [3]
    assert (await devices(pool, imei=whole[0]))[0].model == "Phone A"


async def test_a_serial_is_filled_in_for_one_device_alone(pool, registers, phones):
    first, second = (line.split(",") for line in phones(0, 2).splitlines())
    await registers("".join(",".join([*line[:2], *[""] * 8]) + "\n" for line in (first, second)))
    rows = [[*line[:2], "SAME", first[3], *[""] * 6] for line in (first, second)]
    receipt = await registers("".join(",".join(row) + "\n" for row in rows))
    assert counts(receipt) == (0, 1, 0, 0, 1)
    assert [device.imeis[0] for device in await devices(pool, serial="SAME")] == [first[0]]


async def test_a_declared_number_of_rows_is_held_against_the_file(pool, registers, phones):
    assert (await registers(phones(0, 3), declared=3)).warnings == 0
    receipt = await registers(phones(3, 3), declared=4)
    assert (receipt.registered, receipt.warnings) == (3, 1)
    (warning,) = await found(pool, receipt, FindingKind.WARNING)
    assert (warning.code, "4 rows were declared" in warning.sentence) == ("quantity-differs", True)


async def test_an_unusually_large_submission_wants_a_second_look(pool, registers, phones):
    await registers(phones(0, 150), supplier="ACME")
    with pytest.raises(Conflict, match="1,500 rows") as refused:
        await registers(phones(1000, 1600), supplier="ACME")
    assert refused.value.code == "size-unusual"
    assert not await devices(pool, serial="SN001000")
    with pytest.raises(Conflict, match="latest ones with this key had 150 rows"):
        await registers(phones(5000, 1600), supplier="Newcomer")
    assert (await registers(phones(1000, 1600), supplier="ACME", confirmed=1600)).registered == 1600
    assert (await registers(phones(5000, 1600), supplier="Newcomer")).registered == 1600


async def test_rejected_rows_are_kept_as_they_came(pool, registers, phones):
    await registers(phones(0, 1))
    wrong = "490154203237519,,SN9,08806090000003,,,,,,\n"
    late = phones(0, 1).replace("Phone X", "Phone Y")
    receipt = await registers(wrong + phones(1, 1) + late)
    async with pool.acquire() as conn:
        kept = await receipts.rejects(conn, receipt.receipt_id, after=0, limit=10)
        names, _ = await receipts.columns(conn, receipt.receipt_id)
    assert names[:3] == ["imei1", "imei2", "serial"]
    assert [(each.line, each.codes) for each in kept] == [
        (2, ["imei-check-digit"]),
        (4, ["registered-differently"]),
    ]
    assert kept[0].cells == wrong.strip().split(",")
    assert kept[1].cells == late.strip().split(",")


async def test_a_row_against_a_stolen_device_raises_an_alert(pool, registers, phones, manager, approver, now):
    await registers(phones(0, 2))
    draft = decide.Draft(title="Paris", scope=Scope(serials=("SN000000",)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    await transaction(pool, lambda conn: decide.submit(conn, manager, made.id, now))
    await transaction(pool, lambda conn: decide.approve(conn, approver, made.id, now))
    receipt = await registers(phones(0, 2).replace("Retailer", "Fence Ltd"))
    assert receipt.rejected == 2
    async with pool.acquire() as conn:
        alerts = await conn.fetch("SELECT body FROM audit_entry WHERE kind = 'alert.raised'")
    (alert,) = alerts
    assert f"receipt:{receipt.receipt_id}" in alert["body"]
    assert '"count":1' in alert["body"].replace(" ", "")


async def test_a_pallet_holds_what_it_held_at_that_time(pool, registers, phones, moved, now):
    await registers(phones(0, 3))
    first, pallet = phones(0, 1).split(",")[0], phones(0, 1).split(",")[4]
    told = await moved(Move(to=OTHER, imeis=(first,), at=now - timedelta(hours=2)))
    assert (told.recorded, told.changed, told.unknown) == (1, 1, [])
    async with pool.acquire() as conn:
        before = await on_pallets(conn, [pallet, OTHER], now - timedelta(hours=3))
        after = await on_pallets(conn, [pallet, OTHER], now - timedelta(hours=1))
        today = await on_pallets(conn, [pallet, OTHER], None)
    assert sorted(before.values()) == [pallet] * 3
    assert sorted(after.values()) == sorted(today.values()) == sorted([pallet, pallet, OTHER])
    assert (await devices(pool, imei=first))[0].pallet == OTHER


async def test_movements_told_late_do_not_undo_later_ones(pool, registers, phones, moved, now):
    await registers(phones(0, 1))
    first, pallet = phones(0, 1).split(",")[0], phones(0, 1).split(",")[4]
    await moved(Move(to=OTHER, imeis=(first,), at=now - timedelta(hours=1)))
    late = await moved(Move(to="", imeis=(first,), at=now - timedelta(hours=2)))
    assert (late.recorded, late.changed) == (1, 0)
    (device,) = await devices(pool, imei=first)
    async with pool.acquire() as conn:
        stays = await history(conn, device.id)
        between = await on_pallets(conn, [pallet, OTHER], now - timedelta(minutes=90))
    assert [stay.pallet for stay in stays] == [OTHER, "", pallet]
    assert between == {}


async def test_moves_of_one_request_are_read_in_order(pool, registers, phones, moved, now):
    await registers(phones(0, 12))
    first, pallet, second = (
        phones(0, 1).split(",")[0],
        phones(0, 1).split(",")[4],
        phones(10, 1).split(",")[4],
    )
    told = await moved(
        Move(to=OTHER, imeis=(first,), at=now - timedelta(minutes=10)),
        Move(to=second, pallet=OTHER, at=now - timedelta(minutes=5)),
        Move(to="", pallet=pallet, at=now - timedelta(minutes=4)),
        Move(to=pallet, pallet=second, at=now - timedelta(minutes=15)),
    )
    assert (told.recorded, told.changed) == (1 + 1 + 9 + 2, 12)
    assert [each.serial for each in await devices(pool, pallet=second)] == ["SN000000"]
    assert {each.serial for each in await devices(pool, pallet=pallet)} == {"SN000010", "SN000011"}
    assert await devices(pool, pallet=OTHER) == []


async def test_a_withdrawn_movement_never_happened(pool, registers, phones, moved, now):
    await registers(phones(0, 2))
    pallet = phones(0, 1).split(",")[4]
    await moved(Move(to=OTHER, pallet=pallet), source="event:1")
    assert len(await devices(pool, pallet=OTHER)) == 2
    assert await transaction(pool, lambda conn: withdraw(conn, "event:1")) == 2
    assert len(await devices(pool, pallet=pallet)) == 2


async def test_an_incident_takes_what_the_pallet_held_then(pool, registers, phones, moved, manager, now):
    await registers(phones(0, 3))
    first, pallet = phones(0, 1).split(",")[0], phones(0, 1).split(",")[4]
    await moved(Move(to=OTHER, imeis=(first,), at=now - timedelta(hours=1)))

    async def preview(**scope):
        draft = decide.Draft(title="Paris", scope=Scope(**scope))
        return (await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))).preview

    then = await preview(pallets=(pallet,), as_of=now - timedelta(hours=2))
    assert (then.devices, [each.pallet for each in then.by_pallet]) == (3, [pallet])
    assert (await preview(pallets=(pallet,))).devices == 2
    empty = await preview(pallets=(OTHER,), as_of=now - timedelta(hours=2), imeis=(first,))
    assert (empty.devices, empty.unknown.pallets) == (1, [OTHER])


async def test_moves_that_cannot_be_right_move_nothing(pool, registers, phones, moved, now):
    await registers(phones(0, 1))
    first = phones(0, 1).split(",")[0]
    with pytest.raises(Invalid) as refused:
        await moved(
            Move(to=OTHER, imeis=(first,)),
            Move(to="123", imeis=("490154203237519",), at=now + timedelta(days=1)),
            Move(to=""),
        )
    places = [flaw.pointer for flaw in refused.value.flaws]
    assert places == ["/moves/1/at", "/moves/1/imeis/0", "/moves/1/to", "/moves/2"]
    assert not await devices(pool, pallet=OTHER)
    soon = now + timedelta(minutes=5)
    with pytest.raises(Invalid) as refused:
        await moved(Move(to=OTHER, imeis=(first,), at=soon + timedelta(seconds=1)))
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/moves/0/at"]
    assert (await moved(Move(to="", imeis=(first,), at=soon))).changed == 1
    told = await moved(Move(to=OTHER, imeis=("490154203237518",), serials=("NOBODY",)))
    assert (told.recorded, told.unknown) == (0, ["490154203237518", "NOBODY"])


async def test_a_file_that_comes_again_is_known_by_its_rows_and_names_its_devices(
    pool, registers, phones, manager, now
):
    await registers(phones(0, 3))
    again = await registers(phones(0, 3))
    assert counts(again) == (0, 0, 0, 3, 0)
    draft = decide.Draft(title="Paris", scope=Scope(receipts=(again.receipt_id,)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    assert made.preview.devices == 3


async def test_a_file_that_was_announced_arrives_though_its_rows_are_known(registers, phones):
    await registers(phones(0, 3), **ASN)
    assert counts(await registers(phones(0, 3))) == (0, 3, 3, 0, 0)
    assert counts(await registers(phones(0, 3))) == (0, 0, 0, 3, 0)


@pytest.mark.parametrize("to", [OTHER, ""])
async def test_a_file_that_comes_again_leaves_a_device_where_it_was_moved(
    pool, registers, phones, moved, to, now
):
    await registers(phones(0, 3))
    pallet = phones(0, 1).split(",")[4]
    await moved(Move(to=to, serials=("SN000001",)))
    assert counts(await registers(phones(0, 3))) == (0, 0, 0, 3, 0)
    (device,) = await devices(pool, serial="SN000001")
    assert device.pallet == to
    async with pool.acquire() as conn:
        assert device.id not in await on_pallets(conn, [pallet], None)
    elsewhere = await registers(phones(1, 1).replace(pallet, "340123450000000025"))
    (one,) = await found(pool, elsewhere)
    assert (one.code, one.field) == ("registered-differently", "pallet")


async def test_an_announced_device_that_was_moved_arrives_by_a_movement(pool, registers, phones, moved):
    await registers(phones(0, 1), **ASN)
    pallet = phones(0, 1).split(",")[4]
    await moved(Move(to="", serials=("SN000000",)))
    assert counts(await registers(phones(0, 1))) == (0, 1, 1, 0, 0)
    (device,) = await devices(pool, serial="SN000000")
    async with pool.acquire() as conn:
        assert [where.pallet for where in await history(conn, device.id)] == [pallet, "", pallet]
    assert device.pallet == pallet


async def test_a_row_may_mean_a_device_that_a_row_above_has_just_named(pool, registers, phones):
    first, second = (phones(place, 1).split(",")[0] for place in (0, 5))
    await registers(f"imei1,serial,gtin\n{first},S-1,\n")
    receipt = await registers(f"imei1,serial,gtin\n{first},S-1,08806090000003\n{second},S-1,08806090000003\n")
    assert counts(receipt) == (0, 1, 0, 0, 1)
    (one,) = await found(pool, receipt)
    assert (one.line, one.field, one.code) == (3, "imeis", "registered-differently")


async def test_a_contradiction_names_what_contradicts_and_what_is_registered(pool, registers, phones):
    first, second = phones(0, 1).split(",")[:2]
    await registers(f"imei1,serial,site\n{first},S-1,PAR-1\n")
    receipt = await registers(
        f"imei1,serial,site,owner\n{second},S-1,PAR-1,Retailer\n{first},S-1,PAR-2,Retailer\n"
    )
    assert counts(receipt) == (0, 0, 0, 0, 2)
    other, elsewhere = await found(pool, receipt)
    assert (other.field, elsewhere.field) == ("imeis", "site")
    assert "about: the set of IMEIs. What is registered stays; correct the row." in other.sentence
    assert "about: site (PAR-1). What is registered stays; correct the row." in elsewhere.sentence


async def test_an_announcement_that_arrives_twice_at_once_arrives_once(pool, registers, phones):
    await registers(phones(0, 300), **ASN)
    lines = phones(0, 300).splitlines(keepends=True)
    both = await asyncio.gather(registers("".join(lines)), registers("".join([lines[0], *lines[:0:-1]])))
    assert sum(receipt.arrived for receipt in both) == 300
    assert sum(receipt.unchanged for receipt in both) == 300


async def test_serials_that_were_declared_before_they_came_are_told(pool, registers, manager, approver, now):
    gtin = "08806090000003"
    draft = decide.Draft(title="Paris", scope=Scope(serials=("S-1", f"(01){gtin}(21)S-2")))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, draft, now))
    await transaction(pool, lambda conn: decide.submit(conn, manager, made.id, now))
    await transaction(pool, lambda conn: decide.approve(conn, approver, made.id, now))
    receipt = await registers(f"serial,gtin\nS-1,{gtin}\nS-2,{gtin}\nS-3,{gtin}\n")
    assert (receipt.registered, receipt.warnings) == (3, 2)
    told = await found(pool, receipt, FindingKind.WARNING)
    assert [(one.line, one.code, one.value) for one in told] == [
        (2, "serial-listed", "S-1"),
        (3, "serial-listed", "S-2"),
    ]
    async with pool.acquire() as conn:
        (alert,) = await conn.fetch("SELECT body FROM audit_entry WHERE kind = 'alert.raised'")
    assert "registered-while-stolen" in alert["body"]


async def test_who_sends_a_file_again_before_it_is_done_waits_for_it(pool, registers, phones):
    lines = phones(0, 50)
    digest = hashlib.sha256(f"{HEADER}{lines}".encode()).digest()
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(digest[:8], "big", signed=True))
        again = asyncio.ensure_future(registers(lines))
        other = await registers(phones(60, 1))
        assert not again.done()
    assert (other.registered, (await again).registered) == (1, 50)


async def test_rejected_units_of_one_segment_bear_their_own_reasons_alone(pool, registers):
    before, gtin = "UNB+UNOA:3+A+B+261221:1000+1'UNH+1+DESADV:D:96A:UN'BGM+351+1'", "08806090000003"
    line = f"LIN+1++{gtin}:SRV'"
    await registers(f"{before}NAD+DP+4012345500004::9'CPS+1'{line}GIN+BN+A1:A5'UNT+7+1'UNZ+1+1'")
    again = await registers(f"{before}NAD+DP+4012345500011::9'CPS+1'{line}GIN+BN+A1:A5'UNT+7+1'UNZ+1+1'")
    assert (again.registered, again.rejected) == (0, 5)
    async with pool.acquire() as conn:
        kept = await receipts.rejects(conn, again.receipt_id, after=0, limit=10)
    assert [len(one.sentences) for one in kept] == [1] * 5
    assert [one.cells[:2] for one in kept] == [["", f"A{number}"] for number in range(1, 6)]
    assert [f"serial A{number} " in one.sentences[0] for number, one in enumerate(kept, 1)] == [True] * 5


async def test_a_header_with_bytes_that_are_no_text_is_kept_as_what_can_be_read(pool, registers, phones):
    first = phones(0, 1).split(",")[0]
    receipt = await registers(f"imei1,St\udc81ckwert\n{first},5\n12345,6\n")
    assert (receipt.registered, receipt.rejected) == (1, 1)
    async with pool.acquire() as conn:
        names, delimiter = await receipts.columns(conn, receipt.receipt_id)
    assert (names, delimiter) == (["imei1", "St?ckwert"], ",")
