"""Knox Guard: enrol, lock, unlock, and the results that come later."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from app.adapters import registry, signature
from app.adapters.contract import Batch, Denied, Failing, Op, Outcome, Reply
from app.core.errors import Invalid, Unauthorised
from app.sandbox.server import LOOPBACK

from .conftest import SINCE, imeis, serials
from .subjects import SECRET

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_enrol_lock_repeat_and_unlock(twin):
    partner = await twin("knox_guard")
    told = imeis(3) + serials(3)
    assert await partner.outcomes(Op.ENROL, told) == ["done"] * 6
    assert await partner.outcomes(Op.ENROL, told) == ["already"] * 6
    assert await partner.outcomes(Op.BLOCK, told) == ["accepted"] * 6
    assert await partner.outcomes(Op.BLOCK, told) == ["already"] * 6
    assert await partner.outcomes(Op.RELEASE, told[:2]) == ["accepted"] * 2
    assert partner.stage.ledger.counts()["blocked"] == 4


async def test_a_device_that_is_not_enrolled_is_enrolled_and_locked(twin):
    partner = await twin("knox_guard")
    await partner.tell(Op.ENROL, imeis(2))
    calls = partner.stage.ledger.calls
    assert await partner.outcomes(Op.BLOCK, imeis(5), "p:9") == ["accepted"] * 5
    assert partner.stage.ledger.calls == calls + 3
    assert partner.stage.ledger.history(imeis(5)[4].imei) == ["enrolled p:9:enrol", "blocked p:9:relock"]


async def test_what_was_never_enrolled_needs_no_release(twin):
    partner = await twin("knox_guard")
    assert await partner.outcomes(Op.RELEASE, imeis(1)) == ["already"]


async def test_other_credentials_are_denied(twin):
    partner = await twin("knox_guard", settings={"api_token": "another"})
    with pytest.raises(Denied):
        await partner.tell(Op.BLOCK, imeis(1))


async def test_what_is_locked_is_listed_by_its_own_name(twin):
    partner = await twin("knox_guard")
    told = imeis(3) + serials(2)
    await partner.tell(Op.ENROL, told)
    await partner.tell(Op.BLOCK, told[1:])
    await partner.tell(Op.RELEASE, told[2:3])
    held = await partner.adapter.holdings(partner.wire, NOW)
    assert sorted(one.name for one in held) == sorted(o.name for o in (told[1], *told[3:]))
    assert all(one.ref.startswith("practice-") for one in held)


async def test_a_long_list_is_read_to_its_end(twin):
    partner = await twin("knox_guard")
    for start in (0, 1000, 2000):
        thousand = imeis(1000, 35_000_000_000_000 + start)
        await partner.tell(Op.BLOCK, thousand)
    before = partner.stage.ledger.calls
    held = await partner.adapter.holdings(partner.wire, NOW)
    assert {one.name for one in held} == {order.name for order in imeis(3000)}
    assert (len(held), partner.stage.ledger.calls - before) == (3000, 4)


class Script:
    """A wire on which the partner's replies are known beforehand."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[str] = []

    async def send(self, method, url, *, headers=None, body=b""):
        self.asked.append(url.rpartition("/")[2])
        return self.replies.pop(0)


def _said(**results: str) -> Reply:
    listed = [{"deviceUid": name.lstrip("_"), "result": result} for name, result in results.items()]
    return Reply(200, {}, json.dumps({"deviceList": listed}).encode())


def _adapter():
    return registry.make(
        "knox_guard",
        {"url": "https://x.example", "api_token": "t-o-k", "email": "a@b.example", "webhook_secret": SECRET},
    )


ONE, TWO = (order.imei for order in imeis(2))


@pytest.mark.parametrize(
    ("enrolled", "locked", "outcome"),
    [
        ("SUCCESS", "SUCCESS", Outcome.ACCEPTED),
        ("DUPLICATE", "NOT_ENROLLED", Outcome.RETRY),
        ("REJECTED", "NOT_ENROLLED", Outcome.REFUSED),
        ("TRY_AGAIN", "SUCCESS", Outcome.ACCEPTED),
        ("nonsense", "NOT_ENROLLED", Outcome.UNKNOWN),
    ],
)
async def test_the_second_lock_decides_unless_enrolment_failed(enrolled, locked, outcome):
    wire = Script(
        _said(**{ONE: "SUCCESS", TWO: "NOT_ENROLLED"}), _said(**{TWO: enrolled}), _said(**{TWO: locked})
    )
    answers = await _adapter().send(Batch("k", Op.BLOCK, imeis(2), SINCE), wire)
    assert [answer.outcome for answer in answers] == [Outcome.ACCEPTED, outcome]
    assert wire.asked == ["lock", "uploads", "lock"]


async def test_a_failing_enrolment_leaves_the_others_answers_standing():
    wire = Script(_said(**{ONE: "SUCCESS", TWO: "NOT_ENROLLED"}), Reply(500, {}, b""))
    answers = await _adapter().send(Batch("k", Op.BLOCK, imeis(2), SINCE), wire)
    assert [answer.outcome for answer in answers] == [Outcome.ACCEPTED, Failing.outcome]


def _signed(events: object, secret: str = SECRET, at: datetime = NOW) -> tuple[dict, bytes]:
    body = json.dumps({"events": events}).encode()
    return signature.signed(signature.keys(secret), "r-1", at, body), body


def test_a_report_is_read():
    headers, body = _signed(
        [
            {"eventType": "KG_DEVICE_LOCKED", "deviceUid": ONE},
            {"eventType": "KG_DEVICE_UNLOCK_FAILED", "deviceUid": TWO, "code": 7, "message": "off\nline"},
            {"eventType": "KG_DEVICE_POLISHED", "deviceUid": TWO},
        ]
    )
    locked, failed, other = _adapter().confirmations(headers, body, NOW)
    assert (locked.name, locked.op, locked.answer.outcome) == (ONE, Op.BLOCK, Outcome.DONE)
    assert (failed.name, failed.op, failed.answer.outcome) == (TWO, Op.RELEASE, Outcome.REFUSED)
    assert (failed.answer.code, failed.answer.words) == ("7", "off·line")
    assert (other.answer.outcome, other.answer.code) == (Outcome.UNKNOWN, "KG_DEVICE_POLISHED")


@pytest.mark.parametrize("late", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_an_old_report_is_not_believed(late):
    headers, body = _signed([], at=NOW - late)
    with pytest.raises(Unauthorised):
        _adapter().confirmations(headers, body, NOW)


@pytest.mark.parametrize(
    "events",
    [
        None,
        {},
        [1],
        ["\ud800"],
        [{"eventType": "KG_DEVICE_LOCKED"}],
        [{"eventType": "KG_DEVICE_LOCKED", "deviceUid": "\x00"}],
    ],
)
def test_a_signed_report_of_another_form_is_invalid(events):
    headers, body = _signed(events)
    with pytest.raises(Invalid):
        _adapter().confirmations(headers, body, NOW)


async def test_results_arrive_signed_in_order_and_again_until_taken(twin):
    seen, refusals = [], [500, 404]
    partner = None

    async def take(request: web.Request) -> web.Response:
        if refusals:
            return web.Response(status=refusals.pop())
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append(partner.adapter.confirmations(headers, await request.read(), datetime.now(UTC)))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/in", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    callback = f"http://{LOOPBACK}:{runner.addresses[0][1]}/in"
    partner = await twin("knox_guard", {"callback_url": callback, "events_per_post": 4, "result_delay_s": 0})
    partner.order(result_fail_rate=0.5)
    assert await partner.outcomes(Op.BLOCK, imeis(10)) == ["accepted"] * 10
    async with asyncio.timeout(10):
        while sum(map(len, seen)) < 10:
            await asyncio.sleep(0.02)
    await runner.cleanup()
    assert [len(report) for report in seen] == [4, 4, 2]
    assert [confirmation.name for report in seen for confirmation in report] == [o.imei for o in imeis(10)]
    done = sum(confirmation.answer.outcome is Outcome.DONE for report in seen for confirmation in report)
    assert done == partner.stage.ledger.counts()["blocked"]
    assert 0 < done < 10
