"""Signed CloudEvents, over sockets."""

import json

import pytest

from app.adapters import registry
from app.adapters.contract import Batch, Denied, Failing, Op, Reply

from .conftest import SINCE, imeis, serials
from .subjects import OLD_SECRET, SECRET


@pytest.mark.parametrize("form", ["structured", "batched"])
@pytest.mark.parametrize("results", [True, False])
async def test_block_repeat_and_release(twin, form, results):
    partner = await twin("webhook", {"results": results}, settings={"form": form})
    told = imeis(500) + serials(500)
    assert await partner.outcomes(Op.BLOCK, told) == ["done"] * 1000
    assert await partner.outcomes(Op.BLOCK, told) == ["already" if results else "done"] * 1000
    assert await partner.outcomes(Op.RELEASE, told[:10]) == ["done"] * 10
    counts = partner.stage.ledger.counts()
    assert (counts["blocked"], counts["released"], counts["duplicates"]) == (990, 10, 1000)


async def test_the_partner_believes_no_other_secret(twin):
    partner = await twin("webhook", settings={"secret": SECRET})
    with pytest.raises(Denied):
        await partner.tell(Op.BLOCK, imeis(1))
    assert partner.stage.ledger.counts()["blocked"] == 0


async def test_a_secret_is_replaced_without_a_gap(twin):
    partner = await twin(
        "webhook", {"secret": OLD_SECRET}, settings={"secret": SECRET, "previous_secret": OLD_SECRET}
    )
    assert await partner.outcomes(Op.BLOCK, imeis(1)) == ["done"]


async def test_results_are_per_identifier(twin):
    partner = await twin("webhook")
    partner.order(refuse_rate=0.2, item_retry_rate=0.2)
    outcomes = await partner.outcomes(Op.BLOCK, imeis(200))
    assert set(outcomes) == {"done", "refused", "retry"}
    assert partner.stage.ledger.counts()["blocked"] == outcomes.count("done")


REFUSED = '{"results":[{"identifier":"350000000000006","outcome":"refused"}]}'


class Says:
    def __init__(self, body: bytes, status: int = 200) -> None:
        self.reply, self.body = Reply(status, {}, body), b""

    async def send(self, method, url, *, headers=None, body=b""):
        self.headers, self.body = headers, body
        return self.reply


def _adapter(**settings):
    return registry.make("webhook", {"url": "https://partner.example/in", "secret": SECRET} | settings)


async def test_the_event_says_what_whom_and_why():
    wire = Says(b"")
    batch = Batch("p:7", Op.BLOCK, imeis(1) + serials(1), SINCE, reference="INC-1", since=SINCE)
    await _adapter().send(batch, wire)
    event = json.loads(wire.body)
    assert (event["id"], event["type"], event["time"]) == (
        "p:7",
        "imei-gateway.block",
        "2026-03-01T02:03:04Z",
    )
    assert event["data"] == {
        "op": "block",
        "reason": "theft",
        "reference": "INC-1",
        "identifiers": [
            {"identifier": "350000000000006", "kind": "imei", "version": 1},
            {"identifier": "R58M000000", "kind": "serial", "version": 1},
        ],
    }
    assert wire.headers["content-type"] == "application/cloudevents+json"
    assert wire.headers["webhook-id"] == "p:7"


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", "done"),
        (b"OK", "done"),
        (b'{"received":true}', "done"),
        (b'{"results":[]}', "unknown"),
        (b'{"results":[{"identifier":"350000000000006","outcome":"refused"}]}', "refused"),
        (b'{"results":[{"identifier":"350000000000006","outcome":"splendid"}]}', "unknown"),
        (b'{"results":[{"identifier":"350000000000006"}]}', "unknown"),
        (b'\xef\xbb\xbf {"results":[{"identifier":"350000000000006","outcome":"refused"}]}', "refused"),
    ],
)
async def test_what_an_answer_means(body, outcome):
    answers = await _adapter().send(Batch("k", Op.BLOCK, imeis(1), SINCE), Says(body))
    assert [answer.outcome for answer in answers] == [outcome]


@pytest.mark.parametrize(
    "body",
    [
        b'{"results":',
        b'{"results":{}}',
        b'{"results":[],"results":[]}',
        REFUSED.encode("utf-16"),
        b"\xa0" + REFUSED.encode(),
        b"[" + REFUSED.encode() + b"]",
        b'[{"identifier":"350000000000006","outcome":"refused"}]',
        b"<html><style>p {margin: 0}</style><p>Sign in</p></html>",
        b'{"results":[' + b"{}," * 2000 + b"{}]}",
    ],
    ids=range(9),
)
async def test_what_is_not_understood_says_nothing(body):
    """Results may stand in it, and none of them would be a success by itself."""
    with pytest.raises(Failing):
        await _adapter().send(Batch("k", Op.BLOCK, imeis(1), SINCE), Says(body))
