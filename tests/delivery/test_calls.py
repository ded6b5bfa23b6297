"""A call that somebody else's adapter makes badly is a fault of that call, with words, and can be written down."""

from __future__ import annotations

import math

import msgspec
import pytest

from app.adapters.contract import Answer, Denied, Outcome, Throttled
from app.audit import record
from app.delivery import calls, judge

from .conftest import utc_now
from .test_lanes import claim_one, work_of


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd:
    """An adapter that answers what it was told to, or raises it."""

    def __init__(self, said):
        self._said = said

    async def send(self, batch, wire):
        if isinstance(self._said, BaseException):
            raise self._said
        return self._said


@pytest.fixture
async def made(town, pool):
    """`await made(said)`: a call of one order, made by an adapter that says so."""
    number = await town.partner("webhook")
    await town.block(await town.incident(), [35_555555_000000])
    work = await work_of(pool, await claim_one(pool))

    async def make(said):
        async with town.worker(slots=0) as desk, pool.acquire() as conn:
            contact = msgspec.structs.replace(await desk.contacts.of(conn, number), adapter=Odd(said))
            (call,) = calls.calls_of(work, 500)
            return await calls.make(call, contact, 5.0, utc_now)

    return make


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([Answer(None)], "broke: ValueError"),
        ([Answer("taken")], "broke: ValueError"),
        ([Answer(Outcome.DONE, words=7)], "broke: TypeError"),
        (["done"], "broke: AttributeError"),
        (7, "broke: TypeError"),
        ([], "0 answers to 1 orders"),
        (Denied(), "Denied"),
        (Throttled("slow", "7"), "slow"),
        (Throttled("slow", math.nan), "slow"),
        (Wordless(), "broke: Wordless"),
    ],
    ids=repr,
)
async def test_what_an_adapter_does_badly(made, said, words):
    one = await made(said)
    assert words in one.judged.fault
    assert one.judged.rest in (0, 1)
    (entry,) = calls.entries(1, [one])
    assert words in record.body(entry)


async def test_an_outcome_may_be_told_by_its_name(made):
    one = await made([Answer("done")])
    assert one.judged.answers == (Answer(Outcome.DONE),)
    assert judge.tally(one.judged.answers) == {"done": 1}


async def test_what_a_partner_answers_to_everything_fits_into_the_log(made):
    """One that refuses every order in words of its own, in as many calls as an entry tells of."""
    one = await made([Answer(Outcome.REFUSED, "no", "x")])
    orders = one.call.orders * calls.ORDERS_AN_ENTRY
    call = msgspec.structs.replace(one.call, places=list(range(1, len(orders) + 1)), orders=orders)
    answers = [Answer(Outcome.REFUSED, f"no {place}", "\u4e00" * 300) for place in call.places]
    worst = msgspec.structs.replace(one, call=call, judged=judge.heard(orders, answers))
    (entry,) = calls.entries(1, [worst])
    exceptions = entry.detail["calls"][0]["exceptions"]
    assert len(record.body(entry).encode()) < record.MOST_BYTES
    assert exceptions[0] == {"places": "1", "outcome": "refused", "code": "no 1", "words": "\u4e00" * 300}
    assert exceptions[-1]["places"] == f"{calls.ANSWERS_A_CALL + 1}-{len(orders)}"
    single = msgspec.structs.replace(one, exchanges=[{"url": "x" * 1500}])
    parts = calls.entries(1, [single] * calls.ORDERS_AN_ENTRY)
    assert sum(len(part.detail["calls"]) for part in parts) == calls.ORDERS_AN_ENTRY
    assert max(len(record.body(part).encode()) for part in parts) < record.MOST_BYTES
