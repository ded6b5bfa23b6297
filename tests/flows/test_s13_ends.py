"""S13 while the database restarts or stands still, and when it is told to end; and how it refuses to begin."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from app.core.db import open_pool
from app.core.migrate import migrate
from app.core.postgres import running

from ..diameter_by_hand import DPR, ECR, ERROR, MME, PROXIABLE, REQUEST, SGSN, RawPeer, message, number
from .command import Commands
from .s13_world import BLACK, BLOCKED, CLEAR, WHITE, Mme, World, digits, furnished


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """On a PostgreSQL of its own."""
    folder = tmp_path_factory.mktemp("s13")
    async with running(folder) as dsn:
        async with await open_pool(dsn, size=1) as pool, pool.acquire() as conn:
            await migrate(conn)
        yield await furnished(dsn, folder)


def postmaster(world: World) -> int:
    return int((world.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def frozen(world: World) -> Iterator[None]:
    """PostgreSQL stands still, all of its processes."""
    first = postmaster(world)
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    pids = [first, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_database_that_restarts_is_waited_for(world: World) -> None:
    """Each question gets its answer, on the connections that there were: right, or asking to be asked again."""
    with world.answering() as gateway, RawPeer(gateway.port).hello() as mme:
        assert mme.ask(digits(BLOCKED[0])).status == BLACK
        was = postmaster(world)
        os.kill(was, signal.SIGINT)
        answers, deadline = [], time.monotonic() + 60
        while answers[-20:].count(2001) != 20 or postmaster(world) == was:
            assert time.monotonic() < deadline
            answer = await asyncio.to_thread(mme.ask, digits(BLOCKED[0]))
            assert (answer.result, answer.status, answer.flags) in (
                (2001, BLACK, PROXIABLE),
                (3004, None, PROXIABLE | ERROR),
            )
            answers.append(answer.result)
        assert gateway.alive()


async def test_a_database_that_stands_still_is_told_of_and_comes_back(world: World) -> None:
    with world.answering() as gateway, RawPeer(gateway.port).hello() as mme:
        assert mme.ask(digits(CLEAR[0])).status == WHITE
        with frozen(world):
            for one in range(500):
                mme.send(mme.ecr(digits(CLEAR[one % 200]), number_=one))
            answers = await asyncio.to_thread(lambda: [mme.heard() for _ in range(500)])
            assert {(one.result, one.flags) for one in answers} == {(3004, PROXIABLE | ERROR)}
            assert {one.hop for one in answers} == set(range(500))
            gateway.until_logged("s13.database_away")
        deadline = time.monotonic() + 60
        while (await asyncio.to_thread(mme.ask, digits(CLEAR[0]))).result != 2001:
            assert time.monotonic() < deadline
        assert gateway.log.count("s13.database_away") < 20


@contextmanager
def told_to_end(process: subprocess.Popen[str]) -> Iterator[None]:
    """It is, and ends well within five seconds of it."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    yield
    assert process.wait(20) == 0
    assert time.monotonic() - began < 5


async def test_who_is_told_to_end_answers_what_was_asked_and_says_farewell(world: World) -> None:
    """The database is held up until it was told to."""
    with (
        world.answering() as gateway,
        RawPeer(gateway.port).hello() as mme,
        RawPeer(gateway.port, SGSN).hello() as sgsn,
    ):
        conn = await asyncpg.connect(world.dsn)
        holding = conn.transaction()
        await holding.start()
        await conn.execute("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
        for one in range(100):
            mme.send(mme.ecr(digits(BLOCKED[one]), number_=one))
        await asyncio.sleep(0.3)
        with told_to_end(gateway.process):
            for peer in (mme, sgsn):
                dpr = peer.heard()
                assert (dpr.command, dpr.flags, dpr.number(273)) == (DPR, REQUEST, 0)
                peer.send(message(0, DPR, 0, dpr.hop, dpr.end, [number(268, 2001), *peer.origin()]))
            assert sgsn.next() is None
            await holding.rollback()
            answers = [mme.heard() for _ in range(100)]
            assert {(one.command, one.status) for one in answers} == {(ECR, BLACK)}
            assert mme.next() is None
        await conn.close()
        for said in ("s13.started", "s13.peer_up", "s13.peer_down", "s13.stopped"):
            gateway.until_logged(said)


async def test_who_is_told_to_end_waits_for_nobody_for_long(world: World) -> None:
    """Neither for a peer that takes no leave nor for a database that stands still."""
    with (
        world.answering() as gateway,
        RawPeer(gateway.port).hello() as mme,
        RawPeer(gateway.port) as stranger,
        frozen(world),
    ):
        mme.send(mme.ecr(digits(BLOCKED[0])))
        await asyncio.sleep(0.3)
        with told_to_end(gateway.process):
            assert mme.heard().command == DPR
            answer = await asyncio.to_thread(mme.heard)
            assert (answer.command, answer.result) == (ECR, 3004)
            assert mme.next() is None
            assert stranger.next() is None


def test_a_peer_of_another_make_takes_leave(world: World) -> None:
    with world.answering() as gateway, Mme(gateway.port) as mme:
        assert mme.ask((digits(BLOCKED[0]), None))[0]["status"] == BLACK
        began = time.monotonic()
        with told_to_end(gateway.process):
            pass
        assert time.monotonic() - began < 2.5, "it was waited for"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"S13_PEERS": ""}, "IMEI_GATEWAY_S13_PEERS cannot be used: it is empty"),
        ({"S13_PEERS": f"{MME}=secret"}, f"what stands behind {MME}= is not the id of a key; it would be"),
        (
            {"S13_ORIGIN_HOST": ""},
            "IMEI_GATEWAY_S13_ORIGIN_HOST is ''; it would be a whole domain name, like eir.epc",
        ),
        (
            {"S13_ORIGIN_REALM": "a b"},
            "IMEI_GATEWAY_S13_ORIGIN_REALM is 'a b'; it would be a whole domain name",
        ),
        ({"S13_PORT": "70000"}, "IMEI_GATEWAY_S13_PORT is '70000'; it would be one of: 0 to 65535"),
        ({"S13_HOST": "192.0.2.1"}, "Cannot listen on 192.0.2.1:0: "),
    ],
    ids=["no peers", "no key", "no name", "no realm", "no port", "no address"],
)
def test_what_cannot_work_is_said_in_a_sentence(world: World, changes: dict[str, str], said: str) -> None:
    done = world.refused(**changes)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_without_its_library_the_command_says_how_to_get_it() -> None:
    program = "import sys; sys.modules['diameter'] = None; from app.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "s13"],
        env=Commands({}).environ(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install '.[s13]'" in done.stderr
