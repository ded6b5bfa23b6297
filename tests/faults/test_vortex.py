"""Whatever happens on the way, in the end every partner holds what was decided: nothing lost, nothing wrong, nothing
older after anything newer. A run in which no harm came to pass has shown nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from app.adapters.contract import Batch, Op, Order
from app.adapters.eir_push import EirPush, EirPushSettings
from app.core import imei
from app.delivery.wire import HttpWire

from .people import utc_now
from .verdict import Keys, late
from .vortex import DEVICES, HARMS, Vortex, vortex
from .world import FIRST_KEY


async def blow(seed: int, seconds: float, folder: Path) -> None:
    """One run; prints its seed and its numbers."""
    async with vortex(seed, folder) as run:
        people = [asyncio.create_task(run.decide(f"person {n}", Random(seed * 10 + n))) for n in range(3)]
        await run.harm(seconds)
        await asyncio.gather(*people)
        await run.declare("the last", range(FIRST_KEY, FIRST_KEY + 5))
        await run.drain(within=120)
        verdict, events = await run.verdict(), run.events()
        await _tamper(run)
        tampered = await run.verdict()
        totals = dict(await run.pool.fetchrow(_TOTALS))
        harmed = sum(proxy.harmed for proxy in run.proxies.values())
    print(
        f"\nseed {seed}: lost {len(verdict.lost)}, regressed {len(verdict.regressed)}, wrong {len(verdict.wrong)},"
        f" of these by sleepers {len(verdict.slept)}; repeats {verdict.repeats}, unknown {run.unknown},"
        f" stale {events['delivery.stale']}, harm {dict(run.acted)}, harmed on the wire {harmed}, {totals}"
    )
    assert len(tampered.lost - verdict.lost) == len(tampered.wrong - verdict.wrong) == 1
    assert not verdict.unlisted
    assert verdict.lost == verdict.wrong == set()
    # No clock keeps a worker from sleeping between its lease check and its call; what it tells is made good.
    assert verdict.regressed - verdict.slept == set()
    assert all(run.acted[name] > 0 for name in HARMS)
    assert min(verdict.repeats, harmed, events["delivery.stale"], totals["failed_calls"]) > 0
    assert totals["superseded"] > 0


async def _tamper(run: Vortex) -> None:
    """Somebody else tells a partner two things that nobody decided, and the checker must see both."""
    eir = EirPush(EirPushSettings(url=run.partners["eir_push"].url))
    wire = HttpWire(allow_private=True)
    for op, key in ((Op.RELEASE, FIRST_KEY), (Op.BLOCK, FIRST_KEY + DEVICES)):
        await eir.send(Batch("tampered", op, (Order(key, 0, imei=imei.full(key)),), utc_now()), wire)
    await wire.close()


_TOTALS = """
SELECT sum(wanted) AS wanted, sum(calls) AS calls, sum(failed_calls) AS failed_calls, sum(superseded) AS superseded
FROM progress
"""


async def test_a_short_storm(tmp_path):
    await blow(1, 14, tmp_path)


def test_the_checker_knows_what_is_late():
    keys = Keys()
    keys.versions = {("a", "1"): 1, ("b", "1"): 2, ("c", "1"): 3}
    assert late("1", ["blocked a", "blocked a", "released b", "blocked c"], keys) == []
    assert late("1", ["blocked a", "released b", "blocked a", "blocked nobody's"], keys) == ["a"]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 112))
async def test_storms(tmp_path, seed):
    await blow(seed, 25, tmp_path)
