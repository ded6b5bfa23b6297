"""The small parts of S13: messages are cut out of a stream, strangers are counted, peers are read from a setting."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.config import Settings
from app.core.errors import Invalid
from app.s13 import crowd, frames, peers
from app.s13.crowd import Crowd
from app.s13.frames import Broken, Frames

from ..diameter_by_hand import MME, REALM, SGSN


def whole(size: int, filled: int) -> bytes:
    return struct.pack(">I", 1 << 24 | size) + bytes([filled]) * (size - 4)


@given(
    st.lists(st.integers(5, 60).map(lambda n: 4 * n), max_size=12), st.lists(st.integers(1, 90), min_size=1)
)
def test_messages_come_out_whole_however_they_are_cut(sizes: list[int], steps: list[int]) -> None:
    sent = [whole(size, place) for place, size in enumerate(sizes)]
    stream, got, held = b"".join(sent), list[bytes](), Frames()
    at, step = 0, 0
    while at < len(stream):
        end = at + steps[step % len(steps)]
        held.add(stream[at:end], float(step))
        at, step = end, step + 1
        while (message := held.next(float(step))) is not None:
            got.append(message)
    assert got == sent
    assert held.begun is None


def test_a_message_is_under_way_from_its_first_byte() -> None:
    held = Frames()
    held.add(whole(20, 1)[:3], 5.0)
    held.add(whole(20, 1)[3:19], 9.0)
    assert (held.next(9.0), held.begun) == (None, 5.0)
    held.add(whole(20, 1)[19:] + b"\1", 11.0)
    assert held.next(11.0) == whole(20, 1)
    assert held.begun == 11.0


@pytest.mark.parametrize(
    "head",
    [b"\2\0\0\x14", b"\1\0\0\0", b"\1\0\0\x10", b"\1\0\0\x16", b"\1\xff\xff\xfc"],
    ids=["version", "nothing", "less than a header", "not in fours", "too long"],
)
def test_what_is_no_message_is_said_at_its_first_four_bytes(head: bytes) -> None:
    held = Frames()
    held.add(head, 0.0)
    with pytest.raises(Broken, match="it would be"):
        held.next(0.0)


def test_the_largest_message_is_taken() -> None:
    held = Frames()
    held.add(whole(frames.LARGEST, 1), 0.0)
    assert held.next(0.0)


def test_strangers_of_one_address_leave_room_for_others() -> None:
    held = Crowd()
    assert [held.enter("a") for _ in range(crowd.STRANGERS_FROM_ONE + 3)].count(
        True
    ) == crowd.STRANGERS_FROM_ONE
    assert held.enter("b")
    held.leave("a", None)
    assert held.enter("a")
    assert not held.enter("a")


def test_strangers_of_all_addresses_are_bounded_and_peers_are_none_of_them() -> None:
    held = Crowd()
    entered = [held.enter(f"{one}") for one in range(crowd.STRANGERS + 5)]
    assert entered.count(True) == crowd.STRANGERS
    assert held.join("0", "mme")
    assert held.enter("another")


def test_a_peer_has_as_many_connections_as_it_may() -> None:
    held = Crowd()
    for one in range(crowd.OF_A_PEER):
        assert held.enter("a")
        assert held.join("a", "mme"), one
    assert held.enter("a")
    assert not held.join("a", "mme")
    assert held.join("a", "sgsn")
    held.leave("a", "mme")
    assert held.enter("a")
    assert held.join("a", "mme")


def settings(**said: str) -> Settings:
    right = {"s13_origin_host": f"eir.{REALM}", "s13_origin_realm": REALM}
    return Settings(data_dir=Path("x"), **{**right, **said})


@pytest.mark.parametrize("between", [",", " ", ", ", " ,\n "])
def test_peers_are_known_by_their_host_in_any_case(between: str) -> None:
    found = peers.read(settings(s13_peers=f"{MME.upper()}=k_abcdefgh{between}{SGSN}=k_ijklmnop"))
    assert {host: peer.key_id for host, peer in found.items()} == {MME: "k_abcdefgh", SGSN: "k_ijklmnop"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "it is empty"),
        (" , ", "it is empty"),
        ("mme", "'mme' in it is no Origin-Host"),
        (f"{MME}=", f"what stands behind {MME}= is not the id of a key"),
        (f"{MME}=imei_k_abcdefgh_{'x' * 43}", f"what stands behind {MME}= is not the id of a key"),
        (f"{MME}=k_ABCDEFGH", f"what stands behind {MME}= is not the id of a key"),
        (f"{'a' * 64}.example=k_abcdefgh", "in it is no Origin-Host"),
        (f"{MME}=k_abcdefgh {MME.upper()}=k_ijklmnop", "stands in it twice"),
    ],
)  # fmt: skip
def test_peers_that_cannot_be_are_told(said: str, why: str) -> None:
    with pytest.raises(Invalid) as error:
        peers.read(settings(s13_peers=said))
    assert error.value.detail.startswith("IMEI_GATEWAY_S13_PEERS cannot be used: ")
    assert why in error.value.detail
    assert (
        "it would be the Origin-Host of each peer and the id of its API key, like mme." in error.value.detail
    )
    assert "xx" not in error.value.detail, "a whole key is a secret"


@pytest.mark.parametrize(
    "wrong", ["", "eir", "eir..example", "eir.example.", "eir_host example", "ä.example"]
)
@pytest.mark.parametrize("name", ["s13_origin_host", "s13_origin_realm"])
def test_who_we_are_is_a_whole_domain_name(name: str, wrong: str) -> None:
    with pytest.raises(
        Invalid, match=f"IMEI_GATEWAY_{name.upper()} is '.*'; it would be a whole domain name, like"
    ):
        peers.identity(settings(**{name: wrong}), 1)
    assert peers.identity(settings(), 1) == (f"eir.{REALM}", REALM, 1)
