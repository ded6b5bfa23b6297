"""The EIR dialect of one device a call, over sockets."""

import pytest

from app.adapters import registry
from app.adapters.contract import Batch, Failing, NoAnswer, Op, Outcome, Reply

from .conftest import SINCE, imeis


async def test_block_repeat_and_release(twin):
    partner = await twin("eir_push")
    said = [(await partner.tell(op, imeis(1)))[0] for op in (Op.BLOCK, Op.BLOCK, Op.RELEASE, Op.RELEASE)]
    assert [(answer.outcome.value, answer.code) for answer in said] == [
        ("done", "added"),
        ("already", "duplicate"),
        ("done", "deleted"),
        ("already", "notFound"),
    ]


async def test_an_imei_that_the_partner_does_not_take_is_refused(twin):
    partner = await twin("eir_push")
    partner.order(refuse_rate=1)
    assert (await partner.tell(Op.BLOCK, imeis(1)))[0].code == "notValidRequest"
    assert await partner.outcomes(Op.RELEASE, imeis(1)) == ["refused"]


async def test_not_added_is_tried_again(twin):
    partner = await twin("eir_push")
    partner.order(item_retry_rate=1)
    assert await partner.outcomes(Op.BLOCK, imeis(1)) == ["retry"]
    assert await partner.outcomes(Op.RELEASE, imeis(1)) == ["retry"]


class Says:
    """A wire on which the partner gives one reply; keeps what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.reply = Reply(status, {}, body)
        self.asked: list[str] = []

    async def send(self, method, url, *, headers=None, body=b""):
        self.asked.append(f"{method} {url}")
        return self.reply


def _adapter():
    return registry.make("eir_push", {"url": "http://eir.example/"})


async def test_the_address_is_the_claims_own():
    wire = Says(201, b"added")
    await _adapter().send(Batch("k", Op.BLOCK, imeis(1), SINCE.replace(year=2030), since=SINCE), wire)
    expected = "http://eir.example/eir/block/350000000000006/NULL/NULL/350000000000006/2026-03-01-02-03-04"
    assert wire.asked == [f"POST {expected}"]


@pytest.mark.parametrize(
    ("op", "status", "body", "outcome"),
    [
        (Op.BLOCK, 200, b"added\r\n", Outcome.DONE),
        (Op.BLOCK, 200, b'"duplicate"', Outcome.ALREADY),
        (Op.BLOCK, 409, b"duplicate", Outcome.ALREADY),
        (Op.RELEASE, 404, b"notFound", Outcome.ALREADY),
        (Op.BLOCK, 200, b"notFound", Outcome.UNKNOWN),
        (Op.BLOCK, 200, b"deleted", Outcome.UNKNOWN),
        (Op.RELEASE, 200, b"duplicate", Outcome.UNKNOWN),
        (Op.BLOCK, 201, b"", Outcome.UNKNOWN),
    ],
)
async def test_words_mean_what_they_mean_for_the_op(op, status, body, outcome):
    answers = await _adapter().send(Batch("k", op, imeis(1), SINCE), Says(status, body))
    assert [answer.outcome for answer in answers] == [outcome]


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"added"), (404, b"<html>"), (500, b"duplicate"), (302, b"")]
)
async def test_other_statuses_are_no_answer_about_a_device(status, body):
    with pytest.raises(Failing):
        await _adapter().send(Batch("k", Op.BLOCK, imeis(1), SINCE), Says(status, body))


async def test_applied_and_then_dropped_is_already_so_on_the_repeat(twin):
    partner = await twin("eir_push")
    partner.order(drop_rate=1, applied=True)
    with pytest.raises(NoAnswer):
        await partner.tell(Op.BLOCK, imeis(1))
    partner.order()
    assert await partner.outcomes(Op.BLOCK, imeis(1)) == ["already"]
    assert partner.stage.ledger.duplicates == 1
