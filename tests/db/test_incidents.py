"""The decisions against a real database: who may, what follows, and what never happens by halves."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest

from app.access.roles import Principal, Role
from app.blocklist.ask import look_up
from app.blocklist.standing import Status
from app.core import imei
from app.core.db import Pool, transaction
from app.core.errors import Conflict, Forbidden, Invalid
from app.incidents import decide
from app.incidents.incident import report
from app.incidents.lift import lift
from app.incidents.scope import Scope


class Night:
    """One test's incidents, each step in a transaction of its own."""

    def __init__(self, pool: Pool, manager: Principal, approver: Principal, now: datetime) -> None:
        self.pool, self.manager, self.approver, self.now = pool, manager, approver, now

    async def draft(self, **scope) -> decide.Drafted:
        said = decide.Draft(title="Paris", scope=Scope(**scope))
        return await transaction(self.pool, lambda conn: decide.draft(conn, self.manager, said, self.now))

    async def submit(self, number: int):
        return await transaction(self.pool, lambda conn: decide.submit(conn, self.manager, number, self.now))

    async def approve(self, number: int, by: Principal | None = None):
        who = by or self.approver
        return await transaction(self.pool, lambda conn: decide.approve(conn, who, number, self.now))

    async def theft(self, **scope) -> int:
        number = (await self.draft(**scope)).id
        await self.submit(number)
        await self.approve(number)
        return number

    async def lift(self, number: int, **scope):
        return await transaction(
            self.pool, lambda conn: lift(conn, self.approver, number, Scope(**scope), self.now)
        )

    async def withdraw(self, number: int):
        return await transaction(
            self.pool, lambda conn: decide.withdraw(conn, self.manager, number, "a mistake", self.now)
        )

    async def status(self, number: str) -> Status:
        async with self.pool.acquire() as conn:
            found = await look_up(conn, [int(number[:14])])
        return found.of(int(number[:14])).status


@pytest.fixture
def night(pool, manager, approver, now) -> Night:
    return Night(pool, manager, approver, now)


def cells(text: str, column: int) -> list[str]:
    return [line.split(",")[column] for line in text.splitlines()]


async def test_a_pallet_is_declared_by_two_people(night, registers, phones):
    text = phones(0, 20)
    await registers(text)
    pallets = sorted(set(cells(text, 4)))
    drafted = await night.draft(pallets=(pallets[0],))
    shown = drafted.preview
    assert (shown.devices, shown.identifiers, shown.imeis, shown.serials) == (10, 20, 20, 0)
    assert [(row.pallet, row.devices) for row in shown.by_pallet] == [(pallets[0], 10)]
    assert [(row.model, row.devices) for row in shown.by_model] == [("Phone X", 10)]
    assert [(row.currency, str(row.amount)) for row in shown.value] == [("EUR", "4999.00")]
    stolen, safe = cells(text, 1)[0], cells(text, 1)[15]
    assert await night.status(stolen) == Status.CLEAR
    await night.submit(drafted.id)
    assert await night.status(stolen) == Status.SUSPECT
    approved = await night.approve(drafted.id)
    assert approved.state == "approved"
    assert await night.status(stolen) == Status.BLOCKED
    assert await night.status(safe) == Status.CLEAR


async def test_no_pallet_held_anything_at_a_moment_that_has_not_come(night, registers, phones, now):
    await registers(phones(0, 10))
    pallet = cells(phones(0, 1), 4)[0]
    soon = now + timedelta(minutes=5)
    drafted = await night.draft(pallets=(pallet,), as_of=soon)
    assert (drafted.preview.devices, drafted.preview.as_of) == (10, soon)
    with pytest.raises(Invalid) as refused:
        await night.draft(pallets=(pallet,), as_of=soon + timedelta(seconds=1))
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/scope/as_of"]
    assert refused.value.detail.startswith("At 2026-12-22T02:05:01+00:00 no pallet has held anything yet; ")
    night.now = now - timedelta(minutes=1)
    with pytest.raises(Invalid, match="no pallet has held anything yet"):
        await night.submit(drafted.id)


async def test_who_submitted_may_not_approve_or_reject(night, registers, phones, now):
    await registers(phones(0, 1))
    both = Principal("ada", "Ada", Role.ADMIN)
    night.manager = both
    number = (await night.draft(serials=("SN000000",))).id
    await night.submit(number)
    with pytest.raises(Forbidden, match="somebody else"):
        await night.approve(number, by=both)
    with pytest.raises(Forbidden):
        await transaction(night.pool, lambda conn: decide.reject(conn, both, number, "no", now))
    assert await night.status(cells(phones(0, 1), 0)[0]) == Status.SUSPECT


async def test_the_database_itself_refuses_one_person_for_both(pool, night, registers, phones):
    await registers(phones(0, 1))
    number = (await night.draft(serials=("SN000000",))).id
    await night.submit(number)
    for by, assents, guard in (
        ("submitted_by", "ARRAY[submitted_by]", "two_people"),
        ("'somebody'", "'{}'", "enough_people"),
    ):
        with pytest.raises(asyncpg.CheckViolationError, match=guard):
            await pool.execute(
                f"UPDATE incident SET state = 'approved', approved_by = {by}, assents = {assents}"
                " WHERE incident_id = $1",
                number,
            )


async def test_the_unknown_is_listed_and_declared_all_the_same(night, registers, phones):
    await registers(phones(0, 2))
    never = imei.full(35_999999_123456)
    drafted = await night.draft(
        imeis=(never, cells(phones(0, 1), 0)[0]),
        serials=("GHOST",),
        pallets=("306141411234567899",),
        receipts=(77,),
    )
    unknown = drafted.preview.unknown
    assert (unknown.imeis, unknown.serials, unknown.pallets, unknown.receipts) == (
        [never], ["GHOST"], ["306141411234567899"], [77],
    )  # fmt: skip
    assert (drafted.preview.devices, drafted.preview.identifiers) == (1, 4)
    submitted = await night.submit(drafted.id)
    assert submitted.preview is not None
    assert submitted.preview.identifiers == 4
    await night.approve(drafted.id)
    assert await night.status(never) == Status.BLOCKED


async def test_one_imei_brings_the_whole_device(night, registers, phones):
    text = phones(0, 1)
    await registers(text)
    await night.theft(imeis=(cells(text, 0)[0],))
    assert await night.status(cells(text, 1)[0]) == Status.BLOCKED


async def test_an_empty_scope_and_one_with_wrong_digits_are_refused(night, pool):
    with pytest.raises(Invalid, match="empty"):
        await night.draft()
    with pytest.raises(Invalid) as caught:
        await night.draft(imeis=("490154203237518", "490154203237510"), pallets=("12",))
    places = {flaw.pointer: flaw.detail for flaw in caught.value.flaws}
    assert "would be 8" in places["/scope/imeis/1"]
    assert "18 digits" in places["/scope/pallets/0"]
    assert await pool.fetchval("SELECT count(*) FROM incident") == 0


async def test_a_scope_that_comes_to_nothing_cannot_be_submitted(night):
    drafted = await night.draft(pallets=("306141411234567899",))
    with pytest.raises(Conflict, match="nothing that could be blocked"):
        await night.submit(drafted.id)


async def test_a_device_of_two_incidents_stays_blocked_until_both_let_go(night, registers, phones):
    text = phones(0, 10)
    await registers(text)
    first = await night.theft(serials=("SN000000", "SN000001"))
    drafted = await night.draft(serials=("SN000001", "SN000002"))
    (held,) = drafted.preview.claimed_elsewhere
    assert (held.incident_id, held.identifiers) == (first, 2)
    second = await night.theft(serials=("SN000001", "SN000002"))
    shared = cells(text, 0)[1]
    lifted = await night.lift(first, serials=("SN000001",))
    assert (lifted.identifiers, lifted.released, lifted.still_held) == (2, 0, 2)
    assert await night.status(shared) == Status.BLOCKED
    await night.withdraw(second)
    assert await night.status(shared) == Status.CLEAR
    assert await night.status(cells(text, 0)[0]) == Status.BLOCKED


async def test_lifting_all_of_it_closes_the_incident(night, registers, phones, pool, manager):
    text = phones(0, 3)
    await registers(text)
    never = imei.full(35_999999_123456)
    number = await night.theft(serials=("SN000000", "GHOST"), imeis=(never,))
    part = await night.lift(number, imeis=(cells(text, 1)[0], never), serials=("SN000002",))
    assert (part.devices, part.identifiers, part.released, part.state) == (1, 3, 3, "approved")
    assert len(part.not_claimed) == 2
    rest = await night.lift(number, serials=("GHOST",))
    assert (rest.identifiers, rest.state) == (1, "closed")
    assert await night.status(never) == Status.UNKNOWN
    async with pool.acquire() as conn:
        found = await report(conn, manager, number)
    assert (found.claims.active, found.claims.lifted) == (0, 4)


async def test_rejection_and_withdrawal_acquit(night, registers, phones, approver, now):
    text = phones(0, 2)
    await registers(text)
    number = (await night.draft(serials=("SN000000",))).id
    await night.submit(number)
    await transaction(night.pool, lambda conn: decide.reject(conn, approver, number, "not ours", now))
    assert await night.status(cells(text, 0)[0]) == Status.CLEAR
    other = (await night.draft(serials=("SN000001",))).id
    await night.submit(other)
    await night.withdraw(other)
    assert await night.status(cells(text, 0)[1]) == Status.CLEAR
    with pytest.raises(Conflict, match="withdrawn"):
        await night.approve(other)


async def test_a_resent_receipt_scopes_the_same_devices(night, registers, phones):
    await registers(phones(0, 10))
    again = await registers(phones(0, 10))
    drafted = await night.draft(receipts=(again.receipt_id,))
    assert drafted.preview.devices == 10


async def test_overlapping_decisions_at_once_never_deadlock(night, registers, phones):
    await registers(phones(0, 600))
    scopes = [tuple(f"SN{n:06d}" for n in range(start, start + 400)) for start in (0, 100, 200, 50)]
    numbers = [(await night.draft(serials=scope[:: (-1) ** place])).id for place, scope in enumerate(scopes)]
    await asyncio.gather(*(night.submit(number) for number in numbers))
    await asyncio.gather(*(night.approve(number) for number in numbers))
    async with night.pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT count(*) AS n, min(version) AS low, max(version) AS high FROM listing"
        )
    assert tuple(row) == (1200, 1, 1)


async def test_approving_twice_blocks_once(night, registers, phones, pool):
    await registers(phones(0, 5))
    number = (await night.draft(serials=("SN000000",))).id
    await night.submit(number)
    results = await asyncio.gather(*(night.approve(number) for _ in range(4)))
    assert {result.state for result in results} == {"approved"}
    assert await pool.fetchval("SELECT max(blocked_by) FROM listing") == 1
    assert await pool.fetchval("SELECT count(*) FROM audit_entry WHERE kind = 'incident.approved'") == 1


async def test_each_decision_is_on_the_audit_log(night, registers, phones, pool):
    await registers(phones(0, 5))
    number = await night.theft(serials=("SN000000",))
    await night.lift(number, serials=("SN000000",))
    kinds = [row["kind"] for row in await pool.fetch("SELECT kind FROM audit_entry ORDER BY entry_id")]
    assert kinds == [
        "receipt.registered", "incident.drafted", "incident.submitted", "incident.approved", "incident.lifted",
        "incident.closed",
    ]  # fmt: skip


async def test_two_submissions_at_once_share_an_unknown_serial(night, pool):
    numbers = [(await night.draft(serials=("GHOST",))).id for _ in range(4)]
    await asyncio.gather(*(night.submit(number) for number in numbers))
    assert await pool.fetchval("SELECT count(*) FROM claim") == 4
    assert await pool.fetchval("SELECT suspected_by FROM listing") == 4


async def test_a_lift_says_what_nobody_knows(night, registers, phones):
    await registers(phones(0, 1))
    number = await night.theft(serials=("SN000000",))
    lifted = await night.lift(number, serials=("SN000000", "GHOST"), receipts=(99,))
    assert (lifted.unknown.serials, lifted.unknown.receipts) == (["GHOST"], [99])
