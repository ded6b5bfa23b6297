"""An event that was taken in and cannot be read again: its capture fails, and those behind it go on."""

from __future__ import annotations

import pytest

from app.epcis.store import Behaviour

from .test_epcis import accepts, job, received, stored, works

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
