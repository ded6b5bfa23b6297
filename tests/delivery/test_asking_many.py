"""Many partners are asked: slow ones hold up nobody, and a worker that dies, sleeps or is stopped harms nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec
import pytest

from app.adapters import registry
from app.adapters.contract import (
    Answer,
    Confirmation,
    Kind,
    NoAnswer,
    Op,
    Outcome,
    OutOfTime,
    Report,
)
from app.core.db import transaction
from app.delivery import asking, fetching, partners, turn
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope

from .conftest import utc_now


class _Settings(msgspec.Struct):
    pass


class Quiet:
    """A partner that leaves nothing, and holds nothing."""

    title: ClassVar[str] = "Quiet"
    settings: ClassVar[type[msgspec.Struct]] = _Settings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = False
    batch_size = 500
    polls: ClassVar[int] = 0

    def __init__(self, settings):
        pass

    async def send(self, batch, wire):
        return [Answer(Outcome.ACCEPTED) for _ in batch.orders]

    async def poll(self, wire, at):
        type(self).polls += 1
        return await self.left(wire)

    async def left(self, wire):
        return []

    async def put_away(self, names, wire):
        pass

    async def holdings(self, wire, at):
        return []

    async def publish(self, key, orders, wire, at):
        return Answer(Outcome.DONE)


class Hanging(Quiet):
    """A partner that never answers."""

    async def left(self, wire):
        await asyncio.Event().wait()

    async def holdings(self, wire, at):
        await asyncio.Event().wait()


class HangingOverAList(Quiet):
    """A partner that never takes its list."""

    async def publish(self, key, orders, wire, at):
        await asyncio.Event().wait()


class Slow(Quiet):
    """A partner that has left more than can be read in the time."""

    async def left(self, wire):
        reports = []
        while True:
            try:
                await wire.send("GET", "http://127.0.0.1:1/")
            except OutOfTime:
                return reports
            except NoAnswer:
                await asyncio.sleep(0.05)
            said = Confirmation("350000000000006", Op.BLOCK, Answer(Outcome.DONE))
            reports.append(Report(f"{len(reports)}.ack.1", (said,)))


class Broken(Quiet):
    """An adapter that raises what ends a task, or a process."""

    raised: ClassVar[type[BaseException]]

    async def left(self, wire):
        raise self.raised

    async def holdings(self, wire, at):
        raise self.raised

    async def publish(self, key, orders, wire, at):
        raise self.raised


KINDS = {
    "quiet": Quiet, "hanging": Hanging, "hanging_list": HangingOverAList, "slow": Slow, "broken": Broken,
}  # fmt: skip


@pytest.fixture
def partner(pool, keyring, monkeypatch):
    """Adds a partner of that kind, which is to be asked at once for what it left, and for nothing else."""
    known = {**registry.adapters(), **KINDS}
    monkeypatch.setattr(registry, "adapters", lambda: known)
    for kind in KINDS.values():
        kind.polls = 0

    async def add(kind, name=""):
        said = {"name": name or kind, "adapter": kind, "settings": {}, "now": utc_now(), "keyring": keyring}
        scope, limits = PartnerScope(), Limits()
        return await transaction(pool, lambda conn: partners.add(conn, **said, scope=scope, limits=limits))

    return add


@asynccontextmanager
async def asks(town):
    """A worker that asks, and tells nobody anything."""
    async with town.worker(slots=0) as desk:
        task = asyncio.create_task(asking.run(desk))
        yield desk
        desk.stopping.set()
        await asyncio.wait_for(task, 10)


async def until(true, within=5.0):
    async with asyncio.timeout(within):
        while not await true():
            await asyncio.sleep(0.02)


async def test_partners_that_hang_hold_up_nobody_else(town, partner):
    for number in range(3):
        await partner("hanging", f"Hanging {number}")
    await partner("quiet")

    async def polled():
        return Hanging.polls == 3 and Quiet.polls == 1

    async with asks(town):
        await until(polled)


async def test_no_more_than_some_are_asked_at_a_time(town, partner):
    for number in range(asking.AT_ONCE + 2):
        await partner("hanging", f"Hanging {number}")
    async with asks(town):
        await asyncio.sleep(1.5)
        assert Hanging.polls == asking.AT_ONCE


@pytest.mark.parametrize("kind", ["hanging", "hanging_list"])
async def test_a_worker_that_is_stopped_waits_for_no_partner_and_lets_go(town, pool, partner, kind):
    number = await partner(kind)
    if kind == "hanging_list":
        await pool.execute(
            "UPDATE partner_pace SET list_wanted = true, reconcile_at = now(), poll_at = 'infinity'"
        )
    leased = "SELECT EXISTS (SELECT FROM partner_lane WHERE lease_until > '-infinity')"

    async def busy():
        return Hanging.polls == 1 or await pool.fetchval(leased)

    async with asks(town) as desk:
        await until(busy)
        began = time.monotonic()
        desk.stopping.set()
    assert time.monotonic() - began < 2
    assert not await pool.fetchval(leased)
    assert await pool.fetchval("SELECT asking_until = '-infinity' FROM partner_pace")
    assert number


async def test_a_lease_is_short_and_lasts_as_long_as_is_asked(town, pool, partner, monkeypatch):
    await partner("hanging")
    left = "SELECT extract(EPOCH FROM asking_until - now()) FROM partner_pace"
    assert turn.LEASE <= 120
    monkeypatch.setattr(turn, "LEASE", 0.8)
    async with asks(town):
        await asyncio.sleep(2.5)
        assert 0 < await pool.fetchval(left) < 1
    assert Hanging.polls == 1


async def test_a_partner_whose_worker_died_is_asked_again_when_it_is_resumed(town, pool, partner):
    number = await partner("quiet")
    async with town.worker(slots=0) as desk:
        assert await turn.claimed(desk)
        assert not await asking.step(desk)
        await transaction(pool, lambda conn: partners.resume(conn, number))
        assert await asking.step(desk)


async def test_what_a_worker_hears_that_slept_is_not_booked(town, pool, partner, monkeypatch):
    number = await partner("slow")
    monkeypatch.setattr(fetching, "POLL_FOR", 0.5)

    async def resumed():
        await asyncio.sleep(0.2)
        await transaction(pool, lambda conn: partners.resume(conn, number))

    async with town.worker(slots=0) as desk:
        await asyncio.gather(asking.step(desk), resumed())
        booked = "SELECT count(*) FROM audit_entry WHERE kind = 'delivery.confirmed'"
        assert await pool.fetchval(booked) == 0
        assert await pool.fetchval("SELECT poll_at <= now() FROM partner_pace")
        await asking.step(desk)
    assert await pool.fetchval(booked) > 0


async def test_what_a_slow_partner_left_is_booked_as_far_as_the_time_suffices(
    town, pool, partner, monkeypatch
):
    await partner("slow")
    monkeypatch.setattr(fetching, "POLL_FOR", 0.5)
    async with town.worker(slots=0) as desk:
        began = time.monotonic()
        assert await asking.step(desk)
    assert time.monotonic() - began < 3
    assert 1 < await pool.fetchval("SELECT count(*) FROM audit_entry WHERE kind = 'delivery.confirmed'") < 12
    assert await pool.fetchval("SELECT poll_at < now() + interval '15 seconds' FROM partner_pace")


async def test_a_partner_that_hangs_is_not_waited_for_long(town, pool, partner, monkeypatch):
    await partner("hanging")
    monkeypatch.setattr(fetching, "POLL_FOR", -16.5)
    async with town.worker(slots=0) as desk:
        async with asyncio.timeout(5):
            assert await asking.step(desk)
    assert await pool.fetchval("SELECT asking_until = '-infinity' FROM partner_pace")


@pytest.mark.parametrize("raised", ["SystemExit", "CancelledError", "RecursionError"])
async def test_whatever_an_adapter_raises_nobody_ends_of_it(town, pool, partner, raised):
    errors = {each.__name__: each for each in (SystemExit, asyncio.CancelledError, RecursionError)}
    Broken.raised = errors[raised]
    await partner("broken")
    await partner("broken", "Broken too")
    await pool.execute("UPDATE partner_pace SET reconcile_at = now()")
    await pool.execute(
        "UPDATE partner_pace SET list_wanted = partner_id = (SELECT min(partner_id) FROM partner)"
    )
    async with town.worker(slots=0) as desk:
        assert await asking.step(desk)
        assert await asking.step(desk)
        assert not await asking.step(desk)
    later = "SELECT bool_and(poll_at > now() + interval '1 minute' AND asking_until = '-infinity') FROM partner_pace"
    assert await pool.fetchval(later)
    assert not await pool.fetchval("SELECT EXISTS (SELECT FROM partner_lane WHERE lease_until > '-infinity')")
