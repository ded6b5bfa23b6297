"""What is unlike the usual must be acknowledged before it is submitted; previews and people are told of the rest."""

from __future__ import annotations

import pytest

from app.core.db import transaction
from app.core.errors import Conflict, Forbidden
from app.incidents import decide, guards
from app.incidents.guards import Bounds, DryRun
from app.incidents.scope import Scope

from .nights import Night

SMALL = Bounds(devices=2, times=3, share=50)


@pytest.fixture
def night(pool, manager, approver, now) -> Night:
    found = Night(pool, manager, approver, now)
    found.bounds = SMALL
    return found


def serials(count: int, start: int = 0) -> tuple[str, ...]:
    return tuple(f"SN{number:06d}" for number in range(start, start + count))


def codes(shown) -> dict[str, bool]:
    return {one.code: one.acknowledge for one in shown.warnings}


async def sized(night, count: int, start: int = 0) -> str:
    """What is said of the size of so many devices, if anything."""
    found = (await night.draft(serials=serials(count, start))).preview.warnings
    return next((one.detail for one in found if one.code == "size"), "")


async def test_the_first_large_incident_of_a_site_wants_a_word(night, registers, phones):
    await registers(phones(0, 100))
    assert await sized(night, 2) == ""
    assert await sized(night, 3) == "3 devices of PAR-1, of which no incident has held any before."


async def test_an_incident_is_held_against_the_largest_of_its_site_before(night, registers, phones):
    await registers(phones(0, 100))
    await night.theft(serials=serials(4))
    await night.theft(serials=serials(1, 10))
    assert await sized(night, 12, 20) == ""
    assert await sized(night, 13, 20) == (
        "13 devices of PAR-1, more than 3 times the 4 of the largest incident before."
    )


async def test_what_was_taken_back_or_not_approved_is_no_measure(night, registers, phones):
    await registers(phones(0, 100))
    number = await night.theft(serials=serials(20))
    assert await sized(night, 12, 40) == ""
    await night.submit((await night.draft(serials=serials(30, 20))).id, acknowledged=("size",))
    await night.withdraw(number)
    assert "no incident has held any before" in await sized(night, 12, 60)


async def test_more_than_half_of_what_stands_at_a_site_wants_a_word(night, registers, phones, pool):
    await registers(phones(0, 12))
    await night.theft(serials=serials(4))
    assert await sized(night, 6) == ""
    assert await sized(night, 7) == "7 devices of PAR-1, more than 50 % of the 12 that stand there."
    await pool.execute(
        "UPDATE device SET left_at = now() WHERE device_id IN (SELECT max(device_id) FROM device)"
    )
    assert "of the 11 that stand there" in await sized(night, 6)


async def test_what_nobody_registered_counts_too(night):
    named = tuple(f"GHOST{number}" for number in range(3))
    drafted = await night.draft(serials=named)
    assert codes(drafted.preview) == {"size": True}
    with pytest.raises(Conflict, match="3 of no known site"):
        await night.submit(drafted.id)


async def test_what_is_unusual_is_submitted_only_when_it_is_acknowledged(night, registers, phones, pool):
    await registers(phones(0, 10))
    await registers(phones(10, 1).replace("PAR-1", "LYON-2"))
    drafted = await night.draft(serials=(*serials(3), *serials(1, 10)))
    assert codes(drafted.preview) == {"size": True, "sites": True}
    for said in ((), ("size",), ("sites",)):
        with pytest.raises(Conflict, match="unlike the usual") as refused:
            await night.submit(drafted.id, acknowledged=said)
        assert refused.value.code == "unusual"
        assert {flaw.code for flaw in refused.value.flaws} == {"size", "sites"} - {*said}
    assert await pool.fetchval("SELECT count(*) FROM claim") == 0
    submitted = await night.submit(drafted.id, acknowledged=("sites", "size"))
    assert submitted.acknowledged == ["size", "sites"]
    entry = await pool.fetchval(
        "SELECT body::jsonb -> 'detail' FROM audit_entry WHERE kind = 'incident.submitted'"
    )
    assert entry["acknowledged"] == ["size", "sites"]


async def test_nothing_is_recorded_as_acknowledged_that_was_not_warned_of(night, registers, phones):
    await registers(phones(0, 2))
    submitted = await night.submit((await night.draft(serials=serials(1))).id, acknowledged=("size", "sites"))
    assert submitted.acknowledged == []


async def test_people_are_told_of_several_owners_of_what_left_and_of_what_has_no_value(
    night, registers, phones, pool
):
    text = phones(0, 2)
    await registers(text.replace("Retailer", "Maker", 1).replace("499.90,EUR", ",", 1))
    await pool.execute("UPDATE device SET left_at = now()")
    drafted = await night.draft(serials=serials(2))
    assert codes(drafted.preview) == {"owners": False, "away": False, "unvalued": False}
    await night.submit(drafted.id)


async def test_by_default_a_thousand_devices_are_never_unusual(night, registers, phones):
    night.bounds = Bounds()
    await registers(phones(0, 1001))
    assert await sized(night, 1000) == ""
    assert await sized(night, 1001) != ""


async def test_a_dry_run_shows_what_a_draft_would_and_keeps_nothing(
    night, registers, phones, pool, manager, now
):
    await registers(phones(0, 10))
    entries = await pool.fetchval("SELECT count(*) FROM audit_entry")
    said = DryRun(Scope(serials=(*serials(4), "GHOST")))
    shown = await transaction(pool, lambda conn: guards.dry_run(conn, manager, said, now, SMALL))
    assert await pool.fetchval("SELECT count(*) FROM incident") == 0
    assert await pool.fetchval("SELECT count(*) FROM audit_entry") == entries
    assert shown == (await night.draft(serials=(*serials(4), "GHOST"))).preview


async def test_who_may_not_draft_may_not_look(pool, warehouse, now):
    said = DryRun(Scope(serials=("A",)))
    with pytest.raises(Forbidden):
        await transaction(pool, lambda conn: guards.dry_run(conn, warehouse, said, now))


async def test_an_incident_of_before_is_read_without_warnings(night, pool, registers, phones):
    await registers(phones(0, 1))
    number = (await night.draft(serials=serials(1))).id
    await pool.execute("UPDATE incident SET preview = preview - 'warnings' - 'sold' - 'spared'")
    async with pool.acquire() as conn, conn.transaction():
        found = await decide.hold(conn, number, "draft", to="read")
    assert found.preview is not None
    assert found.preview.warnings == []
