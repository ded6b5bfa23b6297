"""Partners that are not well: down for days, up and down, throttling, answering half or nonsense, deaf to keys."""

from __future__ import annotations

import json
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.contract import Batch, Op, Order, Outcome, PartnerFault, Reply
from app.adapters.webhook import Webhook, WebhookSettings
from app.core import imei
from app.delivery import judge
from app.delivery.partners import BREAKER_OPENS_AT, Limits

from .ledger import answer
from .people import utc_now
from .world import FIRST_KEY, SECRET, World, in_lane

WISHES = [
    ("5", 5.0),
    ("0", 0.1),
    ("-5", 1.0),
    ("1000000000", 60.0),
    ("9" * 400, 60.0),
    ("soon", 1.0),
    ("", 1.0),
    (None, 1.0),
    ("in 20 s", 20.0),
    ("Mon, 01 Jan 2001 00:00:00 GMT", 0.1),
]


@pytest.mark.parametrize(
    ("status", "wish", "rest"),
    [(status, *wish) for status in (429, 503) for wish in WISHES if (status, wish[0]) != (503, None)],
)
async def test_a_partner_that_wants_rest_gets_it(world, status, wish, rest):
    """All of the partner rests, no more than a minute, and no attempt is spent, unless it may have acted."""
    await world.partner()
    await world.declare([FIRST_KEY, FIRST_KEY + 1])
    session = await world.claim_one()
    headers = {} if wish is None else {"retry-after": wish}
    if wish == "in 20 s":
        headers["retry-after"] = format_datetime(utc_now() + timedelta(seconds=20), usegmt=True)
    await world.reply(session.visit, Reply(status, headers, b""))
    resting = await world.pool.fetchval("SELECT resume_at - now() FROM partner_pace")
    assert rest - 4 < resting.total_seconds() <= rest
    assert await world.pool.fetchval("SELECT max(tries) FROM delivery") == (status == 503)
    if rest > 5:
        await world.pass_time(rest - 5)
        assert await world.claim(16) == []
    await world.pass_time(6)
    assert len(await world.claim(16)) == 2
    assert await world.pool.fetchval("SELECT failures FROM partner_pace") == 0
    await world.drain()


SAID = st.sampled_from(
    ["done", "already", "accepted", "refused", "retry", "unknown", "DONE", "", None, 1, True, {}]
)
NAMES = [imei.full(FIRST_KEY + number) for number in range(4)]


class Saying:
    """A wire on which a partner says one thing."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def send(self, method, url, *, headers=None, body=b""):
        return Reply(200, {}, self._body)


@given(results=st.lists(st.tuples(st.sampled_from([*NAMES, "490154203237518", ""]), SAID), max_size=8))
async def test_no_identifier_counts_as_done_that_was_not_named_as_done(results):
    """Missing, contradicted, unknown and nonsensical ones are told again; strangers are passed over."""
    orders = tuple(Order(FIRST_KEY + number, 1, imei=name) for number, name in enumerate(NAMES))
    batch = Batch("key", Op.BLOCK, orders, utc_now())
    body = answer_list(results)
    adapter = Webhook(WebhookSettings(url="https://partner.example", secret=SECRET))
    try:
        judged = judge.heard(orders, await adapter.send(batch, Saying(body)))
    except PartnerFault as fault:
        judged = judge.fault(orders, fault)
    for order, heard in zip(orders, judged.answers, strict=True):
        said = [outcome for name, outcome in results if name == order.name]
        agreed = (
            said[0] if said and all(one == said[0] and type(one) is type(said[0]) for one in said) else None
        )
        if judge.settled(heard):
            assert heard.outcome == agreed
        if agreed in ("done", "already", "accepted", "refused") and not judged.fault:
            assert heard.outcome == Outcome(agreed)


def answer_list(results):
    return json.dumps({"results": [{"identifier": name, "outcome": said} for name, said in results]}).encode()


async def hours_dead(world: World, hours: float) -> int:
    """The workers try whatever is due every half hour; gives how many calls came to nothing."""
    calls = 0
    for _ in range(int(hours * 2)):
        for session in await world.claim(16):
            while session.open_visit:
                calls += 1
                await world.lose(session.open_visit)
        await world.pass_time(1800)
    return calls


async def test_a_partner_that_was_dead_for_three_days_hears_the_newest_state_only(world):
    number = await world.partner()
    keys = in_lane(24, 0) + in_lane(24, 1)
    calls = commands = 0
    for day in range(3):
        for half in (keys[:30], keys[20:]):
            incident = await world.declare(half)
            calls += await hours_dead(world, 6)
            commands += 1
            if day < 2:
                await world.recover(incident)
                calls += await hours_dead(world, 6)
                commands += 1
    assert calls < 3 * 24 * 2 * 2
    told = len(world.ledgers[number].book)
    await world.drain()
    sent = len(world.ledgers[number].book) - told
    wanted = await world.pool.fetchval("SELECT sum(wanted) FROM progress")
    assert sent <= len(keys) < wanted
    assert await world.pool.fetchval("SELECT sum(superseded + not_ours) FROM progress") == wanted - sent


async def test_a_partner_that_goes_up_and_down_is_probed_once_in_a_while(world):
    """Ten seconds up, ten down. While its breaker is open there is one call a rest, and a neighbour is not slower."""
    number, neighbour = await world.partner(), await world.partner()
    probes = busy = 0
    for tick in range(160):
        if tick % 8 == 0:
            await world.declare(in_lane(4, tick // 8 % 16))
        up = tick * 0.5 % 20 < 10
        pace = await world.pool.fetchrow(
            "SELECT failures, resume_at > now() AS resting FROM partner_pace WHERE partner_id = $1", number
        )
        sessions = [one for one in await world.claim(32) if one.lane.partner_id == number]
        is_open = pace["failures"] >= BREAKER_OPENS_AT
        assert len(sessions) <= (0 if pace["resting"] else 1 if is_open else 8)
        before = len(world.visits)
        for session in sessions:
            while session.open_visit:
                if up:
                    world.act(session.visit)
                    await world.answer(session.visit)
                else:
                    await world.lose(session.visit)
        if is_open and sessions and not up:
            probes += 1
            assert len(world.visits) == before
        busy += not is_open
        await world.answer_all()
        await world.pass_time(0.5)
    assert probes > 3
    assert busy > 20
    told = {order.name for order in world.ledgers[neighbour].book}
    assert told == {imei.full(key) for key in world.wanted}
    await world.drain()


async def test_a_partner_that_is_deaf_to_keys_ends_with_the_same(world):
    """What it is told is a state, and no change: it may be told so as often as need be."""
    number = await world.partner(limits=Limits(max_inflight=2))
    incident = await world.declare(in_lane(6))
    for _ in range(3):
        session = await world.claim_one()
        for order in session.visit.orders:
            world.ledgers[number].act(order, "done")
        await world.lose(session.visit)
        while session.open_visit:
            await world.lose(session.open_visit)
        await world.pass_time(200)
    await world.recover(incident)
    await world.drain()
    ledger = world.ledgers[number]
    assert ledger.repeats >= 2
    assert ledger.wrong(set()) == set()


def test_an_answer_of_tests_is_what_the_adapter_reads():
    assert answer({"a": "done"}) == answer_list([("a", "done")])
