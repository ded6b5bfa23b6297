"""A partner tried out: really called about one test identifier, which is blocked and released again at once.

It runs outside the lanes: it takes no token, moves no breaker, and calls a paused partner all the same, for that is
when people need it. No transaction is open while the partner is called, and a block that was sent is followed by its
release although nobody waits for the answer any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from app.access.roles import Permission, Principal
from app.adapters.contract import Answer, Batch, Kind, NoAnswer, Op, Order, Outcome
from app.audit.record import Entry, record
from app.core import imei
from app.core.db import Connection, Pool, transaction
from app.core.errors import Conflict, Flaw, Invalid
from app.core.imei import BadImei, shown
from app.core.keyring import Keyring
from app.core.sql import queries
from app.delivery import judge, partners, tls
from app.delivery.contacts import Contact, Contacts
from app.delivery.partners import Partner
from app.delivery.send import DEADLINE
from app.delivery.tls import Tls
from app.delivery.trial_report import Hushed, Overheard, Step, Trial, plainly, verdict
from app.delivery.wire import HttpWire

# Of the TAC that is for tests: nobody can register or declare it.
TEST_IMEI = "009900990000012"
TEST_SERIAL = "GATEWAYTRY0001"

_SQL = queries("trial")
# What most incidents are, so that the partner is told what it will be told.
_REASON = "theft"
_NEEDS_UNDOING = frozenset({Outcome.DONE, Outcome.ACCEPTED, Outcome.UNKNOWN})
T = TypeVar("T")


class TrialOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to try with: an IMEI or a serial that the partner lets you use; without one, a test identifier of
    ours. `release_only` releases what an earlier try left blocked, by the partner's `ref` where it gave one."""

    imei: str = ""
    serial: str = ""
    release_only: bool = False
    ref: str = ""


def open_wire(partner: Partner, *, files_root: str = "") -> HttpWire:
    """One connection of its own, under the deadline and the byte cap of every call to this partner; below `files_root`
    stand the directories of this machine that it may write to."""
    return HttpWire(
        deadline=DEADLINE,
        connections=1,
        tls=tls.context(Tls(**partner.tls)),
        allow_private=partner.allow_private,
        files_root=files_root,
    )


async def tried(
    pool: Pool, partner_id: int, asked: TrialOrder, actor: Principal, now: datetime, keyring: Keyring,
    wire: Callable[[Partner], HttpWire] = open_wire,
) -> Trial:  # fmt: skip
    """What came of it, after it was recorded as `partner.tried`; 45 seconds at most. Raises Missing, Invalid (no
    identifier that this partner is told of) or Conflict (the identifier is one of ours, the partner was removed)."""
    actor.require(Permission.PARTNERS_WRITE)
    contacts = Contacts(wire, keyring)

    async def through() -> Trial:
        try:
            async with pool.acquire(timeout=10) as conn:
                order = _order(await _present(conn, partner_id), asked, now)
                await _must_not_be_ours(conn, order)
                contact = await contacts.of(conn, partner_id)
            found = await _Run(contact, order, asked, now).trial()
        finally:
            await contacts.close()
        await transaction(pool, lambda conn: record(conn, [_entry(found, asked, actor, now)]))
        return found

    return await _seen_through(through())


async def _seen_through(work: Awaitable[T]) -> T:
    """What `work` gives. Who is cancelled meanwhile waits for its end all the same."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        raise


async def _present(conn: Connection, partner_id: int) -> Partner:
    partner = await partners.find(conn, partner_id)
    if partner.removed:
        raise Conflict("This partner was removed; there is nobody to try.", "partner-removed")
    return partner


def _order(partner: Partner, asked: TrialOrder, now: datetime) -> Order:
    """The identifier to try with, at a version that grows with time, as that of a listing does."""
    if asked.imei and asked.serial:
        text = "A try takes an IMEI or a serial, not both."
        raise Invalid(text, "try-two-identifiers", _at("serial", "leave it out"))
    if asked.ref and not asked.release_only:
        text = "A reference is that of a block to release; it goes with release_only."
        raise Invalid(text, "try-ref", _at("ref", "leave it out, or say release_only"))
    kinds = partner.scope.kinds
    kind = Kind.SERIAL if asked.serial or (not asked.imei and Kind.IMEI not in kinds) else Kind.IMEI
    if kind not in kinds:
        text = f"{partner.name} is not told of any {kind}; it is told of: {', '.join(kinds)}."
        raise Invalid(text, "try-kind", _at(kind, f"it would be another kind: {', '.join(kinds)}"))
    version = int(now.timestamp() * 1000)
    if kind is Kind.IMEI:
        key = _key(asked.imei or TEST_IMEI)
        return Order(key, version, imei=imei.full(key), ref=asked.ref)
    return Order(0, version, serial=_serial(asked.serial or TEST_SERIAL), ref=asked.ref)


def _key(text: str) -> int:
    try:
        return imei.spelled(text)
    except BadImei as error:
        raise Invalid(str(error), error.code, _at("imei", str(error))) from None


def _serial(text: str) -> str:
    if len(text) > 200 or not text.isprintable() or text != text.strip():
        right = "1 to 200 printable characters, without spaces around them"
        raise Invalid(
            f"A serial would be {right}.", "serial-malformed", _at("serial", f"it would be {right}")
        )
    return text


def _at(field: str, right: str) -> tuple[Flaw, ...]:
    return (Flaw(right, f"/{field}"),)


async def _must_not_be_ours(conn: Connection, order: Order) -> None:
    """Raises Conflict: a try ends with a release, and would undo what was decided about a device of ours."""
    key = order.key if order.imei else imei.asked(order.serial)
    (row,) = await conn.fetch(_SQL.ours, key, order.name)
    if row["registered"] or row["listed"]:
        standing = "is registered here" if row["registered"] else "was named in an incident here"
        raise Conflict(
            f"{order.name} {standing}, and a try would block and release it. Try with an identifier of nobody's:"
            f" without one, {TEST_IMEI} or {TEST_SERIAL} is taken.",
            "try-ours",
            _at(order.kind, "an identifier that is not known here"),
        )


def _entry(found: Trial, asked: TrialOrder, actor: Principal, now: datetime) -> Entry:
    told = ("identifier", "taken", "still_blocked", "steps")
    detail = {name: msgspec.to_builtins(getattr(found, name)) for name in told}
    return Entry(
        "partner.tried", f"partner:{found.partner_id}", actor.label, now,
        {**detail, "release_only": asked.release_only},
    )  # fmt: skip


class _Run:
    """One try of one partner: its steps, one call of the adapter each."""

    def __init__(self, contact: Contact, order: Order, asked: TrialOrder, now: datetime) -> None:
        self._contact, self._order, self._now = contact, order, now
        self._hushed = Hushed(contact.secrets)
        self._release_only = asked.release_only
        self._is_given = bool(asked.imei or asked.serial)

    async def trial(self) -> Trial:
        steps = await self._steps()
        partner = self._contact.partner
        said = verdict(partner.name, self._order.name, steps)
        return Trial(
            partner.id, partner.name, partner.adapter, self._order.name, self._order.kind, steps,
            said.taken, said.still_blocked, said.sentence,
        )  # fmt: skip

    async def _steps(self) -> list[Step]:
        if self._release_only:
            return [await self._tell(Op.RELEASE, self._order)]
        steps = []
        if self._contact.adapter.enrols:
            steps.append(await self._tell(Op.ENROL, self._order))
            if not steps[-1].taken:
                return steps
        block = await self._tell(Op.BLOCK, self._order)
        steps.append(block)
        if self._must_release(block):
            later = msgspec.structs.replace(self._order, version=self._order.version + 1, ref=block.ref)
            steps.append(await self._tell(Op.RELEASE, later))
        return steps

    def _must_release(self, block: Step) -> bool:
        """What was blocked before a try may be somebody else's block; of our own identifier it is a try's."""
        return block.outcome in _NEEDS_UNDOING or (block.outcome is Outcome.ALREADY and not self._is_given)

    async def _tell(self, op: Op, order: Order) -> Step:
        wire, began = Overheard(self._contact.wire, self._hushed), time.monotonic()
        key = f"try-{self._contact.partner.id}-{self._now:%Y%m%dT%H%M%S%f}-{op}"
        reason = self._contact.partner.scope.reasons.get(_REASON, _REASON)
        batch = Batch(key, op, (order,), self._now, reason, reference="try", since=self._now)
        answer, fault = await self._answered(batch, wire)
        ms = round((time.monotonic() - began) * 1000, 1)
        return Step(
            op,
            key,
            wire.exchanges,
            ms,
            answer.outcome,
            answer.code,
            answer.words,
            answer.ref,
            shown(fault, 300),
        )

    async def _answered(self, batch: Batch, wire: Overheard) -> tuple[Answer, str]:
        """Our reading, as the engine's, and the fault where there was one."""
        error: Exception
        try:
            async with asyncio.timeout(DEADLINE):
                answers = await self._contact.adapter.send(batch, wire)
            judged = judge.heard(batch.orders, [self._hushed.answer(answer) for answer in answers])
            return judged.answers[0], judged.fault
        except TimeoutError:
            error = NoAnswer(f"not answered whole within {DEADLINE:g} s")
        except Exception as raised:  # whatever an adapter raises is a fault of this one call
            error = raised
        outcome = judge.fault(batch.orders, error).answers[0].outcome
        return Answer(wire.reading(outcome)), self._hushed.text(plainly(error))
