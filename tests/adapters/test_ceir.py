"""The CEIR dialect, over sockets."""

import pytest

from app.adapters import registry
from app.adapters.contract import Answer, Batch, Denied, Failing, Op, Outcome, Reply, Throttled

from .conftest import SINCE, imeis


async def test_block_repeat_and_release(twin):
    partner = await twin("ceir")
    assert await partner.outcomes(Op.BLOCK, imeis(3)) == ["done"] * 3
    assert await partner.outcomes(Op.BLOCK, imeis(3)) == ["already"] * 3
    assert partner.stage.ledger.counts()["blocked"] == 3
    assert await partner.outcomes(Op.RELEASE, imeis(2)) == ["done"] * 2
    assert partner.stage.ledger.counts()["released"] == 2
    assert partner.stage.ledger.history(imeis(1)[0].imei) == ["blocked p:1", "blocked p:1", "released p:1"]


def test_a_call_carries_as_many_devices_as_the_partner_takes():
    settings = {"url": "https://ceir.example", "username": "u", "password": "p"}
    assert registry.make("ceir", settings).batch_size == 3
    assert registry.make("ceir", settings | {"devices_per_call": 10}).batch_size == 10


async def test_too_many_devices_are_refused_as_a_whole(twin):
    partner = await twin("ceir")
    with pytest.raises(Failing, match="HTTP 413"):
        await partner.tell(Op.BLOCK, imeis(4))


async def test_wrong_password_is_denied(twin):
    partner = await twin("ceir", settings={"password": "wrong"})
    with pytest.raises(Denied) as caught:
        await partner.tell(Op.BLOCK, imeis(1))
    assert "wrong" not in str(caught.value)


async def test_refused_and_try_again_are_told_per_device(twin):
    partner = await twin("ceir", {"devices_per_call": 100})
    partner.order(refuse_rate=0.3, item_retry_rate=0.3)
    answers = await partner.tell(Op.BLOCK, imeis(100))
    codes = {(answer.outcome.value, answer.code) for answer in answers}
    assert codes == {("done", "200"), ("refused", "206"), ("retry", "202")}
    done = [answer.outcome for answer in answers].count(Outcome.DONE)
    assert partner.stage.ledger.counts()["blocked"] == done


async def test_rate_limit_is_throttled_with_the_partners_wish(twin):
    partner = await twin("ceir", clock=lambda: 1000.0)
    partner.order(calls_per_second=0.5)
    await partner.tell(Op.BLOCK, imeis(1))
    with pytest.raises(Throttled) as caught:
        await partner.tell(Op.BLOCK, imeis(1))
    assert caught.value.after == 2.0


class Says:
    """A wire on which the partner says one thing."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def send(self, method, url, *, headers=None, body=b""):
        return Reply(200, {}, self.body)


async def _read(body: bytes, **settings) -> list[Answer]:
    given = {"url": "https://ceir.example", "username": "u", "password": "pass-word"} | settings
    batch = Batch("k", Op.BLOCK, imeis(1), SINCE)
    return list(await registry.make("ceir", given).send(batch, Says(body)))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, Outcome.DONE),
        (201, Outcome.ALREADY),
        (202, Outcome.RETRY),
        *((code, Outcome.REFUSED) for code in range(203, 208)),
        (208, Outcome.UNKNOWN),
        (199, Outcome.UNKNOWN),
        (True, Outcome.UNKNOWN),
    ],
)
async def test_every_code_has_its_meaning(code, outcome):
    body = b'[{"imei":"35000000000000","statusCode":%s}]' % str(code).lower().encode()
    assert [answer.outcome for answer in await _read(body)] == [outcome]


async def test_stolen_may_mean_that_it_waits():
    body = b'[{"imei":"350000000000006","statusCode":"200"}]'
    assert [answer.outcome for answer in await _read(body, stolen_waits=True)] == [Outcome.ACCEPTED]


async def test_the_password_in_the_partners_words_is_masked():
    body = b'[{"imei":"35000000000000","statusCode":203,"statusMessage":"no pass-word\\nhere"}]'
    assert (await _read(body))[0].words == "no •••·here"
