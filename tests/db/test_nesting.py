"""Cartons on pallets: who asks for a pallet gets what is in its cartons, at any time and to any depth."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from app.access.roles import Principal, Role
from app.blocklist.ask import look_up
from app.blocklist.standing import Status
from app.core import gs1, imei
from app.core.db import transaction
from app.core.errors import Invalid
from app.core.migrate import migrate
from app.core.sql import sql_root
from app.devices import nesting, pallets
from app.devices.find import Device, Wanted, find
from app.devices.moves import Move, Moved, history, move
from app.devices.receipts import ReceiptKind
from app.epcis.capture import capture_alone
from app.epcis.document import read_alone
from app.incidents import decide
from app.incidents.preview import Preview
from app.incidents.scope import Scope
from app.incidents.tidings import carry

from .conftest import NOW
from .test_epcis import ERROR, packed, phone, received

AUDITOR = Principal("audrey", "Audrey", Role.AUDITOR)
NINE, TEN, ELEVEN, NOON = (datetime(2026, 12, 21, hour, tzinfo=UTC) for hour in (9, 10, 11, 12))


def sscc(number: int) -> str:
    return f"{3 * 10**16 + number}{gs1.check_digit(str(3 * 10**16 + number))}"


P, Q, C, D = map(sscc, range(4))


def key(number: int) -> int:
    """The key of `phone(number)`."""
    return 35_209900_000000 + number


def link(name: int | str) -> str:
    return phone(name) if isinstance(name, int) else f"https://id.gs1.org/00/{name}"


def on(
    pallet: str, *children: int | str, at: datetime, action: str = "ADD", **members: Any
) -> dict[str, Any]:
    """Phones (by number) and cartons (by SSCC) that went onto a pallet, or (DELETE) came off it."""
    names = [link(child) for child in children]
    said = {
        "eventID": f"urn:x:{action}:{pallet}:{at:%H%M}:{':'.join(names)}",
        "eventTime": at.isoformat(),
        **members,
    }
    return packed(0, parentID=link(pallet), childEPCs=names, action=action, **said)


@pytest.fixture
def tells(pool, warehouse):
    """Captures these events, one after the other."""

    async def tell(*events: dict[str, Any]) -> None:
        for event in events:
            read = read_alone(json.dumps(event).encode(), NOW)
            said = {"actor": warehouse, "read": read, "carry": carry, "digest": bytes(32), "now": NOW}
            await transaction(pool, partial(capture_alone, **said))

    return tell


@pytest.fixture
def holds(pool):
    """The phones that a pallet held at a moment (None: holds now), as `GET /v1/devices` answers."""

    async def ask(pallet: str, at: datetime | None = None) -> list[int]:
        async with pool.acquire() as conn:
            found = await find(conn, AUDITOR, Wanted(pallet=pallet, at=at), after=0, limit=1000, now=NOW)
        return sorted(int(one.imeis[0][:14]) - key(0) for one in found)

    return ask


@pytest.fixture
def device(pool):
    async def ask(number: int) -> Device:
        async with pool.acquire() as conn:
            wanted = Wanted(imei=imei.full(key(number)))
            (found,) = await find(conn, AUDITOR, wanted, after=0, limit=10, now=NOW)
        return found

    return ask


@pytest.fixture
def previews(pool, manager):
    async def draft(**scope: Any) -> Preview:
        said = decide.Draft(title="Paris", scope=Scope(**scope))
        return (await transaction(pool, lambda conn: decide.draft(conn, manager, said, NOW))).preview

    return draft


@pytest.fixture
def moves(pool, warehouse):
    async def told(*said: Move) -> Moved:
        return await transaction(pool, lambda conn: move(conn, warehouse, said, source="test", now=NOW))

    return told


@pytest.fixture
def dock(pool):
    async def ask(pallet: str) -> pallets.Reconciliation:
        async with pool.acquire() as conn:
            return await pallets.reconcile(conn, AUDITOR, pallet)

    return ask


@pytest.mark.parametrize("late", [False, True])
async def test_a_carton_takes_along_what_is_in_it(tells, holds, device, late):
    told = [on(C, 1, 2, at=NINE), on(P, C, 3, at=TEN)]
    await tells(*(reversed(told) if late else told))
    assert await holds(P) == await holds(P, ELEVEN) == [1, 2, 3]
    assert await holds(C) == await holds(C, TEN - timedelta(minutes=1)) == [1, 2]
    assert await holds(P, TEN - timedelta(minutes=1)) == []
    inside, direct = await device(1), await device(3)
    assert (inside.pallet, inside.outermost) == (C, P)
    assert (direct.pallet, direct.outermost) == (P, P)


async def test_a_theft_of_pallets_blocks_what_is_in_their_cartons(pool, tells, manager, approver):
    await tells(on(C, 1, at=NINE), on(P, C, at=TEN), on(D, 2, at=NINE))
    said = decide.Draft(title="Paris", scope=Scope(pallets=(P,)))
    made = await transaction(pool, lambda conn: decide.draft(conn, manager, said, NOW))
    await transaction(pool, lambda conn: decide.submit(conn, manager, made.id, NOW))
    await transaction(pool, lambda conn: decide.approve(conn, approver, made.id, NOW))
    async with pool.acquire() as conn:
        found = await look_up(conn, [key(1), key(2)])
    assert [found.of(key(number)).status for number in (1, 2)] == [Status.BLOCKED, Status.CLEAR]


async def test_a_carton_that_went_elsewhere_is_left_there(tells, holds):
    await tells(on(C, 1, at=NINE), on(P, C, at=NINE), on(Q, C, at=TEN))
    await tells(on(P, C, at=ELEVEN, action="DELETE"), on(P, at=NOON, action="DELETE"))
    assert [await holds(P), await holds(Q)] == [[], [1]]
    assert [await holds(P, NINE), await holds(Q, NINE)] == [[1], []]
    await tells(on(Q, C, at=NOON, action="DELETE"))
    assert [await holds(Q), await holds(Q, ELEVEN), await holds(C)] == [[], [1], [1]]


async def test_emptying_a_pallet_takes_off_its_cartons_and_leaves_them_packed(tells, holds):
    await tells(on(C, 1, at=NINE), on(D, 2, at=NINE), on(C, D, at=NINE), on(P, C, 3, at=NINE))
    await tells(on(P, at=TEN, action="DELETE"))
    assert [await holds(one) for one in (P, C, D)] == [[], [1, 2], [2]]
    assert await holds(P, NINE) == [1, 2, 3]


async def test_unpacking_that_is_told_before_packing_counts_for_cartons(tells, holds):
    await tells(on(C, 1, at=NINE), on(D, 2, at=NINE))
    await tells(on(P, at=ELEVEN, action="DELETE"), on(Q, D, at=ELEVEN, action="DELETE"))
    await tells(on(P, C, at=TEN), on(Q, C, D, at=NINE))
    assert [await holds(P, TEN), await holds(P), await holds(Q, NINE), await holds(Q)] == [
        [1],
        [],
        [1, 2],
        [],
    ]
    await tells(on(P, C, at=NOON))
    assert await holds(P) == [1]


async def test_what_was_declared_wrong_nested_nothing(tells, holds):
    packing, emptying = on(P, C, at=TEN), on(P, at=ELEVEN, action="DELETE")
    await tells(on(C, 1, at=NINE), packing, emptying)
    assert await holds(P) == []
    await tells({**emptying, "errorDeclaration": ERROR})
    assert await holds(P) == [1]
    await tells({**packing, "errorDeclaration": ERROR})
    assert [await holds(P), await holds(P, TEN), await holds(C)] == [[], [], [1]]
    late = on(Q, C, at=TEN)
    await tells({**late, "errorDeclaration": ERROR}, late)
    assert await holds(Q) == []


async def test_seeing_a_carton_on_a_pallet_moves_nothing(tells, holds):
    await tells(on(C, 1, at=NINE), on(P, C, at=NINE), on(Q, C, at=TEN, action="OBSERVE"))
    assert [await holds(P), await holds(Q)] == [[1], []]


async def test_events_that_were_captured_before_cartons_counted_count(pool, owner, tells, holds):
    wrong, emptied = on(Q, C, at=NOON), on(P, at=ELEVEN, action="DELETE")
    await tells(
        on(C, 1, at=NINE), on(D, 2, at=NINE), on(P, C, D, P, at=TEN), on(Q, D, at=TEN), emptied, wrong
    )
    await tells(on(Q, D, at=NOON, action="DELETE"), on(P, C, at=NOON), {**wrong, "errorDeclaration": ERROR})
    told = [await holds(pallet, at) for pallet in (P, Q) for at in (NINE, TEN, ELEVEN, NOON)]
    assert told == [[], [1], [], [1], [], [2], [2], []]
    async with owner.acquire() as conn:
        await conn.execute("DROP TABLE nesting; DROP FUNCTION carton_stood")
        for name in ("0018_nesting.sql", "0020_cartons_taken_off.sql"):
            await conn.execute((sql_root() / "migrations" / name).read_text())
        await migrate(conn)
    assert [await holds(pallet, at) for pallet in (P, Q) for at in (NINE, TEN, ELEVEN, NOON)] == told
    assert await pool.fetchval("SELECT count(*) FROM nesting WHERE taken_off = $1", Q) == 1


@pytest.mark.parametrize("late", [False, True])
async def test_what_came_off_a_pallet_that_it_never_stood_on_stays_where_it_was(tells, holds, device, late):
    wrong, off = on(P, C, 2, at=TEN), on(P, C, 2, at=ELEVEN, action="DELETE")
    await tells(on(C, 1, at=NINE), on(Q, C, 2, at=NINE))
    await tells(*([off, wrong] if late else [wrong, off]))
    assert [await holds(P, TEN), await holds(P), await holds(Q)] == [[1, 2], [], []]
    await tells({**wrong, "errorDeclaration": ERROR})
    assert [await holds(P, TEN), await holds(Q)] == [[], [1, 2]]
    assert (await device(2)).pallet == Q
    await tells(on(Q, at=NOON, action="DELETE"))
    assert await holds(Q) == []


async def test_what_came_back_by_a_withdrawn_event_was_emptied_all_the_same(tells, holds):
    away = on(Q, C, 2, at=TEN)
    await tells(on(C, 1, at=NINE), on(P, C, 2, at=NINE), away, on(P, at=ELEVEN, action="DELETE"))
    assert [await holds(P), await holds(Q)] == [[], [1, 2]]
    await tells({**away, "errorDeclaration": ERROR})
    assert [await holds(P, TEN), await holds(P), await holds(Q)] == [[1, 2], [], []]


async def test_the_history_of_a_device_is_where_it_stood(pool, tells, device):
    await tells(on(P, 1, at=NINE), on(Q, 1, at=TEN), on(P, 1, at=ELEVEN, action="DELETE"))
    number = (await device(1)).id
    async with pool.acquire() as conn:
        assert [stay.pallet for stay in await history(conn, number)] == [Q, P, ""]
    await tells(on(Q, at=NOON, action="DELETE"))
    async with pool.acquire() as conn:
        assert [(stay.pallet, stay.moved_at) for stay in await history(conn, number)][:2] == [
            ("", NOON),
            (Q, TEN),
        ]


async def test_nothing_is_moved_onto_what_stands_in_it(tells, holds, moves):
    await tells(on(C, 1, at=NINE), on(D, C, at=NINE), on(P, D, 2, at=NINE))
    with pytest.raises(Invalid, match=f"{C} stood in carton {D}"):
        await moves(Move(to=C, pallet=P, at=TEN))
    assert [await holds(P), await holds(D), await holds(C)] == [[1, 2], [1], [1]]


async def test_circles_end(tells, holds, device, previews):
    await tells(on(C, 1, D, at=NINE), on(D, 2, C, at=NINE), on(P, 3, P, C, at=NINE - timedelta(hours=1)))
    assert [await holds(C), await holds(D), await holds(P)] == [[1, 2], [1, 2], [3]]
    assert (await device(1)).outermost == D
    shown = await previews(pallets=(C, D, Q))
    assert (shown.devices, shown.unknown.pallets) == (2, [Q])


async def test_a_chain_of_thousands_costs_a_moment(pool, tells, holds, device, dock, previews):
    chain = [sscc(number) for number in range(100, 5100)]
    rows = [(child, parent, NINE) for parent, child in pairwise(chain)]
    said = {"source": "test", "by": "test", "now": NOW}
    await transaction(pool, lambda conn: nesting.keep(conn, rows, **said))
    await tells(on(chain[-1], 1, at=NINE))
    began = time.monotonic()
    assert await holds(chain[0]) == await holds(chain[0], NINE) == [1]
    assert (await device(1)).outermost == chain[0]
    assert (await dock(chain[0])).arrived == 1
    shown = await previews(pallets=tuple(chain))
    assert (shown.devices, shown.unknown.pallets) == (1, [])
    assert time.monotonic() - began < 5


async def test_a_preview_names_the_nearest_pallet_that_was_named(tells, previews):
    await tells(on(D, 1, at=NINE), on(C, D, 2, at=NINE), on(P, C, at=TEN), on(Q, 3, at=NINE))
    shown = await previews(pallets=(P, Q))
    assert {it.pallet: it.devices for it in shown.by_pallet} == {P: 2, Q: 1}
    shown = await previews(pallets=(P, D, Q, sscc(9)), imeis=(imei.full(key(3)),))
    assert {it.pallet: it.devices for it in shown.by_pallet} == {P: 1, D: 1, Q: 1}
    assert shown.unknown.pallets == [sscc(9)]
    shown = await previews(pallets=(P, C, D), as_of=NINE)
    assert ({it.pallet: it.devices for it in shown.by_pallet}, shown.unknown.pallets) == ({C: 1, D: 1}, [P])


async def test_a_pallet_that_holds_nothing_but_a_named_carton_is_known(tells, previews):
    await tells(on(C, 1, at=NINE), on(P, C, at=NINE), on(Q, D, at=NINE))
    shown = await previews(pallets=(P, C, Q))
    assert ([it.pallet for it in shown.by_pallet], shown.unknown.pallets) == ([C], [Q])


async def test_who_moves_all_of_a_pallet_moves_its_cartons(tells, holds, device, moves):
    await tells(on(C, 1, 2, at=NINE), on(P, C, 3, at=NINE))
    told = await moves(Move(to=Q, pallet=P, at=TEN))
    assert (told.recorded, told.changed) == (3, 3)
    assert [await holds(P), await holds(Q), await holds(P, NINE)] == [[], [1, 2, 3], [1, 2, 3]]
    assert (await device(1)).pallet == C
    late = await moves(Move(to=D, pallet=P, at=NINE))
    assert (late.recorded, late.changed) == (3, 0)
    into = await moves(Move(to=C, pallet=Q, at=ELEVEN))
    assert (into.recorded, into.changed) == (1, 1)
    assert [await holds(Q), await holds(C)] == [[1, 2, 3], [1, 2, 3]]


async def test_moves_of_one_request_are_read_in_order_with_their_cartons(tells, holds, moves):
    await tells(on(C, 1, at=NINE), on(P, C, at=NINE), on(D, 2, at=NINE))
    told = await moves(Move(to=C, imeis=(imei.full(key(2)),), at=TEN), Move(to=Q, pallet=P, at=ELEVEN))
    assert (told.recorded, told.changed) == (1 + 2, 2)
    assert await holds(Q) == [1, 2]
    off = await moves(Move(to=P, pallet=Q, at=NOON), Move(to="", pallet=P, at=NOON))
    assert (off.recorded, off.changed) == (2 + 2, 2)
    assert [await holds(P), await holds(Q), await holds(C)] == [[], [], [1, 2]]


async def test_what_was_announced_for_a_pallet_has_come_in_its_cartons(registers, phones, moves, tells, dock):
    pallet, lines = phones(0, 1).split(",")[4], phones(0, 4).splitlines(keepends=True)
    await registers("".join(lines), kind=ReceiptKind.ANNOUNCEMENT)
    await registers(
        "".join(line.replace(pallet, to) for line, to in zip(lines, (C, D, pallet), strict=False))
    )
    await registers(phones(20, 1).replace(phones(20, 1).split(",")[4], C))
    seen = await dock(pallet)
    assert [(each.serial, each.pallet) for each in seen.elsewhere] == [("SN000000", C), ("SN000001", D)]
    await tells(on(pallet, C, at=NINE))
    seen = await dock(pallet)
    assert (seen.announced, seen.arrived, seen.complete) == (4, 3, False)
    assert [(each.serial, each.pallet) for each in seen.elsewhere] == [("SN000001", D)]
    assert [each.serial for each in seen.missing] == ["SN000003"]
    assert [(each.serial, each.announced_for) for each in seen.surplus] == [("SN000020", "")]


async def test_what_is_surplus_says_where_it_was_announced(registers, phones, dock):
    here, there = (phones(number, 1) for number in (0, 10))
    pallet, other = (line.split(",")[4] for line in (here, there))
    await registers(here + there, kind=ReceiptKind.ANNOUNCEMENT)
    await registers(here + there.replace(other, pallet))
    (one,) = (await dock(pallet)).surplus
    assert (one.serial, one.announced_for, one.pallet) == ("SN000010", other, pallet)
    (one,) = (await dock(other)).elsewhere
    assert (one.serial, one.announced_for, one.pallet) == ("SN000010", other, pallet)


async def test_a_pallet_leaves_with_its_cartons_and_only_what_is_named_is_counted(tells, device):
    await tells(on(C, 1, at=NINE), on(D, 2, at=NINE), on(P, 3, 4, C, D, at=NINE))
    await tells(on(P, 3, C, at=TEN, action="OBSERVE", bizStep="cycle_counting"))
    assert [(await device(one)).seen_at for one in (1, 2, 3, 4)] == [TEN, None, TEN, None]
    await tells(
        received(9, epcList=[link(P)], action="OBSERVE", bizStep="stock_taking", eventTime=ELEVEN.isoformat())
    )
    assert [(await device(one)).seen_at for one in (1, 2, 3, 4)] == [ELEVEN] * 4
    await tells(on(P, 3, at=NOON, action="OBSERVE", bizStep="shipping"))
    assert [(await device(one)).left_at for one in (1, 2, 3, 4)] == [NOON] * 4
    assert [(await device(one)).seen_at for one in (1, 2, 3, 4)] == [ELEVEN, ELEVEN, NOON, ELEVEN]
