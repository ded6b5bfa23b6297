"""The filter as a file: nothing that is blocked is ever missed, and little else is taken for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.blocklist import bloom
from app.core.errors import Invalid
from app.core.imei import KEY_LIMIT

AT = datetime(2026, 12, 22, 2, 41, 7, tzinfo=UTC)
KEYS = st.integers(0, KEY_LIMIT - 1)
# A night's IMEIs are of a few TACs, one after another.
NIGHT = st.builds(
    lambda first, count: range(first, first + count), st.integers(0, 10**13), st.integers(1, 2_000)
)

MOMENTS = st.timedeltas(timedelta(0), timedelta(days=2_000_000)).map(
    lambda it: datetime(1970, 1, 1, tzinfo=UTC) + it
)


def written(keys: Iterable[int], position: int = 7) -> bytes:
    return bloom.written("".join(f"{key:014d}" for key in keys).encode(), position, AT)


@given(st.sets(KEYS, max_size=300) | NIGHT)
@settings(max_examples=60)
def test_what_is_in_it_is_never_missed(keys: set[int] | range) -> None:
    found = bloom.read(written(keys))
    assert all(found.may_hold(key) for key in keys)


@given(st.sets(KEYS, max_size=20), st.integers(0, 2**63 - 1), MOMENTS)
def test_it_says_what_it_is(keys: set[int], position: int, at: datetime) -> None:
    digits = "".join(f"{key:014d}" for key in keys).encode()
    found = bloom.read(bloom.written(digits, position, at))
    assert (found.keys, found.position) == (len(keys), position)
    assert found.made_at == at.replace(microsecond=0)


@pytest.mark.parametrize("count", [100, 1_000, 20_000, 100_000])
def test_of_a_thousand_others_about_one_seems_to_be_in_it(count: int) -> None:
    chance = Random(count)
    held = {chance.randrange(KEY_LIMIT) for _ in range(count)}
    content = written(held)
    found = bloom.read(content)
    others = [key for key in (chance.randrange(KEY_LIMIT) for _ in range(50_000)) if key not in held]
    wrong = sum(map(found.may_hold, others)) / len(others)
    assert wrong < 1.5 * bloom.RATE
    assert len(content) <= max(1_100, 1.8 * count + 100)
    if count > 10_000:
        assert wrong > 0.5 * bloom.RATE


def test_an_empty_one_holds_nothing() -> None:
    found = bloom.read(written([]))
    assert not any(map(found.may_hold, range(35_209900_000000, 35_209900_001000)))


@given(st.binary(max_size=200) | st.integers(0, 1_063).map(lambda size: written([1])[:size]))
def test_what_is_no_whole_filter_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid, match="download it again"):
        bloom.read(content)


@pytest.mark.parametrize("place", [0, 4, 5, 8, 15])
def test_a_head_that_is_damaged_is_refused(place: int) -> None:
    content = bytearray(written([1]))
    content[place] = 0xFF if place != 5 else 0
    with pytest.raises(Invalid):
        bloom.read(bytes(content))


def test_more_than_is_there_is_refused() -> None:
    with pytest.raises(Invalid):
        bloom.read(written([1]) + b"\0")
