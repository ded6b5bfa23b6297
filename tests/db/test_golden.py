"""Golden identifiers are left out where they are named, and no way leads to their being listed."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.access.roles import Principal, Role
from app.blocklist import golden, listing
from app.blocklist.standing import Status
from app.core import imei
from app.core.db import transaction
from app.core.errors import Conflict, Forbidden, Invalid, Missing, Unavailable
from app.incidents.preview import SparedOne

from .nights import ADMIN, Night, cells

TAC = 35_123456


@pytest.fixture
def night(pool, manager, approver, now) -> Night:
    return Night(pool, manager, approver, now)


async def test_a_scope_leaves_a_golden_device_out_whole_and_says_so(night, registers, phones):
    text = phones(0, 3)
    await registers(text)
    numbers = cells(text, 0)
    await night.golden(numbers[1])
    shown = (drafted := await night.draft(serials=("SN000000", "SN000001"))).preview
    assert (shown.devices, shown.identifiers) == (1, 2)
    assert (shown.spared.devices, shown.spared.identifiers) == (1, 2)
    assert shown.spared.first == [SparedOne(numbers[1], "test bench 4")]
    assert [(one.code, one.acknowledge) for one in shown.warnings] == [("golden", False)]
    submitted = await night.submit(drafted.id)
    await night.approve(drafted.id)
    assert submitted.preview is not None
    assert submitted.preview.spared == shown.spared
    for column in (0, 1):
        assert await night.status(cells(text, column)[0]) == Status.BLOCKED
        assert await night.status(cells(text, column)[1]) == Status.CLEAR


@pytest.mark.parametrize("places", [14, 8, 2])
async def test_an_imei_that_nobody_registered_is_spared_by_its_digits_its_tac_or_its_body(night, places):
    number, other = imei.full(35_999999_123456), imei.full(86_111111_000001)
    await night.golden(number[:places])
    drafted = await night.draft(imeis=(number, other))
    assert drafted.preview.unknown.imeis == [other]
    assert [one.imei for one in drafted.preview.spared.first] == [number]
    await night.submit(drafted.id)
    await night.approve(drafted.id)
    assert (await night.status(number), await night.status(other)) == (Status.UNKNOWN, Status.BLOCKED)


async def test_what_names_only_golden_ones_is_not_submitted(night):
    number = imei.full(35_999999_123456)
    await night.golden(number)
    drafted = await night.draft(imeis=(number,))
    with pytest.raises(Conflict, match="1 identifiers are golden and never blocked"):
        await night.submit(drafted.id)


async def test_serials_are_no_numbers_of_the_test_range(night):
    await night.golden("00")
    number = await night.theft(serials=("GHOST",))
    assert number


@pytest.mark.parametrize("places", [14, 8, 2])
@pytest.mark.parametrize("way", ["suspect", "block"])
async def test_the_block_list_itself_refuses_one(night, pool, now, places, way):
    """However it got there: a second incident, an event, a replay."""
    key = 35_999999_123456
    other = await night.theft(imeis=(imei.full(86_111111_000001),))
    await night.golden(f"{key}"[:places])
    list_ = {"suspect": listing.suspect, "block": listing.block}[way]
    with pytest.raises(Conflict, match="golden"):
        await transaction(pool, lambda conn: list_(conn, other, [key, key + 1], now))
    assert await pool.fetchval("SELECT count(*) FROM listing WHERE key IN ($1, $2)", key, key + 1) == 0


@pytest.mark.parametrize("column", ["blocked_by", "suspected_by"])
async def test_nor_does_the_database_take_one_that_is_written_by_hand(night, pool, now, column):
    key = 35_999999_123456
    await pool.execute(
        "INSERT INTO listing (key, blocked_by, suspected_by, version, since) VALUES ($1, 0, 0, 1, $2)",
        key,
        now,
    )
    await night.golden(f"{key:014d}")
    with pytest.raises(asyncpg.CheckViolationError, match="golden"):
        await pool.execute(f"UPDATE listing SET {column} = 1, held_by = '{{1}}' WHERE key = $1", key)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("ALTER TABLE listing DISABLE TRIGGER golden_updated")


@pytest.mark.parametrize("step", ["submit", "approve"])
@pytest.mark.parametrize("places", [14, 8, 2])
async def test_what_is_suspect_or_blocked_does_not_become_golden(night, step, places):
    number = imei.full(35_999999_123456)
    incident = (await night.draft(imeis=(number,))).id
    await night.submit(incident)
    if step == "approve":
        await night.approve(incident)
    with pytest.raises(Conflict, match=rf"by incident {incident} \(1\)"):
        await night.golden("86111111", number[:places])
    assert await night.pool.fetchval("SELECT count(*) FROM golden WHERE added_by <> 'migration'") == 0
    await night.withdraw(incident)
    assert await night.golden(number[:places]) == [number[:places]]


@pytest.mark.parametrize("first", ["golden", "block"])
async def test_who_makes_golden_and_who_blocks_at_once_never_both_succeed(night, pool, now, first):
    key = 35_999999_123456
    other = await night.theft(imeis=(imei.full(86_111111_000001),))
    said = golden.Additions((f"{key:014d}",), "test bench 4")
    steps = {
        "golden": lambda conn: golden.add(conn, ADMIN, said, now),
        "block": lambda conn: listing.block(conn, other, [key], now),
    }
    second = next(name for name in steps if name != first)
    async with pool.acquire() as one, pool.acquire() as two:
        begun = one.transaction()
        await begun.start()
        await steps[first](one)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_alone(two, steps[second]))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await begun.commit()
    assert isinstance(waiting.result(), Conflict)


async def _alone(conn, step):
    try:
        async with conn.transaction():
            await step(conn)
    except Conflict as error:
        return error
    return None


async def test_who_lists_for_long_is_not_waited_for(night, pool, now, monkeypatch):
    other = await night.theft(imeis=(imei.full(86_111111_000001),))
    async with pool.acquire() as one:
        begun = one.transaction()
        await begun.start()
        await listing.block(one, other, [35_999999_123456], now)
        with pytest.raises(Unavailable, match="at this moment"):
            await night.golden("35999999")
        await begun.rollback()


async def test_only_who_may_changes_what_is_golden_and_it_is_on_the_record(night, pool, manager, now):
    said = golden.Additions(("00",), "test range")
    with pytest.raises(Forbidden):
        await transaction(pool, lambda conn: golden.add(conn, manager, said, now))
    assert await night.golden("00", "350000000000006", "35000000000000") == ["00", "35000000000000"]
    assert await night.golden("00") == []
    async with pool.acquire() as conn:
        assert [one.digits for one in await golden.listed(conn, manager)] == [
            "00",
            "00990099",
            "35000000000000",
        ]
    await transaction(pool, lambda conn: golden.remove(conn, ADMIN, "350000000000006", "thrown away", now))
    with pytest.raises(Missing):
        await transaction(pool, lambda conn: golden.remove(conn, ADMIN, "350000000000006", "again", now))
    rows = await pool.fetch("SELECT body FROM audit_entry WHERE kind LIKE 'golden.%' ORDER BY entry_id")
    assert len(rows) == 2
    assert "35000000000000" not in "".join(row["body"] for row in rows)


@pytest.mark.parametrize(
    ("digits", "code"),
    [
        ("3", "golden-malformed"), ("35-0", "golden-malformed"), ("", "golden-malformed"),
        ("350000000000000", "imei-check-digit"),
    ],
)  # fmt: skip
async def test_what_is_none_is_refused_with_its_place(night, digits, code):
    with pytest.raises(Invalid) as refused:
        await night.golden("00", digits)
    assert [(flaw.pointer, flaw.code) for flaw in refused.value.flaws] == [("/digits/1", code)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.integers(1, 10**14 - 1), min_size=1, max_size=8, unique=True),
    chosen=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(golden.WIDTHS)), max_size=4),
)
async def test_a_listing_is_refused_exactly_if_a_key_begins_with_golden_digits(pool, now, keys, chosen):
    digits = {f"{keys[place % len(keys)]:014d}"[:width] for place, width in chosen}
    async with pool.acquire() as conn:
        begun = conn.transaction()
        await begun.start()
        await golden.add(conn, ADMIN, golden.Additions(tuple(digits), "bench"), now) if digits else None
        for key in keys:
            hit = any(f"{key:014d}".startswith((one, "00990099")) for one in (*digits, "00990099"))
            inner = conn.transaction()
            await inner.start()
            try:
                await conn.execute(
                    "INSERT INTO listing (key, blocked_by, suspected_by, held_by, version, since)"
                    " VALUES ($1, 1, 0, '{1}', 1, $2)",
                    key,
                    now,
                )
                assert not hit
            except asyncpg.CheckViolationError:
                assert hit
            await inner.rollback()
        await begun.rollback()


async def test_a_person_of_another_role_reads_them_not(pool):
    async with pool.acquire() as conn:
        with pytest.raises(Forbidden):
            await golden.listed(conn, Principal("c", "C", Role.CARRIER))
