"""An event that was taken in and can never be stored: its capture fails, and those behind it go on."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app import worker
from app.core.config import Settings
from app.core.db import transaction
from app.epcis import capture
from app.epcis.store import Behaviour

from .conftest import NOW
from .test_epcis import Heard, accepts, job, received, stored, works

__all__ = ["accepts", "job", "stored", "works"]


@pytest.mark.parametrize("behaviour", Behaviour)
@pytest.mark.parametrize("body", ["[" * 5_000, '{"type": "ObjectEvent"'], ids=["deep", "broken"])
async def test_it_fails_and_holds_up_nobody(accepts, works, job, stored, pool, behaviour, body):
    number = await accepts(received(1), received(2), behaviour=behaviour)
    await pool.execute("UPDATE epcis_pending SET body = $1 WHERE place = 0", body)
    behind = await accepts(received(3))
    await works()
    (failure,) = (await job(number)).failures
    assert (failure.ours, failure.code) == (True, "internal")
    assert (await job(behind)).failures == []
    kept = ["urn:x:2", "urn:x:3"] if behaviour is Behaviour.PROCEED else ["urn:x:3"]
    assert [event["eventID"] for event in await stored()] == kept


@pytest.fixture
def hinders(pool, works):
    """Lets a capture meet a fault that is to pass, `times` at this moment."""

    async def hinder(number: int, times: int, now) -> None:
        for _ in range(times):
            with pytest.raises(TimeoutError):
                await works(Heard({f"urn:x:{number}": TimeoutError()}), now)
            await transaction(pool, lambda conn: capture.hindered(conn, now))

    return hinder


@pytest.mark.parametrize("behaviour", Behaviour)
async def test_a_fault_that_never_passes_ends_its_own_capture(
    accepts, works, hinders, job, stored, behaviour
):
    bad = await accepts(received(1), received(2), received(2), behaviour=behaviour)
    behind = await accepts(received(3))
    await hinders(1, 30, NOW)
    await hinders(1, 1, NOW + timedelta(minutes=9, seconds=59))
    assert (await job(bad)).finished_at is None
    await hinders(1, 1, NOW + timedelta(minutes=10))
    (failure,) = (await job(bad)).failures
    assert (failure.ours, failure.code) == (True, "given-up")
    assert failure.detail.startswith("3 events from this one on could not be stored in 32 attempts")
    await works()
    assert (await job(behind)).failures == []
    assert [event["eventID"] for event in await stored()] == ["urn:x:3"]


async def test_ten_minutes_alone_are_no_reason(accepts, works, hinders, job):
    number = await accepts(received(1))
    await hinders(1, 1, NOW)
    await hinders(1, 18, NOW + timedelta(days=1))
    await works()
    assert (await job(number)).failures == []


async def test_attempts_count_from_the_last_event_that_was_stored(accepts, pool, hinders, job, monkeypatch):
    monkeypatch.setattr(capture, "SLICE", 1)
    number = await accepts(received(1), received(2), behaviour=Behaviour.PROCEED)
    await hinders(1, 19, NOW)
    await hinders(2, 19, NOW + timedelta(hours=1))
    assert (await job(number)).finished_at is None
    assert await pool.fetchval("SELECT stored FROM epcis_capture") == 1


async def test_the_worker_counts_and_goes_on(accepts, pool, database, job):
    bad, behind = await accepts(received(1)), await accepts(received(2))
    await pool.execute(
        "UPDATE epcis_capture SET hindered = 18, hindered_since = now() - interval '1 hour' WHERE capture_id = $1",
        bad,
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(
        worker.run(
            Settings(data_dir=None, database_url=database), stopping, Heard({"urn:x:1": TimeoutError()})
        )
    )
    try:
        async with asyncio.timeout(20):
            while (await job(behind)).finished_at is None:
                await asyncio.sleep(0.1)
    finally:
        stopping.set()
        await running
    assert [failure.code for failure in (await job(bad)).failures] == ["given-up"]
    assert (await job(behind)).failures == []
