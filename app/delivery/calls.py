"""One call to a partner: the orders it carries, how it is made, and what the audit log says of it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import accumulate, groupby, pairwise
from typing import Any

import msgspec

from app.adapters.contract import Answer, Batch, NoAnswer, Order
from app.audit.record import MOST_BYTES, Entry, body
from app.delivery import judge
from app.delivery.contacts import Contact, Witnessed
from app.delivery.judge import Judgement
from app.delivery.lanes import Work

# A partner that is told order by order would otherwise fill the log with an entry for each.
ORDERS_AN_ENTRY = 100
ANSWERS_A_CALL = 16
_VARIOUS = "various"
_SIMPLE = {"done", "already"}
# Whatever an adapter raises is a fault of this one call, and nobody ends of it.
ADAPTERS_RAISE = (Exception, SystemExit, asyncio.CancelledError)


class Call(msgspec.Struct, frozen=True):
    """A call to make: the delivery, the places in its chunk that it is about, and their orders."""

    work: Work
    places: list[int]
    orders: tuple[Order, ...]


class Made(msgspec.Struct, frozen=True):
    """A call that was made, under which key, when, for how many milliseconds, what went over the wire (see Witnessed),
    and how the answer is read."""

    call: Call
    key: str
    at: datetime
    ms: float
    exchanges: list[dict[str, Any]]
    judged: Judgement


def calls_of(work: Work, size: int) -> list[Call]:
    """The calls that tell what has not had its turn, of so many orders each."""
    turns = [work.untried[start : start + size] for start in range(0, len(work.untried), size)]
    return [Call(work, places, tuple(work.orders[place] for place in places)) for places in turns]


async def make(call: Call, contact: Contact, deadline: float, now: Callable[[], datetime]) -> Made:
    """Makes a call, in `deadline` seconds at most. Whatever goes wrong is in the judgement."""
    at, key, wire = now(), _key(contact.partner.id, call.work, call.places), Witnessed(contact.wire)
    began = time.monotonic()
    try:
        # One deadline over all that an adapter sends for one batch, or it could outlast the lease.
        async with asyncio.timeout(deadline):
            judged = judge.heard(call.orders, await contact.adapter.send(_batch(call, key, at), wire))
    except TimeoutError:
        judged = judge.fault(call.orders, NoAnswer(f"not answered whole within {deadline:g} s"))
    except ADAPTERS_RAISE as error:
        if is_our_end(error):
            raise
        judged = judge.fault(call.orders, error)
    return Made(call, key, at, round(1000 * (time.monotonic() - began), 1), wire.exchanges, judged)


def is_our_end(error: BaseException) -> bool:
    """Whether one of `ADAPTERS_RAISE` is none of an adapter's: we have been cancelled ourselves."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _batch(call: Call, key: str, at: datetime) -> Batch:
    work = call.work
    return Batch(
        key=key,
        op=work.op,
        orders=call.orders,
        at=at,
        reason=work.reason,
        reference=str(work.incident_id or ""),
        since=work.since,
        number=work.chunk_id,
        tried=None if work.fresh.issuperset(call.places) else work.tried,
    )


def _key(partner_id: int, work: Work, places: Sequence[int]) -> str:
    """The same for every repeat of the same orders of the same chunk, which never changes, and for nothing else."""
    return hashlib.sha256(f"{partner_id}:{work.chunk_id}:{work.op}:{places}".encode()).hexdigest()[:32]


def entries(partner_id: int, made: Sequence[Made]) -> list[Entry]:
    """What the audit log says of calls of one command, made one after the other."""
    orders = accumulate(len(one.call.orders) for one in made)
    told = groupby(zip(orders, made, strict=True), key=lambda counted: counted[0] // ORDERS_AN_ENTRY)
    return [entry for _, some in told for entry in _fitting(partner_id, [one for _, one in some])]


def _fitting(partner_id: int, made: Sequence[Made]) -> list[Entry]:
    """One entry, or more where it would be too large for the log."""
    entry, middle = _entry(partner_id, made), len(made) // 2
    if not middle or len(body(entry).encode()) <= MOST_BYTES:
        return [entry]
    return [*_fitting(partner_id, made[:middle]), *_fitting(partner_id, made[middle:])]


def _entry(partner_id: int, made: Sequence[Made]) -> Entry:
    work = made[0].call.work
    detail = {
        "op": work.op,
        "command": work.command_id,
        "incident": work.incident_id,
        "calls": [_said(one) for one in made],
    }
    return Entry("delivery.attempted", f"partner:{partner_id}", "worker", made[0].at, detail)


def _said(made: Made) -> dict[str, Any]:
    said = {
        "chunk": made.call.work.chunk_id,
        "places": _spans(made.call.places),
        "key": made.key,
        "at": made.at,
        "ms": made.ms,
        "outcomes": judge.tally(made.judged.answers),
        "exchanges": made.exchanges,
    }
    if made.judged.fault:
        return said | {"fault": made.judged.fault}
    return said | {"exceptions": _exceptions(made.call, made.judged.answers)}


def _spans(places: Sequence[int]) -> str:
    """Places in few words: `1-500`, or `3,7-9`."""
    if places == list(range(places[0], places[0] + len(places))):
        return _span(places[0], places[-1])
    starts = [place for before, place in pairwise([-1, *places]) if place != before + 1]
    ends = [place for place, after in pairwise([*places, -1]) if after != place + 1]
    return ",".join(map(_span, starts, ends))


def _span(first: int, last: int) -> str:
    return f"{first}-{last}" if first < last else str(first)


def _exceptions(call: Call, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The orders that did not simply succeed, by their places in the chunk, those of one answer together. Of a partner
    that has another one for everything, the first are told, and of the rest what they came to."""
    if judge.tally(answers).keys() <= _SIMPLE:
        return []
    places: dict[tuple[str, str, str], list[int]] = {}
    for place, answer in zip(call.places, answers, strict=True):
        if answer.outcome not in _SIMPLE:
            said = (answer.outcome, answer.code, answer.words)
            known = said in places or len(places) < ANSWERS_A_CALL
            places.setdefault(said if known else (answer.outcome, _VARIOUS, ""), []).append(place)
    return [
        {"places": _spans(some), "outcome": outcome, "code": code, "words": words}
        for (outcome, code, words), some in places.items()
    ]
