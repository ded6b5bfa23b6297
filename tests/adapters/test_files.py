"""Adapters that speak by files, over SFTP and in a directory, with practice partners that judge as the real ones."""

import asyncio

import pytest

from app.adapters import registry
from app.adapters.contract import Denied, Failing, NoAnswer, Op
from app.core.errors import Invalid
from app.sandbox.faults import Faults

from .conftest import SINCE, imeis
from .subjects import SFTP

FILES = ("sftp_csv", "dirbs_file", "gsma_file")


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("local", [True, False])
async def test_blocked_acknowledged_put_away_and_released(drop, kind, local):
    partner = await drop(kind, local=local)
    told = await partner.tell(Op.BLOCK, imeis(500))
    assert {answer.outcome for answer in told} == {"accepted"}
    said = await partner.acknowledged()
    assert {(op, outcome) for _, op, outcome in said} == {("block", "done")}
    assert {name[:14] for name, *_ in said} == {order.imei[:14] for order in imeis(500)}
    assert partner.stage.ledger.counts()["blocked"] == 500
    assert await partner.adapter.poll(partner.wire, SINCE) == []
    await partner.tell(Op.RELEASE, imeis(200), "key-2")
    assert {(op, outcome) for _, op, outcome in await partner.acknowledged()} == {("release", "done")}
    assert partner.stage.ledger.counts() | {"calls": 2, "blocked": 300, "released": 200} == (
        partner.stage.ledger.counts()
    )


@pytest.mark.parametrize("kind", FILES)
async def test_a_repeat_changes_nothing_and_is_acknowledged_again(drop, kind):
    partner = await drop(kind)
    answers = []
    for _ in range(3):
        answers.append(await partner.tell(Op.BLOCK, imeis(7)))
        assert len(await partner.acknowledged()) == 7
    assert answers[0] == answers[1] == answers[2]
    counts = partner.stage.ledger.counts()
    assert (counts["blocked"], counts["duplicates"], counts["calls"]) == (7, 0, 3)


@pytest.mark.parametrize("kind", FILES)
async def test_each_refusal_is_booked_by_its_identifier(drop, kind):
    partner = await drop(kind)
    partner.stage.misbehaviour.order(Faults(refuse_rate=0.3))
    await partner.tell(Op.BLOCK, imeis(50))
    said = await partner.acknowledged()
    refused = [name for name, _, outcome in said if outcome == "refused"]
    assert len(said) == 50
    assert partner.stage.ledger.counts()["blocked"] == 50 - len(refused)
    # DIRBS takes a file as a whole or not at all.
    assert len(refused) == 50 if kind == "dirbs_file" else 0 < len(refused) < 50


@pytest.mark.parametrize("kind", FILES)
async def test_where_nothing_is_acknowledged_a_file_that_is_there_is_done(drop, kind):
    partner = await drop(kind, acknowledged=False)
    assert {answer.outcome for answer in await partner.tell(Op.BLOCK, imeis(3))} == {"done"}
    async with asyncio.timeout(5):
        while partner.stage.ledger.counts()["blocked"] < 3:
            await asyncio.sleep(0.02)
    assert await partner.adapter.poll(partner.wire, SINCE) == []


async def test_wrong_password_is_denied(drop):
    partner = await drop("sftp_csv", password="wrong-wrong")
    with pytest.raises(Denied):
        await partner.tell(Op.BLOCK, imeis(1))


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize(
    ("faults", "fault"),
    [({"fail_rate": 1}, Failing), ({"drop_rate": 1}, NoAnswer), ({"hang_rate": 1}, NoAnswer)],
)
async def test_what_was_not_confirmed_is_left_again_under_its_name(drop, faults, fault, applied):
    partner = await drop("dirbs_file", deadline=0.5)
    partner.stage.misbehaviour.order(Faults(**faults, applied=applied))
    with pytest.raises(fault):
        await partner.tell(Op.BLOCK, imeis(5))
    partner.stage.misbehaviour.order(Faults())
    if applied:
        assert len(await partner.acknowledged()) == 5
    assert {answer.outcome for answer in await partner.tell(Op.BLOCK, imeis(5))} == {"accepted"}
    assert {outcome for *_, outcome in await partner.acknowledged()} == {"done"}
    assert partner.stage.ledger.counts()["blocked"] == 5


async def test_down_until_it_is_up_again(drop):
    partner = await drop("sftp_csv", deadline=2)
    await partner.tell(Op.BLOCK, imeis(1))
    partner.stage.misbehaviour.order(Faults(down_for_s=60))
    for _ in range(2):
        with pytest.raises(NoAnswer):
            await partner.tell(Op.BLOCK, imeis(2), "key-2")
    partner.stage.misbehaviour.order(Faults())
    await partner.tell(Op.BLOCK, imeis(2), "key-2")
    assert len(await partner.reports(2)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"file_name": "orders.csv"},
        {"file_name": "{op}-{op}-{key}.csv"},
        {"file_name": "{key}.csv"},
        {"file_name": "../{op}-{key}.csv"},
        {"file_name": ".{op}-{key}.csv"},
        {"file_name": "{op}-{key}-{day}.csv"},
        {"ack_name": "ack.csv"},
        {"ack_path": "/out/../../etc"},
        {"put_away": "../done"},
        {"columns": ["Grund=reason"]},
        {"columns": ["imei=colour"]},
        {"ack_results": {"0": "perhaps"}},
        {"url": "file:///"},
        {"url": "file://host/x"},
        {"url": "file:///a/../b"},
        {"url": "sftp:///x"},
        {"url": "https://partner.example/x"},
        {"url": "sftp://user:secret-secret@partner.example/x"},
        {"url": "sftp://partner.example/x"},
        {"url": "sftp://partner.example/x", "user": "u", "password": "secret-secret"},
        {"url": "sftp://partner.example/x", "user": "u", "password": "p", "host_key": "partner.example ssh-rsa AA"},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_and_no_secret_repeated(wrong):
    with pytest.raises(Invalid) as caught:
        registry.make("sftp_csv", {"url": "file:///acme"} | wrong)
    assert "secret-secret" not in repr((caught.value, caught.value.flaws))


def test_a_private_key_that_is_none_is_refused_and_not_repeated():
    with pytest.raises(Invalid, match="private_key") as caught:
        registry.make("dirbs_file", SFTP | {"private_key": "-----BEGIN secret-secret"})
    assert "secret-secret" not in repr(caught.value)
