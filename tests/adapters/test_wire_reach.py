"""Where the way out leads: to public addresses alone, whatever a name means at which moment."""

import asyncio
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from app.adapters.contract import NoAnswer
from app.delivery import reach
from app.delivery.wire import Connector

from .speaking import OK, saying, speaking, wired

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.9.9.9", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1",
    "", "localhost", "partner.example", "0x7f.1", "2130706433", "127.1", "010.0.0.1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "172.15.255.255",
    "172.32.0.0", "192.167.255.255", "198.17.255.255", "223.255.255.255", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
    "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address):
    assert not reach.is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert reach.is_public(address)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True), ("::1", True), ("localhost", True), ("LOCALHOST.", True), ("a.localhost", True),
        ("1.1.1.1", False), ("eir.example", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_what_can_be_told_of_a_host_without_asking(host, private):
    assert reach.is_surely_private(host) is private


class Names(AbstractResolver):
    """A resolver that answers each question with the next of some lists of addresses, and the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self):
        pass


@asynccontextmanager
async def inside():
    """A service of this machine, on IPv4 and IPv6: its port, and who has connected to it."""
    connected = []

    async def serve(reader, writer):
        connected.append(writer.get_extra_info("peername")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    six = await asyncio.start_server(serve, "::1", port)
    try:
        yield port, connected
    finally:
        server.close()
        six.close()


async def _fault(url: str, **options) -> str:
    async with wired(**{"deadline": 2, "allow_private": False, **options}) as wire:
        with pytest.raises(NoAnswer) as caught:
            await wire.send("POST", url, body=b"secret")
    return str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "0x7f.1",
        "127.1",
        "2130706433",
    ],
)
async def test_this_machine_is_not_called(host):
    async with inside() as (port, connected):
        await _fault(f"http://{host}:{port}/")
        await asyncio.sleep(0.05)
        assert connected == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_a_name_that_means_this_machine_is_not_called(address):
    async with inside() as (port, connected):
        url = f"http://partner.example:{port}/"
        assert await _fault(url, resolver=Names([address])) == reach.WHY
        assert connected == []
        # It is the name that led there.
        async with wired(resolver=Names([address])) as wire:
            assert (await wire.send("POST", url)).body == b"ok"
        assert len(connected) == 1


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "fd00::1"]
)
async def test_a_name_that_means_another_network_is_not_called(address):
    assert await _fault("http://partner.example/", resolver=Names([address])) == reach.WHY


async def test_a_name_that_changes_its_meaning_leads_nowhere_else():
    """The first answer is public, though nobody answers there; every later one is this machine."""
    async with inside() as (port, connected):
        names, url = Names(["1.1.1.1"], ["127.0.0.1"]), f"http://partner.example:{port}/"
        first = await _fault(url, deadline=0.5, resolver=names)
        assert first != reach.WHY
        assert [await _fault(url, resolver=names) for _ in range(3)] == [reach.WHY] * 3
        assert names.asked == 4
        assert connected == []


async def test_of_several_addresses_only_a_public_one_is_called():
    async with inside() as (port, connected):
        names = Names(["127.0.0.1", "1.1.1.1", "::1"])
        said = await _fault(f"http://partner.example:{port}/", deadline=0.5, resolver=names)
        assert said != reach.WHY
        assert connected == []


async def test_a_connection_that_came_about_in_another_way_is_not_used():
    """Whatever opened the socket: what counts in the end is who is at the other end of it."""
    heads = []

    async def speak(_reader, writer, head):
        heads.append(head)
        writer.write(OK)

    async with speaking(speak) as url:
        connector = Connector(False, socket_factory=lambda found: socket.socket(*found[:3]))
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientOSError, match="not a public one"):
                await session.post(url)
        connector = Connector(True, socket_factory=lambda found: socket.socket(*found[:3]))
        async with aiohttp.ClientSession(connector=connector) as session, session.post(url) as answer:
            assert answer.status == 200
    assert len(heads) == 1


async def test_private_addresses_may_be_allowed():
    async with speaking(saying(OK)) as url, wired(allow_private=True) as wire:
        assert (await wire.send("POST", url)).status == 200
