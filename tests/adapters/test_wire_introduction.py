"""Credentials are tried by one call, before the others follow."""

import asyncio
import time

import pytest

from app.adapters.contract import Denied
from app.delivery import introduction

from .speaking import OK, speaking, wired

SLACK = 1.0


def _no(status: int) -> bytes:
    return f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_refused_are_tried_once(status, monkeypatch):
    monkeypatch.setattr(introduction, "PATIENCE", 0.5)
    calls = 0

    async def speak(_reader, writer, _head):
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.05)
        writer.write(_no(status))

    async with speaking(speak) as url, wired() as wire:
        first = [asyncio.create_task(wire.send("POST", url)) for _ in range(16)]
        await asyncio.sleep(0.2)
        late = asyncio.create_task(wire.send("POST", url))
        answers = await asyncio.gather(*first, late, return_exceptions=True)
        assert calls == 1
        assert [answer.status for answer in answers if not isinstance(answer, Exception)] == [status]
        assert sum(isinstance(answer, Denied) for answer in answers) == 16
        # Whoever comes later, when somebody has looked at it, is sent.
        assert (await wire.send("POST", url)).status == status
    assert calls == 2


async def test_who_was_turned_away_may_come_again_with_what_was_asked_for():
    heads = []

    async def speak(_reader, writer, head):
        heads.append(head)
        await asyncio.sleep(0.05)
        writer.write(OK if b"x-nonce" in head else _no(401))

    async def challenged() -> int:
        answer = await wire.send("POST", url)
        if answer.status == 401:
            await asyncio.sleep(0.1)
            answer = await wire.send("POST", url, headers={"x-nonce": "7"})
        return answer.status

    async with speaking(speak) as url, wired() as wire:
        assert await asyncio.gather(*(challenged() for _ in range(8))) == [200] * 8


async def test_who_waited_for_the_first_call_is_sent_with_all_others_once_it_is_taken():
    now, most = 0, 0

    async def speak(_reader, writer, _head):
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.1)
        now -= 1
        writer.write(OK)

    async with speaking(speak) as url, wired(connections=8) as wire:
        began = time.monotonic()
        await asyncio.gather(*(wire.send("POST", url) for _ in range(9)))
        assert time.monotonic() - began < 0.2 + SLACK / 2
    assert most == 8
