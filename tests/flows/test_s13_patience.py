"""How long an S13 peer is waited for: real connections, and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.blocklist.lookout import Lookout
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Pool
from app.s13 import connection, node

from ..diameter_by_hand import DWR, EIR, MME, REALM, REQUEST, SGSN, RawPeer, message, number


class Listening:
    """A node of this process; nobody looks after its connections but the test."""

    def __init__(self, house: connection.House, port: int) -> None:
        self._house = house
        self.port = port

    @property
    def open(self) -> int:
        return len(self._house.open)

    def pass_by(self, seconds: float) -> None:
        """As if so many had, since something was last heard."""
        now = asyncio.get_running_loop().time()
        for one in [*self._house.open]:
            one.look(now + seconds)

    async def peer(self, host: str = MME) -> RawPeer:
        return await asyncio.to_thread(lambda: RawPeer(self.port, host).hello())

    async def stranger(self) -> RawPeer:
        was = self.open
        found = RawPeer(self.port)
        async with asyncio.timeout(10):
            while self.open == was:
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def gateway(pool: Pool, tmp_path: Path) -> AsyncIterator[Listening]:
    settings = Settings(
        data_dir=tmp_path,
        s13_port=0,
        s13_origin_host=EIR,
        s13_origin_realm=REALM,
        s13_peers=f"{MME}=k_aaaaaaaa {SGSN}=k_aaaaaaaa",
    )
    house = node.house(settings, pool, pool, Lookout(pool, utc_now))
    server = await node.listening(settings, house)
    yield Listening(house, server.sockets[0].getsockname()[1])
    server.close()
    await node.say_farewell(house)


async def ended(peer: RawPeer) -> bool:
    return await asyncio.to_thread(peer.next) is None


async def test_who_does_not_say_who_it_is_is_ended(gateway: Listening) -> None:
    with await gateway.stranger() as silent, await gateway.stranger() as halting, await gateway.peer(SGSN):
        halting.send(halting.cer()[:30])
        await asyncio.sleep(0.1)
        gateway.pass_by(connection.HELLO - 1)
        assert gateway.open == 3
        gateway.pass_by(connection.HELLO + 1)
        assert await ended(silent)
        assert await ended(halting)
        assert gateway.open == 1


async def test_a_message_that_is_begun_is_to_be_ended(gateway: Listening) -> None:
    with await gateway.peer() as halting, await gateway.peer(SGSN) as other:
        question = halting.ecr("49015420323751")
        halting.send(question + question[:50])
        assert (await asyncio.to_thread(halting.heard)).result == 5003
        gateway.pass_by(connection.MESSAGE - 1)
        assert gateway.open == 2
        gateway.pass_by(connection.MESSAGE + 1)
        assert await ended(halting)
        assert (await asyncio.to_thread(other.ask, "49015420323751")).result == 5003


async def test_a_silent_peer_is_asked_whether_it_is_there(gateway: Listening) -> None:
    with await gateway.peer() as answers, await gateway.peer(SGSN) as dead:
        gateway.pass_by(connection.SILENCE + 1)
        for peer in (answers, dead):
            asked = await asyncio.to_thread(peer.heard)
            assert (asked.command, asked.flags) == (DWR, REQUEST)
            assert [avp.value for avp in asked.all(264)] == [EIR.encode()]
            if peer is answers:
                answer = [number(268, 2001), *peer.origin()]
                peer.send(message(0, DWR, 0, asked.hop, asked.end, answer))
        await asyncio.sleep(0.1)
        gateway.pass_by(2 * connection.SILENCE + 2)
        assert await ended(dead)
        assert gateway.open == 1
        asked = await asyncio.to_thread(answers.heard)
        assert asked.command == DWR, "it is asked again"


async def test_a_peer_that_takes_no_answers_is_ended(gateway: Listening) -> None:
    with await gateway.peer() as greedy:
        greedy.socket.settimeout(0.5)
        watchdogs = 2000 * message(REQUEST, DWR, 0, 1, 1, greedy.origin())
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(lambda: [greedy.send(watchdogs) for _ in range(1000)])
        gateway.pass_by(connection.TAKES + 1)
        async with asyncio.timeout(10):
            while gateway.open:
                await asyncio.sleep(0.05)
