"""Passwords and codes: which are taken, and that hashing holds up nobody."""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import UTC, datetime
from random import Random

import pyotp
import pytest

from app.access import passwords, second_factor
from app.access.passwords import Hashing
from app.core.errors import Invalid

# RFC 6238, appendix B, for SHA-1; its eight digits end in our six.
SECRET = base64.b32encode(b"12345678901234567890").decode()
VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]


@pytest.mark.parametrize(("at", "code"), VECTORS, ids=str)
def test_codes_are_those_of_the_standard(at, code):
    now = datetime.fromtimestamp(at, UTC)
    assert second_factor.step_of(SECRET, code[2:], now) == at // 30


@pytest.mark.parametrize(("off", "taken"), [(-60, False), (-30, True), (30, True), (60, False)], ids=str)
def test_a_clock_may_be_wrong_by_half_a_minute(off, taken):
    code = pyotp.TOTP(SECRET).at(1_000_000_000 + off)
    found = second_factor.step_of(SECRET, code, datetime.fromtimestamp(1_000_000_000, UTC))
    assert (found is not None) is taken


@pytest.mark.parametrize("code", ["", "12345", "1234567", "２８７０８２", "28708a", "-87082"])
def test_what_is_no_code_is_none(code):
    assert second_factor.step_of(SECRET, code, datetime.fromtimestamp(59, UTC)) is None


def test_recovery_codes_are_typed_in_any_way():
    codes = second_factor.recovery_codes(Random(1).randbytes)
    assert len({second_factor.digest(code) for code in codes}) == 10
    typed = codes[0].upper().replace("-", " ")
    assert second_factor.digest(typed) == second_factor.digest(codes[0])


@pytest.mark.parametrize(
    "password",
    ["short", "x" * 257, "Password1234", "aaaaaaaaaabb", "Marie@Retailer.example", "marie lenoir"],
)
def test_weak_passwords_are_refused(password):
    with pytest.raises(Invalid) as refusal:
        passwords.chosen(password, "marie@retailer.example", "Marie Lenoir")
    assert refusal.value.code == "password-weak"


async def test_hashes_are_argon2id_and_match_their_password_alone():
    hashing = Hashing(Random(1).randbytes)
    kept = await hashing.hashed(passwords.chosen("seven grey herons"))
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hashing.matches(kept, "seven grey herons")
    assert not await hashing.matches(kept, "seven grey heron")
    assert not await hashing.matches(None, "nobody's password")
    hashing.close()


async def test_hashing_does_not_hold_the_event_loop():
    hashing, longest, done = Hashing(Random(1).randbytes), 0.0, asyncio.Event()

    async def ticking() -> None:
        nonlocal longest
        while not done.is_set():
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)

    ticks = asyncio.create_task(ticking())
    began = time.monotonic()
    await asyncio.gather(*(hashing.hashed(f"password number {number}") for number in range(24)))
    took = time.monotonic() - began
    done.set()
    await ticks
    hashing.close()
    assert longest < took / 4, f"{longest:.3f} s of {took:.3f} s"
