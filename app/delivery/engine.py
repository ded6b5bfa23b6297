"""The worker's loop: claim what is due, work each lane in a task of its own, stop cleanly.

Any number of workers may run it on one database. Nothing here is needed for correctness: a worker that
dies leaves leases to lapse, and another one goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from app.core import log
from app.delivery import judge, lanes
from app.delivery.lanes import Lane
from app.delivery.send import Desk, work_lane

# Seconds between two claims: at least a breath, and more while there is nothing to claim and no lane ends.
BREATH, SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.05, 1.0
# Seconds for which a lane rests that broke off, and rests at most.
SHORTEST_REST, LONGEST_REST = 0.1, 10.0

_LOG = log.get("delivery")


async def run(desk: Desk, slots: int) -> None:
    """Works until `desk.stopping` is set; then lets calls under way end and hands every lane back."""
    at_work: dict[asyncio.Task[None], Lane] = {}
    broken: Counter[tuple[int, int]] = Counter()
    ended = asyncio.Event()
    pause = SHORTEST_PAUSE
    while not desk.stopping.is_set():
        ended.clear()
        # One suspect at a time: when we die of it, another is not blamed for it.
        suspects = 0 if any(lane.suspect for lane in at_work.values()) else 1
        claimed = await _claim(desk, slots - len(at_work), suspects)
        for lane, leased_at in claimed:
            task = asyncio.create_task(_safely(desk, lane, leased_at, broken))
            at_work[task] = lane
            task.add_done_callback(at_work.pop)
            task.add_done_callback(lambda _: ended.set())
        pause = SHORTEST_PAUSE if claimed else min(LONGEST_PAUSE, pause * 1.5)
        await _rest(desk, BREATH)
        await _rest(desk, pause * (0.75 + desk.chance() / 2), unless=ended)
    await asyncio.gather(*at_work)


async def _claim(desk: Desk, slots: int, suspects: int = 1) -> list[tuple[Lane, float]]:
    """The lanes that are ours from now on, each with the moment from which its lease is counted."""
    if slots <= 0:
        return []
    leased_at = time.monotonic()
    try:
        async with desk.pool.acquire(timeout=10) as conn:
            claimed = await lanes.claim(conn, slots, desk.terms.lease, suspects=suspects)
            return [(lane, leased_at) for lane in claimed]
    except Exception as error:  # a database that is away is waited for, not died of
        _LOG.warning("delivery.claim_failed", error=repr(error))
        return []


async def _safely(desk: Desk, lane: Lane, leased_at: float, broken: Counter[tuple[int, int]]) -> None:
    """Works a lane; `broken` counts how often in a row that broke off. What cannot be written down would otherwise be
    told to the partner over and over."""
    which = (lane.partner_id, lane.lane)
    try:
        await work_lane(desk, lane, leased_at)
    except Exception as error:  # the lease lapses, and the lane is worked again
        _LOG.warning("delivery.lane_failed", partner=lane.partner_id, lane=lane.lane, error=repr(error))
        deadline = time.monotonic() + desk.terms.lease
        await _rest(desk, judge.back_off(broken[which], desk.chance(), base=SHORTEST_REST, cap=LONGEST_REST))
        broken[which] += 1
        await _let_lapse(desk, lane, deadline)
    else:
        broken.pop(which, None)


async def _let_lapse(desk: Desk, lane: Lane, deadline: float) -> None:
    """No call of ours is under way any more, so nobody has to wait for the lease to lapse by itself. What was told and
    not settled stays in doubt, for the lease counts as one that was not handed back."""
    while time.monotonic() < deadline and not desk.stopping.is_set():
        try:
            async with desk.pool.acquire(timeout=10) as conn:
                await lanes.let_lapse(conn, lane)
        except Exception as error:  # a database that is away is waited for
            _LOG.debug("delivery.lapse_failed", error=repr(error))
            await _rest(desk, SHORTEST_PAUSE * (2 + desk.chance() * 4))
        else:
            return


async def _rest(desk: Desk, seconds: float, *, unless: asyncio.Event | None = None) -> None:
    """So long, or until the worker is to stop, or the event comes: a lane has ended, and its partner has room."""
    waits = {asyncio.ensure_future(event.wait()) for event in (desk.stopping, unless) if event}
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
