"""Checks of acknowledgement files: a partner's are booked once, strange and hostile ones say nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.adapters.conformance import hostile
from app.adapters.conformance.subject import (
    AT,
    Broken,
    ScriptedWire,
    Subject,
    batch_of,
    good_news,
    hushed,
    legible,
    require,
    secrets,
)
from app.adapters.contract import Confirmation, Op, Outcome, PartnerFault, Polls, Report
from app.core.imei import asked

_NOTES = {"readme.txt": b"hello", "orders.csv": b"imei\n", "results": b"350000000000176,done\n"}


def expected(subject: Subject) -> bool:
    """Whether the subject's partner acknowledges what it is told."""
    return bool(subject.leaves and subject.leaves("a", b"") != {}) and isinstance(subject.make(), Polls)


class _Desk:
    """A batch that was sent, and what its partner left about it."""

    def __init__(self, subject: Subject, op: Op) -> None:
        self.subject, self.op = subject, op
        self.adapter: Any = subject.make()
        self.batch = batch_of(subject, op)
        self.wire = ScriptedWire()
        self.acks: dict[str, bytes] = {}

    async def sent(self) -> _Desk:
        answers = await self.adapter.send(self.batch, self.wire)
        accepted = all(answer.outcome is Outcome.ACCEPTED for answer in answers)
        require(accepted, "what is yet to be acknowledged was not answered with 'accepted'")
        for name, body in list(self.wire.shelf.items()):
            self.acks |= (self.subject.leaves or _nothing)(name, body)
        self.wire.shelf |= self.acks
        return self

    async def polled(self) -> Sequence[Report]:
        try:
            reports: Sequence[Report] = await self.adapter.poll(self.wire, AT)
        except PartnerFault as fault:
            raise Broken(f"what lies there kept the others from being read: {fault}") from fault
        except Exception as error:
            raise Broken(f"poll raised {error!r}; it may raise PartnerFault only") from error
        for report in reports:
            legible(report.name, report.words)
            hushed(self.subject, self.wire, report.name, report.words)
            for said in report.confirmations:
                legible(said.name, said.answer.code, said.answer.words, said.answer.ref)
                hushed(
                    self.subject, self.wire, said.name, said.answer.code, said.answer.words, said.answer.ref
                )
        names = {report.name for report in reports}
        require(len(names) == len(reports), "two reports have one name")
        return reports

    async def put_away(self, names: Sequence[str]) -> None:
        try:
            await self.adapter.put_away(names, self.wire)
        except Exception as error:
            raise Broken(f"put_away raised {error!r}; what is gone already is no fault") from error

    def truth(self) -> set[tuple[object, Op]]:
        return {(asked(order.name) or order.name, self.op) for order in self.batch.orders}


def _nothing(_name: str, _body: bytes) -> dict[str, bytes]:
    return {}


def _told(reports: Sequence[Report]) -> list[tuple[object, Op]]:
    """What is confirmed: identifiers and what was done with them, where it is good news."""
    said = [each for report in reports for each in report.confirmations]
    return [_essence(each) for each in said if good_news([each.answer])[0]]


def _essence(said: Confirmation) -> tuple[object, Op]:
    return asked(said.name) or said.name, said.op


async def _read(subject: Subject, op: Op) -> None:
    desk = await _Desk(subject, op).sent()
    reports = await desk.polled()
    require(
        set(_told(reports)) == desk.truth(), "the acknowledgement of all that was told was not understood"
    )
    require(await desk.polled() == reports, "a second look found something else")


async def _put_away(subject: Subject, op: Op) -> None:
    desk = await _Desk(subject, op).sent()
    names = [report.name for report in await desk.polled()]
    await desk.put_away(names)
    require(not await desk.polled(), "what was put away was read again")
    orders = {name for name in desk.wire.shelf if "/" not in name}
    require(bool(orders) and not orders & desk.acks.keys(), "put away was something else than was read")
    for again in (names, ["gone.ack.0000", "", "..", "no-dot"]):
        await desk.put_away(again)


async def _changed_meanwhile(subject: Subject, op: Op) -> None:
    """What a partner writes between our reading and our putting away is not lost."""
    desk = await _Desk(subject, op).sent()
    names = [report.name for report in await desk.polled()]
    for name, body in desk.acks.items():
        desk.wire.shelf[name] = body + b"\n"
    await desk.put_away(names)
    again = [report.name for report in await desk.polled()]
    require(len(again) == len(desk.acks), "an acknowledgement that had changed was put away unread")
    require(not set(again) & set(names), "another acknowledgement came under the name of one that was booked")


async def _strangers(subject: Subject, op: Op) -> None:
    """Files that are no acknowledgements stay where they are."""
    desk = await _Desk(subject, op).sent()
    desk.wire.shelf |= _NOTES
    require(set(_told(await desk.polled())) == desk.truth(), "another file was taken for an acknowledgement")
    await desk.put_away([*_NOTES, *(f"{name}.0000" for name in _NOTES)])
    require(_NOTES.items() <= desk.wire.shelf.items(), "a file that is no acknowledgement was put away")


async def _broken(subject: Subject, op: Op) -> None:
    """One that is cut confirms nothing that the whole one does not."""
    desk = await _Desk(subject, op).sent()
    for name, body in desk.acks.items():
        for how, spoiled in hostile.broken(body):
            desk.wire.shelf[name] = spoiled
            said = set(_told(await desk.polled()))
            require(said <= desk.truth(), f"an acknowledgement that is {how} confirmed something else")
        desk.wire.shelf[name] = body


async def _secrets_echoed(subject: Subject, op: Op) -> None:
    desk = await _Desk(subject, op).sent()
    hidden = " ".join(secrets(subject)).encode().replace(b"\n", b" ")
    for name, body in desk.acks.items():
        desk.wire.shelf[name] = body.replace(b"\n", b"," + hidden + b"\n") + hidden
    await desk.polled()


async def hostile_body(subject: Subject, op: Op, body: bytes) -> None:
    """A body that means nothing, in an acknowledgement beside one that is good: that one is booked all the same."""
    desk = await _Desk(subject, op).sent()
    other = _Desk(subject, op)
    other.batch = batch_of(subject, op, key="another")
    desk.wire.shelf |= dict.fromkeys((await other.sent()).acks, body)
    told = _told(await desk.polled())
    require(
        len(told) == len(set(told)) and set(told) == desk.truth(),
        "the good one beside it was not read as it is",
    )


PER_OP: dict[str, Callable[[Subject, Op], Awaitable[None]]] = {
    "acks-read": _read,
    "acks-put-away": _put_away,
    "acks-changed-meanwhile": _changed_meanwhile,
    "acks-strangers": _strangers,
    "acks-broken": _broken,
    "acks-secrets-echoed": _secrets_echoed,
}
