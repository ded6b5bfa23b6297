"""Whoever reaches the S13 port and means no good: he is ended, and those who ask are answered all the while."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from app.access.roles import Role

from ..conftest import administer, sibling
from ..diameter_by_hand import (
    CER,
    ECR,
    ERROR,
    PROXIABLE,
    REQUEST,
    S13,
    SGSN,
    RawPeer,
    message,
    number,
    text,
)  # fmt: skip
from .s13_world import Answering, World, digits, soon

UNKNOWN = digits(35_209900_777777)


@pytest.fixture(scope="module")
async def gateway(
    cluster: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Answering]:
    name = f"s13_{uuid4().hex}"
    await administer(cluster, f"CREATE DATABASE {name} TEMPLATE {template}")
    world = World(sibling(cluster, name), tmp_path_factory.mktemp("s13"))
    world.ids[Role.CARRIER] = await world.new_key(Role.CARRIER)
    with world.answering() as gateway:
        yield gateway
    await administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def peer(gateway: Answering) -> Iterator[RawPeer]:
    """One that means well: it is answered before and after, on the same connection."""
    with RawPeer(gateway.port, SGSN) as peer:
        peer.hello()
        yield peer
        assert is_answered(peer)


def is_answered(peer: RawPeer) -> bool:
    return peer.ask(UNKNOWN).result == 5422


def sockets(gateway: Answering) -> int:
    """How many the process has open."""
    found = 0
    for fd in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(fd).startswith("socket:")
    return found


def cpu_seconds(gateway: Answering) -> float:
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


HEAD = struct.pack(">IIIII", 1 << 24, REQUEST << 24 | CER, 0, 1, 1)
JUNK = {
    "a web browser": b"GET / HTTP/1.1\r\nHost: eir\r\n\r\n",
    "zeros": b"\0" * 4096,
    "chance": random.Random(1).randbytes(100_000),
    "another version": b"\2" + HEAD[1:],
    "a length of 0": HEAD,
    "a length of 19": b"\1\0\0\x13" + HEAD[4:],
    "an odd length": b"\1\0\0\x19" + HEAD[4:] + b"\0" * 5,
    "the largest length": b"\1\xff\xff\xfc" + HEAD[4:] + b"\0" * 100_000,
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
@pytest.mark.parametrize("known", [False, True], ids=["of a stranger", "of a peer"])
def test_what_is_not_diameter_ends_the_connection(
    gateway: Answering, peer: RawPeer, junk: bytes, known: bool
) -> None:
    before = cpu_seconds(gateway)
    with RawPeer(gateway.port, timeout=5) as bad:
        if known:
            bad.hello()
        with suppress(ConnectionError):
            bad.send(junk)
        assert bad.next() is None
    assert is_answered(peer)
    assert cpu_seconds(gateway) - before < 1, "it keeps the gateway busy"


def test_a_peer_that_breaks_off_within_a_message_harms_nobody(gateway: Answering, peer: RawPeer) -> None:
    whole = RawPeer(gateway.port)
    question = whole.hello().ecr(UNKNOWN)
    for place in range(1, len(question), 7):
        with RawPeer(gateway.port) as bad:
            bad.hello().send(question[:place])
    whole.socket.close()
    assert is_answered(peer)


def test_a_question_in_single_bytes_is_one(gateway: Answering) -> None:
    with RawPeer(gateway.port).hello() as slow:
        slow.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in slow.ecr(UNKNOWN):
            slow.send(bytes([byte]))
        assert slow.heard().result == 5422


def test_nobody_asks_before_it_has_said_who_it_is(gateway: Answering, peer: RawPeer) -> None:
    with RawPeer(gateway.port) as hasty:
        hasty.send(hasty.ecr(UNKNOWN))
        assert hasty.next() is None
    with RawPeer(gateway.port) as nameless:
        avps = [number(258, S13), text(296, "example.org")]
        nameless.send(message(REQUEST, CER, 0, 1, 1, avps))
        answer = nameless.heard()
        assert (answer.result, [avp.value[:4] for avp in answer.all(279)]) == (5005, [struct.pack(">I", 264)])
        assert nameless.next() is None
    assert "Traceback" not in gateway.log


def test_a_peer_does_not_become_another_one(gateway: Answering, peer: RawPeer) -> None:
    with RawPeer(gateway.port).hello() as two_faced:
        assert two_faced.hello()
        two_faced.host = SGSN
        two_faced.send(two_faced.cer())
        assert two_faced.heard().flags & ERROR
        assert two_faced.next() is None


def packed(code: int, flags: int, length: int, value: bytes) -> bytes:
    return struct.pack(">II", code, flags << 24 | length) + value


NESTED = 1000 * packed(1401, 0x40, 8, b"")
BROKEN = {
    "shorter than its head": (packed(1401, 0x40, 7, b""), 5014),
    "shorter than its head with a vendor": (packed(1401, 0xC0, 11, b"\0\0\x28\xaf"), 5014),
    "longer than the message": (packed(1401, 0xC0, 5000, b"\0\0\x28\xaf"), 5014),
    "half of a head": (b"\0\0\5\x79", 5014),
    "broken within a group": (
        packed(1401, 0xC0, 24, struct.pack(">I", 10415) + packed(1402, 0xC0, 99, b"1234")),
        5014,
    ),
    "a group of a thousand": (packed(1401, 0xC0, 8012, struct.pack(">I", 10415) + NESTED), 5005),
}


@pytest.mark.parametrize(("broken", "result"), BROKEN.values(), ids=BROKEN)
def test_avps_that_do_not_fit_are_told_and_the_connection_stays(
    gateway: Answering, broken: bytes, result: int
) -> None:
    with RawPeer(gateway.port).hello() as bad:
        good = bad.ecr(None, number_=3)
        bad.send(struct.pack(">I", 1 << 24 | len(good) + len(broken)) + good[4:] + broken)
        answer = bad.heard()
        assert (answer.command, answer.hop, answer.flags, answer.result) == (ECR, 3, PROXIABLE, result)
        assert answer.all(263)
        assert answer.all(279)
        assert is_answered(bad)


def test_questions_that_were_tampered_with_are_answered_or_end_their_connection(
    gateway: Answering, peer: RawPeer
) -> None:
    chance = random.Random(7)
    bad = RawPeer(gateway.port).hello()
    for _ in range(1500):
        question = bytearray(bad.ecr(UNKNOWN))
        for _ in range(chance.randint(1, 4)):
            question[chance.randrange(4, len(question))] = chance.randrange(256)
        bad.send(bytes(question))
        if bad.socket.fileno() >= 0 and chance.random() < 0.02:
            bad.socket.close()
            bad = RawPeer(gateway.port).hello()
        with suppress(TimeoutError):
            bad.socket.settimeout(0.001)
            while bad.next():
                pass
            bad = RawPeer(gateway.port).hello()
        bad.socket.settimeout(20)
    bad.socket.close()
    assert is_answered(peer)
    assert "Traceback" not in gateway.log


def test_a_thousand_connections_keep_no_peer_out(gateway: Answering, peer: RawPeer) -> None:
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(RawPeer(gateway.port))
        assert is_answered(peer)
        with RawPeer(gateway.port, source="127.0.0.2").hello() as another:
            assert is_answered(another)
        assert sockets(gateway) < 100
        gateway.until_logged("s13.crowded", "127.0.0.1")
    soon(lambda: sockets(gateway) < 12)
    with RawPeer(gateway.port).hello() as later:
        assert is_answered(later)
    assert gateway.log.count("s13.crowded") < 10


def test_a_peer_has_eight_connections_at_most(gateway: Answering) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(RawPeer(gateway.port)).hello() for _ in range(8)]
        ninth = stack.enter_context(RawPeer(gateway.port))
        ninth.send(ninth.cer())
        assert ninth.heard().result == 3004
        assert ninth.next() is None
        assert all(map(is_answered, held))
        held[0].socket.close()
        soon(lambda: "s13.peer_down" in gateway.log)
        time.sleep(0.2)
        assert stack.enter_context(RawPeer(gateway.port)).hello()
