"""What an S13 request asks and what its answer says, without sockets: whatever bytes come, they have an answer."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.access.roles import ALLOWED, Permission, Principal, Role
from app.blocklist.standing import Status
from app.s13 import answer, avps, greeting
from app.s13.avps import Refused, Result
from app.s13.peers import Identity, Peer

from .. import diameter_by_hand as by_hand
from ..diameter_by_hand import EIR, MME, REALM, Said, unpacked

OURS = Identity(EIR, REALM, 7)


class Asker(by_hand.RawPeer):
    """Writes questions, and has no connection."""

    def __init__(self) -> None:
        self.host = MME
        self._numbers = iter(range(1, 10**6))


ECR = Asker().ecr("49015420323751", number_=5)
CER = Asker().cer()


def said(data: bytes) -> Said:
    word, flags_command, application, hop, end = struct.unpack_from(">IIIII", data)
    assert word == 1 << 24 | len(data)
    return Said(flags_command >> 24, flags_command & 0xFFFFFF, application, hop, end, unpacked(data[20:]))


@pytest.mark.parametrize(
    "digits", ["49015420323751", "490154203237510", "490154203237518", "490154203237519"]
)
def test_the_key_is_the_first_fourteen_digits(digits: str) -> None:
    assert answer.asked(avps.read(Asker().ecr(digits)), OURS) == 49015420323751


def test_leading_zeros_count() -> None:
    assert answer.asked(avps.read(Asker().ecr("00440123456789")), OURS) == 440123456789


@pytest.mark.parametrize("unknown", ["404", "WHITELISTED", "BLACKLISTED", "GREYLISTED"])
@pytest.mark.parametrize("status", list(Status))
def test_each_status_has_its_number(status: Status, unknown: str) -> None:
    told = said(answer.told(avps.read(ECR), OURS, status, unknown))
    word = {Status.CLEAR: "WHITELISTED", Status.BLOCKED: "BLACKLISTED", Status.SUSPECT: "GREYLISTED"}
    number = {
        "WHITELISTED": (2001, 0),
        "BLACKLISTED": (2001, 1),
        "GREYLISTED": (2001, 2),
        "404": (5422, None),
    }
    assert (told.result, told.status) == number[word.get(status, unknown)]
    assert (told.flags, told.hop, told.end) == (by_hand.PROXIABLE, 5, 5 ^ 0xA5A5)


@pytest.mark.parametrize("role", list(Role))
def test_whoever_may_read_a_status_may_ask(role: Role) -> None:
    asker = Principal("k_aaaaaaaa", "MME", role)
    if Permission.STATUS_READ in ALLOWED[role]:
        answer.allowed(asker)
    else:
        with pytest.raises(Refused) as refused:
            answer.allowed(asker)
        assert refused.value.result == Result.AUTHORIZATION_REJECTED


def test_who_is_revoked_may_not() -> None:
    with pytest.raises(Refused) as refused:
        answer.allowed(None)
    assert refused.value.result == 5003


def test_what_may_pass_is_not_marked_as_an_error_of_the_protocol() -> None:
    """Relays act on the error bit: 3xxx alone has it (RFC 6733 clause 7.1)."""
    for result in Result:
        if result not in (Result.SUCCESS, Result.EQUIPMENT_UNKNOWN):
            told = said(answer.refused(avps.read(ECR), OURS, Refused(result, "No.")))
            assert (told.result, bool(told.flags & by_hand.ERROR)) == (result, 3000 <= result < 4000)


def answered(data: bytes) -> Said:
    """What becomes of any message that has a header, up to the question to the database."""
    message = avps.read(data)
    try:
        answer.asked(message, OURS)
    except Refused as why:
        return said(answer.refused(message, OURS, why))
    return said(answer.told(message, OURS, Status.CLEAR, "404"))


@st.composite
def tampered(draw: st.DrawFn) -> bytes:
    data = bytearray(ECR)
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(20, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data) + draw(st.binary(max_size=12))


@given(st.one_of(tampered(), st.binary(max_size=200).map(lambda body: ECR[:20] + body)))
@example(ECR[:20])
@example(ECR[:20] + b"\0" * 8)
@example(ECR + b"\0\0\5\x79\xc0\xff\xff\xff\0\0\x28\xaf")
def test_whatever_comes_has_a_whole_answer_of_its_own(data: bytes) -> None:
    told = answered(data)
    assert (told.command, told.hop) == (324, 5)
    assert [avp.code for avp in told.avps if avp.code in (264, 296)] == [264, 296]
    assert told.result


@given(st.binary(max_size=60))
def test_no_other_value_passes_for_an_imei(value: bytes) -> None:
    right = len(value) in (14, 15) and all(48 <= byte <= 57 for byte in value)
    assert (answered(Asker().ecr(value)).result == 2001) == right


@given(st.binary(max_size=120))
def test_whoever_says_hello_in_whatever_way_is_known_or_refused(body: bytes) -> None:
    peers = {MME: Peer(MME, "k_aaaaaaaa")}
    for data in (CER[:20] + body, CER + body):
        message = avps.read(data)
        try:
            found = greeting.known(message, peers)
        except Refused as why:
            refused = said(greeting.unwelcome(message, OURS, why))
        else:
            refused = None
        assert refused.result if refused else found.host == MME


def test_hello_in_capitals_is_the_same_peer() -> None:
    asker = Asker()
    asker.host = MME.upper()
    assert greeting.known(avps.read(asker.cer()), {MME: Peer(MME, "k_a")}).host == MME


@pytest.mark.parametrize("address", ["10.1.2.3", "2001:db8::1"])
def test_a_welcome_says_all_that_it_must(address: str) -> None:
    told = said(greeting.welcome(avps.read(CER), OURS, address))
    assert (told.command, told.flags, told.result) == (257, 0, 2001)
    assert [avp.code for avp in told.avps] == [268, 264, 296, 257, 266, 269, 278, 265, 260]
    assert told.all(257)[0].value[:2] == (b"\0\1" if "." in address else b"\0\2")
    assert [(avp.code, int.from_bytes(avp.value, "big")) for avp in unpacked(told.all(260)[0].value)] == [
        (266, 10415),
        (258, 16777252),
    ]
