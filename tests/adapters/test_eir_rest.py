"""The EIR whose rows have ids: one row for one block, found again, and nobody else's removed."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from app.adapters import registry
from app.adapters.contract import (
    Batch,
    Denied,
    Failing,
    Holding,
    NoAnswer,
    Op,
    Order,
    Outcome,
    Reply,
)

from .conftest import SINCE, imeis
from .subjects import OTHERS, ROW

ONE, TWO = imeis(2)


def _by(ref: str, order: Order = ONE) -> tuple[Order]:
    return (Order(order.key, version=2, imei=order.imei, ref=ref),)


async def _again(partner, op: Op, orders: tuple[Order, ...], tried: datetime | None = None):
    """What comes of a call that may have been made before."""
    now = datetime.now(UTC)
    batch = Batch("p:1", op, orders, now, since=SINCE, tried=tried or now)
    return (await partner.adapter.send(batch, partner.wire))[0]


async def _held(partner) -> list[tuple[str, str]]:
    holdings = await partner.adapter.holdings(partner.wire, datetime.now(UTC))
    return [(holding.name, holding.ref) for holding in holdings]


async def test_a_block_is_one_request_and_its_release_goes_by_the_row(twin):
    partner = await twin("eir_rest")
    await partner.tell(Op.BLOCK, (TWO,))
    (done,) = await partner.tell(Op.BLOCK, (ONE,))
    assert (done.outcome, done.code, done.ref) == (Outcome.DONE, "200", "2")
    assert partner.stage.ledger.calls == 2
    (gone,) = await partner.tell(Op.RELEASE, _by(done.ref))
    assert (gone.outcome, gone.code, partner.stage.ledger.calls) == (Outcome.DONE, "deleted", 3)
    assert await _held(partner) == [(TWO.imei, "1")]
    assert partner.stage.ledger.history(ONE.imei) == ["blocked p:1", "released p:1"]


async def test_the_same_call_twice_would_make_a_second_row(twin):
    partner = await twin("eir_rest")
    answers = [(await partner.tell(Op.BLOCK, (ONE,)))[0] for _ in range(2)]
    assert [answer.ref for answer in answers] == ["1", "2"]
    assert partner.stage.ledger.duplicates == 1
    await partner.tell(Op.RELEASE, _by("1"))
    assert partner.stage.ledger.counts()["blocked"] == 1


@pytest.mark.parametrize("faults", [{"fail_rate": 1}, {"garble_rate": 1}, {"hang_rate": 1}, {"drop_rate": 1}])
@pytest.mark.parametrize("applied", [True, False])
async def test_what_was_not_answered_is_one_row_in_the_end(twin, faults, applied):
    partner = await twin("eir_rest", deadline=0.3)
    partner.order(**faults, applied=applied)
    with pytest.raises((NoAnswer, Failing)):
        await partner.tell(Op.BLOCK, (ONE,))
    partner.order()
    answer = await _again(partner, Op.BLOCK, (ONE,))
    was_made = applied or "garble_rate" in faults
    assert (answer.outcome.value, answer.ref) == ("already" if was_made else "done", "1")
    assert await _held(partner) == [(ONE.imei, "1")]


async def test_somebody_elses_rows_are_not_taken_for_ours(twin):
    partner = await twin("eir_rest", {"rows": [{**row, "imei": ONE.imei} for row in OTHERS[:3]]})
    answer = await _again(partner, Op.BLOCK, (ONE,))
    assert (answer.outcome, answer.ref) == (Outcome.DONE, "4")
    assert (await partner.tell(Op.RELEASE, (ONE,)))[0].code == "deleted"
    assert (await partner.tell(Op.RELEASE, (ONE,)))[0].code == "absent"
    assert [row["eir_id"] for row in await _listed(partner)] == [1, 2, 3]


async def _listed(partner) -> list[dict]:
    reply = await partner.wire.send("GET", f"{partner.url}/eir/list")
    return json.loads(reply.body)


async def test_of_two_rows_neither_outlives_the_release(twin):
    partner = await twin("eir_rest")
    for _ in range(2):
        await partner.tell(Op.BLOCK, (ONE,))
    found = await _again(partner, Op.BLOCK, (ONE,))
    assert (found.outcome, found.ref) == (Outcome.ALREADY, "")
    assert await partner.outcomes(Op.RELEASE, _by(found.ref)) == ["done"]
    assert await _listed(partner) == []
    assert partner.stage.ledger.counts()["released"] == 1


@pytest.mark.parametrize("missing", [200, 404])
async def test_a_row_that_is_gone_is_released_already(twin, missing):
    partner = await twin("eir_rest", {"missing": missing})
    (done,) = await partner.tell(Op.BLOCK, (ONE,))
    partner.order(drop_rate=1, applied=True)
    with pytest.raises(NoAnswer):
        await partner.tell(Op.RELEASE, _by(done.ref))
    partner.order()
    (answer,) = await partner.tell(Op.RELEASE, _by(done.ref))
    assert (answer.outcome, answer.code) == (Outcome.ALREADY, "absent")


async def test_404_at_another_address_releases_nothing(twin):
    partner = await twin("eir_rest", settings={"path": "/eirs"})
    with pytest.raises(Failing, match="HTTP 404"):
        await partner.tell(Op.RELEASE, _by("1"))


@pytest.mark.parametrize("ref", ["", "../eir/1", "0", "1?x=1", "１", "1" * 19, " 1"])
async def test_without_a_reference_that_is_one_the_row_is_looked_up(twin, ref):
    partner = await twin("eir_rest")
    await partner.tell(Op.BLOCK, (ONE,))
    await partner.tell(Op.BLOCK, (TWO,))
    assert await partner.outcomes(Op.RELEASE, _by(ref, TWO)) == ["done"]
    assert await _held(partner) == [(ONE.imei, "1")]


@pytest.mark.parametrize("size", [0, 1, 7, 20, 5000])
async def test_the_list_is_read_whole_in_pages_of_any_size(twin, size):
    partner = await twin("eir_rest", {"rows": OTHERS[1:2]}, settings={"rows_per_page": size})
    for order in imeis(20):
        await partner.tell(Op.BLOCK, (order,))
    assert await _held(partner) == [(order.imei, str(place + 2)) for place, order in enumerate(imeis(20))]
    assert await partner.outcomes(Op.RELEASE, imeis(20)[19:]) == ["done"]
    assert partner.stage.ledger.counts()["released"] == 1


async def test_one_reading_of_the_list_serves_all_that_was_tried_before_it(twin):
    partner = await twin("eir_rest")
    for order in imeis(3):
        await partner.tell(Op.BLOCK, (order,))
    before = partner.stage.ledger.calls
    tried = datetime.now(UTC) - timedelta(seconds=5)
    answers = await asyncio.gather(*(_again(partner, Op.BLOCK, (order,), tried) for order in imeis(4)))
    assert [(answer.outcome.value, answer.ref) for answer in answers] == [
        ("already", "1"),
        ("already", "2"),
        ("already", "3"),
        ("done", "4"),
    ]
    assert partner.stage.ledger.calls == before + 3
    # That row was made after the list was read: what may have been told after it is looked for anew.
    assert (await _again(partner, Op.BLOCK, imeis(4)[3:])).ref == "4"


async def test_an_old_reading_serves_nobody():
    wire = Script([{**ROW, "imei": ONE.imei}], [], [], {**ROW, "imei": ONE.imei, "eir_id": 18})
    adapter = _adapter()
    for later, ref in ((timedelta(0), "17"), (timedelta(seconds=29), "17"), (timedelta(seconds=31), "18")):
        batch = Batch("k", Op.BLOCK, (ONE,), SINCE + later, tried=SINCE - timedelta(minutes=1))
        assert (await adapter.send(batch, wire))[0].ref == ref
    assert wire.replies == []


@pytest.mark.parametrize(
    ("digit", "written"), [("check", ONE.imei), ("zero", "350000000000000"), ("none", "35000000000000")]
)
async def test_the_fifteenth_digit_is_written_as_the_core_asks(twin, digit, written):
    partner = await twin("eir_rest", settings={"fifteenth_digit": digit})
    (done,) = await partner.tell(Op.BLOCK, (ONE,))
    assert [row["imei"] for row in await _listed(partner)] == [written]
    assert (await _again(partner, Op.BLOCK, (ONE,))).ref == done.ref
    assert await partner.outcomes(Op.RELEASE, (ONE,)) == ["done"]


async def test_a_wrong_key_is_denied(twin):
    partner = await twin("eir_rest", settings={"provisioning_key": "another"})
    for op in (Op.BLOCK, Op.RELEASE):
        with pytest.raises(Denied):
            await partner.tell(op, _by("1"))


async def test_a_database_that_fails_is_a_fault_and_nothing_is_refused(twin):
    partner = await twin("eir_rest")
    for faults in ({"refuse_rate": 1}, {"item_retry_rate": 1}):
        partner.order(**faults)
        with pytest.raises(Failing, match="HTTP 400"):
            await partner.tell(Op.BLOCK, (ONE,))


async def test_it_forgets_all_but_what_was_there_before(twin):
    partner = await twin("eir_rest", {"rows": OTHERS[:2]})
    await partner.tell(Op.BLOCK, (ONE,))
    await partner.wire.send("DELETE", f"{partner.url}/sandbox")
    assert [row["eir_id"] for row in await _listed(partner)] == [1, 2]
    assert (await partner.tell(Op.BLOCK, (ONE,)))[0].ref == "3"


class Script:
    """A wire on which the partner's replies are known beforehand; keeps what it was asked."""

    def __init__(self, *replies: object) -> None:
        self.replies = list(replies)
        self.asked: list[str] = []

    async def send(self, method, url, *, headers=None, body=b""):
        self.asked.append(f"{method} {url.removeprefix('http://eir.example/eir/')}")
        reply = self.replies.pop(0)
        return reply if isinstance(reply, Reply) else Reply(200, {}, json.dumps(reply).encode())


def _adapter(**settings):
    return registry.make("eir_rest", {"url": "http://eir.example/", "provisioning_key": "k-e-y"} | settings)


@pytest.mark.parametrize(
    "said",
    [
        {**ROW, "imei": TWO.imei},
        {**ROW, "imei": ONE.imei, "match_response_code": 0},
        {**ROW, "imei": ONE.imei, "regex_mode": 1},
        {**ROW, "imei": ONE.imei, "imsi": "001010000000001"},
    ],
)
async def test_another_row_is_no_block(said):
    (answer,) = await _adapter().send(Batch("k", Op.BLOCK, (ONE,), SINCE), Script(said))
    assert (answer.outcome, answer.ref) == (Outcome.UNKNOWN, "")


@pytest.mark.parametrize("eir_id", [0, -1, True, "17", "../1", 10**18, 1.5, None])
async def test_an_id_that_is_none_is_not_kept(eir_id):
    said = {**ROW, "imei": ONE.imei, "eir_id": eir_id}
    with pytest.raises(Failing):
        await _adapter().send(Batch("k", Op.BLOCK, (ONE,), SINCE), Script(said))


async def test_a_row_that_the_first_reading_skips_is_found_by_the_second():
    row = {**ROW, "imei": ONE.imei, "eir_id": 5}
    wire = Script([], [row], [], {"Result": "OK"})
    (answer,) = await _adapter().send(Batch("k", Op.RELEASE, (ONE,), SINCE), wire)
    assert (answer.outcome, wire.asked[-1], wire.replies) == (Outcome.DONE, "DELETE 5", [])


async def test_a_row_that_stays_is_not_released():
    row = {**ROW, "imei": ONE.imei, "eir_id": 5}
    wire = Script(None, [row], [], None, [row], [], None)
    (answer,) = await _adapter().send(Batch("k", Op.RELEASE, _by("5"), SINCE), wire)
    assert (answer.outcome, answer.code, wire.replies) == (Outcome.RETRY, "left", [])


async def test_a_list_full_of_one_imei_is_cleared_a_few_rows_a_call():
    rows = [{**ROW, "imei": ONE.imei, "eir_id": number} for number in range(1, 1001)]
    done = [{"Result": "OK"}] * 20
    wire = Script(rows, [], *done, rows[20:], [], *done)
    (answer,) = await _adapter().send(Batch("k", Op.RELEASE, (ONE,), SINCE), wire)
    assert (answer.outcome, wire.replies) == (Outcome.RETRY, [])


async def test_a_partner_that_gives_fewer_rows_a_page_is_read_to_the_end():
    pages = [[{**ROW, "imei": order.imei, "eir_id": order.key}] for order in imeis(3)]
    wire = Script(*pages, [])
    assert await _adapter().holdings(wire, SINCE) == [Holding(o.imei, str(o.key)) for o in imeis(3)]
    assert wire.asked[-1] == "GET list?page=3&page_size=1000"


async def test_a_partner_that_knows_no_pages_is_not_read_for_ever():
    rows = [{**ROW, "imei": ONE.imei}]
    with pytest.raises(Failing, match="repeat themselves"):
        await _adapter().holdings(Script(rows, rows), SINCE)
    wire = Script(rows)
    assert await _adapter(rows_per_page=0).holdings(wire, SINCE) == [Holding(ONE.imei, "17")]
    assert wire.asked == ["GET list?page=0&page_size=0"]
