"""Quotas against a real database: several processes that give one key no more than its quota."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from app.access import keys
from app.access.quotas import SLICES, Quotas, forget
from app.core.db import Pool
from app.core.errors import Exhausted, TooLarge

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
DICE = Random(6585)


class Clock:
    """A monotonic clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def key_id(conn: Any) -> str:
    made = await keys.create(conn, name="Carrier", role="carrier", by="cli", now=NOW, random=DICE.randbytes)
    return made.key_id


@pytest.fixture
def passes(conn: Any, clock: Clock) -> Callable[[float], Any]:
    """Lets time pass, here and in the database."""

    async def passes(seconds: float) -> None:
        clock.now += seconds
        await conn.execute("UPDATE quota_bucket SET at = at - make_interval(secs => $1)", seconds)

    return passes


async def spent(quotas: Quotas, key_id: str, quota: int) -> int:
    """How many were had, one after the other, until there were none; less what can have come meanwhile, for the
    database's clock does not stand."""
    began = time.monotonic()
    for times in range(quota * 2):
        try:
            await quotas.spend(key_id, quota, 1)
        except Exhausted:
            return max(times - math.ceil((time.monotonic() - began) * quota / 60), min(times, quota))
    raise AssertionError("there was no end")


@pytest.mark.parametrize("quota", [1, 7, 1000])
async def test_a_key_has_its_quota_and_no_more(pool: Pool, key_id: str, clock: Clock, quota: int) -> None:
    assert await spent(Quotas(pool, clock), key_id, quota) == quota


async def test_all_processes_together_give_it_once(pool: Pool, key_id: str, clock: Clock) -> None:
    processes = [Quotas(pool, clock) for _ in range(4)]
    began = time.monotonic()
    had = sum(await asyncio.gather(*(spent(each, key_id, 2000) for each in processes)))
    assert had <= 2000 + math.ceil((time.monotonic() - began) * 2000 / 60)
    # What a process has taken and not spent is the most that can be missing.
    again = sum([await spent(each, key_id, 2000) for each in processes])
    assert again <= 4 * 2000 // SLICES + math.ceil((time.monotonic() - began) * 2000 / 60)


async def test_many_at_once_in_one_process_get_no_more(pool: Pool, key_id: str, clock: Clock) -> None:
    quotas = Quotas(pool, clock)
    asked = [quotas.spend(key_id, 300, 7) for _ in range(100)]
    had = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, Exhausted) or not isinstance(each, BaseException) for each in had)
    assert 42 <= sum(not isinstance(each, BaseException) for each in had) <= 50


async def test_who_waited_for_anothers_slice_takes_of_it(pool: Pool, key_id: str, clock: Clock) -> None:
    quotas = Quotas(pool, clock)
    await asyncio.gather(quotas.spend(key_id, 400, 399), quotas.spend(key_id, 400, 1))


async def test_one_key_spends_nothing_of_anothers(pool: Pool, conn: Any, key_id: str, clock: Clock) -> None:
    made = await keys.create(conn, name="Other", role="carrier", by="cli", now=NOW, random=DICE.randbytes)
    quotas = Quotas(pool, clock)
    assert await spent(quotas, key_id, 50) == 50
    assert await spent(quotas, made.key_id, 50) == 50


async def test_it_fills_up_as_time_goes_by_and_never_over(
    pool: Pool, key_id: str, clock: Clock, passes: Any
) -> None:
    quotas = Quotas(pool, clock)
    assert await spent(quotas, key_id, 30) == 30
    await passes(20)
    assert 10 <= await spent(quotas, key_id, 30) <= 15
    await passes(3600)
    assert await spent(quotas, key_id, 30) == 30


async def test_who_has_used_it_up_is_told_how_long_to_wait(
    pool: Pool, key_id: str, clock: Clock, passes: Any
) -> None:
    quotas = Quotas(pool, clock)
    await quotas.spend(key_id, 600, 600)
    with pytest.raises(Exhausted) as refusal:
        await quotas.spend(key_id, 600, 100)
    assert 1 <= refusal.value.wait <= 10
    assert "quota of 600 identifiers a minute" in refusal.value.detail
    await passes(refusal.value.wait)
    await quotas.spend(key_id, 600, 100)


async def test_who_asks_on_and_on_is_refused_without_the_database(
    pool: Pool, key_id: str, clock: Clock
) -> None:
    quotas = Quotas(pool, clock)
    await quotas.spend(key_id, 600, 600)
    with pytest.raises(Exhausted):
        await quotas.spend(key_id, 600, 300)
    pool.terminate()
    with pytest.raises(Exhausted):
        await quotas.spend(key_id, 600, 300)


async def test_a_large_question_that_is_refused_takes_nothing_from_small_ones(
    pool: Pool, key_id: str, clock: Clock
) -> None:
    quotas = Quotas(pool, clock)
    await quotas.spend(key_id, 600, 500)
    with pytest.raises(Exhausted):
        await quotas.spend(key_id, 600, 200)
    assert await spent(Quotas(pool, clock), key_id, 600) >= 97


async def test_more_at_once_than_a_full_quota_holds_is_never_allowed(
    pool: Pool, key_id: str, clock: Clock
) -> None:
    with pytest.raises(TooLarge) as refusal:
        await Quotas(pool, clock).spend(key_id, 600, 601)
    assert "601 identifiers at once are more than this key's quota of 600" in refusal.value.detail


async def test_what_is_left_is_told(pool: Pool, key_id: str, clock: Clock) -> None:
    quotas = Quotas(pool, clock)
    # A slice of the first is three, so the second does not ask the database, whose clock does not stand.
    assert await quotas.spend(key_id, 600, 100) == (600, 500, 10)
    assert await quotas.spend(key_id, 600, 1) == (600, 499, 11)
    clock.now += 5
    assert await quotas.spend(key_id, 600, 1) == (600, 548, 6)


async def test_a_quota_that_was_changed_counts_at_once(pool: Pool, key_id: str, clock: Clock) -> None:
    quotas = Quotas(pool, clock)
    assert await spent(quotas, key_id, 100) == 100
    assert await spent(quotas, key_id, 50) == 0
    assert (await quotas.spend(key_id, 10_000_000, 0)).most == 10_000_000


async def test_buckets_of_keys_that_ask_no_more_are_removed(
    pool: Pool, conn: Any, key_id: str, clock: Clock, passes: Any
) -> None:
    await Quotas(pool, clock).spend(key_id, 600, 1)
    await forget(conn)
    assert await conn.fetchval("SELECT count(*) FROM quota_bucket") == 1
    await passes(86_401)
    await forget(conn)
    assert await conn.fetchval("SELECT count(*) FROM quota_bucket") == 0
