"""MMEs and SGSNs ask by Diameter S13: a gateway, a database and peers that are real, each in a process of its own."""

from __future__ import annotations

import json
import random
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from app.access.roles import Role
from app.blocklist.specimens import SPECIMENS

from ..conftest import administer, sibling
from ..diameter_by_hand import (
    AGAIN,
    CER,
    DPR,
    DWR,
    ECR,
    EIR,
    ERROR,
    MME,
    PROXIABLE,
    REALM,
    REQUEST,
    S13,
    SGSN,
    TGPP,
    Avp,
    RawPeer,
    group,
    message,
    number,
    terminal,
    text,
    unpacked,
)  # fmt: skip
from .s13_world import (
    BLACK,
    BLOCKED,
    CLEAR,
    EXPECTED,
    SUSPECT,
    UNKNOWN,
    WHITE,
    Answering,
    Mme,
    World,
    digits,
    furnished,
    soon,
)  # fmt: skip


@pytest.fixture(scope="module")
async def world(
    cluster: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    name = f"s13_{uuid4().hex}"
    await administer(cluster, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield await furnished(sibling(cluster, name), tmp_path_factory.mktemp("s13"))
    await administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Answering]:
    with world.answering() as gateway:
        yield gateway


@pytest.fixture
def mme(gateway: Answering) -> Iterator[RawPeer]:
    with RawPeer(gateway.port) as peer:
        yield peer.hello()


def test_a_peer_of_another_make_is_told_each_status(gateway: Answering) -> None:
    """With 14 digits and with any 15th; the software version changes nothing."""
    with Mme(gateway.port) as mme:
        assert mme.is_let_in
        for key in (CLEAR[0], SUSPECT[0], BLOCKED[0], UNKNOWN[0]):
            forms = [
                (digits(key) + last, version) for last in ("", *"0123456789") for version in (None, "07")
            ]
            result, status = EXPECTED[key]
            assert mme.ask(*forms) == [{"result": result, "status": status, "state": 1}] * 22


def test_test_imeis_are_told_as_everywhere(gateway: Answering) -> None:
    like = {"clear": CLEAR[0], "suspect": SUSPECT[0], "blocked": BLOCKED[0], "unknown": UNKNOWN[0]}
    with Mme(gateway.port) as mme:
        answers = mme.ask(*((digits(key), None) for key in SPECIMENS))
    assert [(one["result"], one["status"]) for one in answers] == [
        EXPECTED[like[it.status]] for it in SPECIMENS.values()
    ]


def test_a_thousand_questions_in_flight_are_each_answered_right(gateway: Answering) -> None:
    keys = random.Random(5).sample(sorted(EXPECTED), len(EXPECTED))
    assert len(keys) == 1000
    with Mme(gateway.port) as mme:
        answers = mme.ask(*((digits(key), None) for key in keys))
        assert [(one["result"], one["status"]) for one in answers] == [EXPECTED[key] for key in keys]


def test_two_peers_that_use_the_same_numbers_get_their_own_answers(gateway: Answering) -> None:
    with RawPeer(gateway.port, MME).hello() as mme, RawPeer(gateway.port, SGSN).hello() as sgsn:
        for one in range(200):
            mme.send(mme.ecr(digits(BLOCKED[one]), number_=one))
            sgsn.send(sgsn.ecr(digits(CLEAR[one]), number_=one))
        assert {(answer.hop, answer.status) for answer in (mme.heard() for _ in range(200))} == {
            (one, BLACK) for one in range(200)
        }
        assert {(answer.hop, answer.status) for answer in (sgsn.heard() for _ in range(200))} == {
            (one, WHITE) for one in range(200)
        }


@pytest.mark.parametrize("status", ["clear", "suspect", "blocked", "unknown"])
def test_an_answer_is_as_the_standard_has_it_byte_by_byte(mme: RawPeer, status: str) -> None:
    key = {"clear": CLEAR, "suspect": SUSPECT, "blocked": BLOCKED, "unknown": UNKNOWN}[status][2]
    proxies = [
        group(284, text(280, f"relay{place}.example"), Avp(33, bytes([place]) * 3)) for place in (1, 2)
    ]
    mme.send(mme.ecr(digits(key) + "0", number_=77, proxy1=proxies[0], proxy2=proxies[1]))
    result, equipment = EXPECTED[key]
    three = 3 * b"\0"
    code = struct.pack(">II", 298, 0x4000000C) + struct.pack(">I", 5422)
    said = (
        [
            Avp(268, struct.pack(">I", result)),
            Avp(1445, struct.pack(">I", equipment), TGPP),
        ]
        if equipment is not None
        else [Avp(297, struct.pack(">III", 266, 0x4000000C, 10415) + code)]
    )
    avps = [
        Avp(263, f"{MME};1;77".encode()),
        Avp(260, struct.pack(">IIIIII", 266, 0x4000000C, 10415, 258, 0x4000000C, 16777252)),
        Avp(277, three + b"\1"),
        Avp(264, EIR.encode()),
        Avp(296, REALM.encode()),
        *said,
        *proxies,
    ]
    whole = message(PROXIABLE, ECR, S13, 77, 77 ^ 0xA5A5, avps)
    assert mme._exactly(len(whole)) == whole


@pytest.mark.parametrize(("setting", "status"), [("WHITELISTED", 0), ("BLACKLISTED", 1), ("GREYLISTED", 2)])
def test_unknown_equipment_is_what_the_setting_says(world: World, setting: str, status: int) -> None:
    with world.answering(UNKNOWN_EQUIPMENT=setting) as gateway, RawPeer(gateway.port).hello() as mme:
        assert [
            (one.result, one.status) for one in (mme.ask(digits(UNKNOWN[0])), mme.ask(digits(BLOCKED[0])))
        ] == [
            (2001, status),
            (2001, BLACK),
        ]


def test_an_equipment_without_an_imei_is_unknown(mme: RawPeer) -> None:
    assert mme.ask(None, terminal=group(1401, Avp(1471, b"\x12" * 7, TGPP), vendor=TGPP)).result == 5422


@pytest.mark.parametrize("left_out", ["session", "state", "origin_host", "origin_realm", "realm", "terminal"])
def test_what_is_missing_is_named(mme: RawPeer, left_out: str) -> None:
    code = {
        "session": 263,
        "state": 277,
        "origin_host": 264,
        "origin_realm": 296,
        "realm": 283,
        "terminal": 1401,
    }
    answer = mme.ask(digits(BLOCKED[0]), **{left_out: None})
    assert (answer.flags, answer.result, answer.status) == (PROXIABLE, 5005, None)
    assert [avp.code for avp in unpacked(answer.all(279)[0].value)] == [code[left_out]]
    assert len(answer.all(263)) == (left_out != "session")
    assert mme.ask(digits(BLOCKED[0])).status == BLACK


def test_a_missing_imei_is_named_where_it_would_stand(mme: RawPeer) -> None:
    answer = mme.ask(None, terminal=group(1401, text(1403, "07", TGPP), vendor=TGPP))
    assert answer.result == 5005
    failed = unpacked(answer.all(279)[0].value)
    assert [avp.code for avp in failed] == [1401]
    assert unpacked(failed[0].value) == [Avp(1402, b"", TGPP)]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"4901542032375",
        b"4901542032375101",
        b"49015420323A51",
        b"4901542032375\n",
        b"\xff" * 14,
        "４".encode() * 14,
    ],
    ids=["empty", "13 digits", "16 digits", "a letter", "a line's end", "no UTF-8", "wide digits"],
)
def test_a_malformed_imei_is_shown_where_it_stands(mme: RawPeer, wrong: bytes) -> None:
    answer = mme.ask(wrong)
    assert (answer.flags, answer.result, answer.status) == (PROXIABLE, 5004, None)
    failed = unpacked(answer.all(279)[0].value)
    assert [(avp.code, unpacked(avp.value)) for avp in failed] == [(1401, [Avp(1402, wrong, TGPP)])]
    assert mme.ask(digits(BLOCKED[0])).status == BLACK


def test_two_imeis_are_not_chosen_from(mme: RawPeer) -> None:
    """The second might be the stolen one."""
    two = terminal(digits(CLEAR[0]), text(1402, digits(BLOCKED[0]), TGPP))
    assert mme.ask(None, terminal=two).result == 5009
    again = {"terminal": terminal(digits(CLEAR[0])), "more": terminal(digits(BLOCKED[0]))}
    assert mme.ask(None, **again).result == 5009


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"realm": text(283, "elsewhere.example")}, 3003),
        ({"host": text(293, "hss." + REALM)}, 3002),
        ({"strange": Avp(999, b"must", 4711)}, 5001),
    ],
    ids=["another realm", "another host", "what must be understood"],
)
def test_what_is_not_for_us_is_refused(mme: RawPeer, changes: dict[str, Avp], result: int) -> None:
    answer = mme.ask(digits(BLOCKED[0]), **changes)
    assert (answer.result, bool(answer.flags & ERROR)) == (result, result < 4000)
    fine = {
        "realm": text(283, REALM.upper()),
        "host": text(293, EIR),
        "strange": Avp(999, b"may", 4711, False),
    }
    assert mme.ask(digits(BLOCKED[0]), **fine, user=text(1, "001011234567890")).status == BLACK


@pytest.mark.parametrize(
    ("flags", "command", "application", "result"),
    [(REQUEST, ECR, 4, 3007), (REQUEST, 316, S13, 3001), (REQUEST | ERROR, ECR, S13, 3008)],
    ids=["another application", "another command", "a request with the error bit"],
)
def test_what_we_do_not_speak_is_refused(
    mme: RawPeer, flags: int, command: int, application: int, result: int
) -> None:
    mme.send(message(flags, command, application, 5, 6, [text(263, "a;1;2"), *mme.origin()]))
    answer = mme.heard()
    assert (answer.command, answer.application, answer.hop, answer.end) == (command, application, 5, 6)
    assert (answer.result, answer.flags) == (result, ERROR)


def test_a_question_that_is_sent_again_is_answered_again(mme: RawPeer) -> None:
    first = mme.ask(digits(BLOCKED[0]), number_=9)
    repeated = bytearray(mme.ecr(digits(BLOCKED[0]), number_=9))
    repeated[4] |= AGAIN
    mme.send(bytes(repeated))
    assert mme.heard() == first


def test_a_watchdog_and_a_farewell_are_answered_and_the_last_questions_too(mme: RawPeer) -> None:
    mme.send(message(REQUEST, DWR, 0, 8, 9, mme.origin()))
    answer = mme.heard()
    assert (answer.command, answer.flags, answer.hop, answer.end, answer.result) == (DWR, 0, 8, 9, 2001)
    questions = b"".join(mme.ecr(digits(key), number_=key & 0xFFFF) for key in BLOCKED[:50])
    mme.send(questions + message(REQUEST, DPR, 0, 10, 11, [*mme.origin(), number(273, 0)]))
    answers = [mme.heard() for _ in range(51)]
    assert [(one.command, one.status) for one in answers] == [(ECR, BLACK)] * 50 + [(DPR, None)]
    assert answers[-1].result == 2001
    assert mme.next() is None


def test_an_unknown_peer_is_refused_as_it_says_hello(gateway: Answering) -> None:
    with RawPeer(gateway.port, f"rogue.{REALM}") as rogue:
        rogue.send(rogue.cer())
        answer = rogue.heard()
        assert (answer.command, answer.flags, answer.result) == (CER, ERROR, 3010)
        assert rogue.next() is None
    with Mme(gateway.port, f"rogue.{REALM}") as mme:
        assert not mme.is_let_in


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ((number(258, 16777251),), 5010),
        ((number(258, S13), number(299, 1)), 5017),
        ((group(260, number(266, TGPP), number(258, S13)),), 2001),
        ((number(258, 0xFFFFFFFF),), 2001),
        ((number(258, S13), number(299, 0)), 2001),
    ],
    ids=["another application", "TLS alone", "3GPP's way to say it", "a relay", "no security"],
)
def test_capabilities_must_meet_ours(gateway: Answering, said: tuple[Avp, ...], result: int) -> None:
    with RawPeer(gateway.port, MME.upper()) as peer:
        peer.send(peer.cer(*said))
        assert peer.heard().result == result
        if result != 2001:
            assert peer.next() is None
        else:
            assert peer.ask(digits(BLOCKED[0])).status == BLACK


async def test_a_revoked_key_shuts_its_peer_out_at_the_next_question(world: World) -> None:
    leaving, staying = await world.new_key(Role.CARRIER), world.ids[Role.CARRIER]
    with (
        world.answering(S13_PEERS=f"{MME}={leaving} {SGSN}={staying}") as gateway,
        RawPeer(gateway.port, MME).hello() as mme,
        RawPeer(gateway.port, SGSN).hello() as sgsn,
    ):
        assert mme.ask(digits(BLOCKED[0])).status == BLACK
        await world.revoke(leaving)
        answer = mme.ask(digits(BLOCKED[0]))
        assert (answer.result, answer.status, answer.flags) == (5003, None, PROXIABLE)
        assert sgsn.ask(digits(BLOCKED[0])).status == BLACK


async def test_a_key_that_may_not_ask_is_refused_and_one_that_there_is_not(world: World) -> None:
    dock = await world.new_key(Role.GOODS_IN)
    with world.answering(S13_PEERS=f"{MME}={dock},{SGSN}=k_aaaaaaaa") as gateway:
        gateway.until_logged("s13.key_unknown", SGSN, "k_aaaaaaaa")
        for host in (MME, SGSN):
            with RawPeer(gateway.port, host).hello() as peer:
                assert peer.ask(digits(BLOCKED[0])).result == 5003


async def test_who_has_used_up_its_quota_is_told_and_nobody_else_is(world: World) -> None:
    few = await world.new_key(Role.CARRIER)
    await world.allow(few, 40)
    with (
        world.answering(S13_PEERS=f"{MME}={few} {SGSN}={world.ids[Role.CARRIER]}") as gateway,
        RawPeer(gateway.port, MME).hello() as mme,
        RawPeer(gateway.port, SGSN).hello() as sgsn,
    ):
        answers = [mme.ask(digits(BLOCKED[0])) for _ in range(60)]
        told = [(one.result, one.status, one.flags) for one in answers]
        assert told[:40] == [(2001, BLACK, PROXIABLE)] * 40
        assert told[-1] == (3004, None, PROXIABLE | ERROR)
        assert b"quota of 40 identifiers a minute" in answers[-1].all(281)[0].value
        assert [sgsn.ask(digits(BLOCKED[0])).status for _ in range(60)] == [BLACK] * 60
        assert "s13.database_away" not in gateway.log


def test_a_decision_is_in_the_very_next_answer(world: World, mme: RawPeer) -> None:
    key = UNKNOWN[-1]
    assert mme.ask(digits(key)).result == 5422
    world.declare(3, key)
    assert mme.ask(digits(key)).status == BLACK
    world.withdraw(3)
    assert mme.ask(digits(key)).result == 5422


def test_a_peer_that_sends_faster_than_it_reads_gets_every_answer(gateway: Answering) -> None:
    count = 20_000
    with RawPeer(gateway.port).hello() as mme, RawPeer(gateway.port, SGSN).hello() as sgsn:
        keys = [*CLEAR, *SUSPECT, *BLOCKED]
        questions = b"".join(mme.ecr(digits(keys[one % 750]), number_=one) for one in range(count))
        sending = threading.Thread(target=mme.send, args=(questions,))
        sending.start()
        assert [sgsn.ask(digits(BLOCKED[0])).status for _ in range(20)] == [BLACK] * 20
        answers = (mme.heard() for _ in range(count))
        assert {one.hop: one.status for one in answers} == {
            one: EXPECTED[keys[one % 750]][1] for one in range(count)
        }
        sending.join()


def test_no_imei_is_logged(gateway: Answering, mme: RawPeer) -> None:
    for imei in (digits(BLOCKED[5]), digits(BLOCKED[5]) + "AB", digits(UNKNOWN[5])):
        mme.ask(imei)
    gateway.until_logged("s13.peer_up", MME, "127.0.0.1")
    assert str(BLOCKED[5])[:12] not in gateway.log
    assert "Traceback" not in gateway.log


def test_who_asks_about_a_stolen_equipment_is_noted(mme: RawPeer, world: World) -> None:
    """With the country of the SIM, and nothing else of it."""
    asked = digits(BLOCKED[7])
    for name in ("208930000000003", "a name that is no IMSI"):
        assert mme.ask(asked, user_name=text(1, name)).status == BLACK
    found: list[dict[str, str]] = []

    def noted() -> bool:
        done = world.commands.run("sightings", asked, "--json", key=world.secrets["admin"])
        found[:] = json.loads(done.stdout)["sightings"]
        return len(found) == 2

    soon(noted)
    assert {(it["way"], it["place"]) for it in found} == {("s13", "mcc:208"), ("s13", "")}
    assert "0000000003" not in json.dumps(found)
