"""Practice partners misbehave as ordered, and say what they were told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import aiohttp
import pytest

from app.adapters.contract import Failing, NoAnswer, Op, Throttled
from app.core.errors import Unavailable
from app.sandbox import server

from .conftest import imeis


async def _ask(url: str, path: str = "", method: str = "GET", body: object = None) -> tuple[int, object]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{url}/sandbox{path}", json=body) as got,
    ):
        text = await got.text()
        return got.status, json.loads(text) if text else None


async def _many(partner, count: int) -> list[str]:
    """What 1 device a call ends in: an outcome, or the name of the fault."""

    async def one(number: int) -> str:
        try:
            return (await partner.outcomes(Op.BLOCK, imeis(1, 35_000_000_000_000 + number)))[0]
        except (Failing, NoAnswer, Throttled) as fault:
            return str(fault)

    return await asyncio.gather(*(one(number) for number in range(count)))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("applied", [True, False])
async def test_failures_happen_before_or_after_the_effect(twin, status, applied):
    partner = await twin("eir_push")
    partner.order(fail_rate=0.5, fail_status=status, applied=applied)
    ends = await _many(partner, 60)
    failed = ends.count(f"HTTP {status}")
    assert 10 < failed < 50
    assert partner.stage.ledger.counts()["blocked"] == (60 if applied else 60 - failed)
    assert partner.stage.misbehaviour.acted["failed"] == failed


async def test_hung_calls_are_never_answered(twin):
    partner = await twin("eir_push", deadline=0.3)
    assert await _many(partner, 1) == ["done"]
    partner.order(hang_rate=1)
    assert set(await _many(partner, 4)) == {"timed out after 0.3 s"}
    assert partner.stage.misbehaviour.acted["hung"] == 4


@pytest.mark.parametrize("applied", [True, False])
async def test_dropped_connections_are_reset(twin, applied):
    partner = await twin("eir_push")
    partner.order(drop_rate=1, applied=applied)
    assert set(await _many(partner, 5)) <= {"connection reset by peer", "connection closed without an answer"}
    assert partner.stage.ledger.counts()["blocked"] == (5 if applied else 0)


async def test_garbled_answers_have_had_their_effect(twin):
    partner = await twin("ceir")
    partner.order(garble_rate=1)
    with pytest.raises(Failing, match="JSON"):
        await partner.tell(Op.BLOCK, imeis(1))
    assert partner.stage.ledger.counts()["blocked"] == 1


async def test_latency_is_felt(twin):
    partner = await twin("eir_push")
    partner.order(latency_ms=100, jitter_ms=50)
    began = time.monotonic()
    await partner.tell(Op.BLOCK, imeis(1))
    assert 0.1 <= time.monotonic() - began < 1


async def test_the_rate_limit_is_exact_and_says_when_to_come_back(twin):
    now = 1000.0
    partner = await twin("eir_push", clock=lambda: now)
    partner.order(calls_per_second=10)
    ends = await _many(partner, 25)
    assert (ends.count("done"), ends.count("HTTP 429")) == (10, 15)
    now += 0.5
    assert (await _many(partner, 25)).count("HTTP 429") == 20


async def test_down_until_it_is_up_again(twin):
    now = 1000.0
    partner = await twin("eir_push", clock=lambda: now)
    partner.order(down_for_s=60)
    assert "done" not in await _many(partner, 5)
    status, told = await _ask(partner.url)
    assert (status, told["faults"]) == (200, {"down": 5})
    now += 61
    assert await _many(partner, 5) == ["done"] * 5


async def test_the_same_seed_misbehaves_in_the_same_way(twin):
    runs = []
    for _ in range(2):
        partner = await twin("ceir", {"devices_per_call": 100})
        partner.order(refuse_rate=0.3, item_retry_rate=0.3)
        runs.append(await partner.outcomes(Op.BLOCK, imeis(100)))
    assert runs[0] == runs[1]


async def test_what_it_was_told_can_be_asked(twin):
    partner = await twin("webhook")
    await partner.tell(Op.BLOCK, imeis(7))
    await partner.tell(Op.RELEASE, imeis(2), "p:2")
    status, told = await _ask(partner.url)
    assert status == 200
    assert {name: told[name] for name in ("kind", "blocked", "released", "calls")} == {
        "kind": "webhook",
        "blocked": 5,
        "released": 2,
        "calls": 2,
    }
    _, first = await _ask(partner.url, "/identifiers?state=blocked&limit=3")
    _, rest = await _ask(partner.url, f"/identifiers?state=blocked&limit=3&after={first['after']}")
    assert first["identifiers"] + rest["identifiers"] == [f"{order.key:014d}" for order in imeis(7)[2:]]
    assert rest["after"] is None
    _, one = await _ask(partner.url, f"/identifiers/{imeis(1)[0].imei}")
    assert one == {"state": "released", "history": ["blocked p:1", "released p:2"]}


async def test_it_forgets_when_told_to(twin):
    partner = await twin("eir_push")
    partner.order(refuse_rate=1)
    await partner.tell(Op.BLOCK, imeis(1))
    assert (await _ask(partner.url, method="DELETE"))[0] == 204
    _, told = await _ask(partner.url)
    assert (told["blocked"], told["calls"], told["faults"], told["ordered"]["refuse_rate"]) == (0, 0, {}, 0)


async def test_faults_are_ordered_over_http(twin):
    partner = await twin("eir_push")
    assert (await _ask(partner.url, "/faults", "PUT", {"fail_rate": 1, "fail_status": 504}))[0] == 200
    assert await _many(partner, 1) == ["HTTP 504"]
    await _ask(partner.url, "/faults", "PUT", {})
    assert await _many(partner, 1) == ["done"]


@pytest.mark.parametrize(
    "order", [{"fail_rate": 2}, {"fail_status": 200}, {"speed": 1}, {"calls_per_second": 0}, [], "x"]
)
async def test_an_order_that_is_none_is_refused_in_a_sentence(twin, order):
    partner = await twin("eir_push")
    status, said = await _ask(partner.url, "/faults", "PUT", order)
    assert (status, said["error"].startswith("The body is not what this partner takes: ")) == (400, True)


@pytest.mark.parametrize("query", ["state=stolen", "limit=0", "limit=100001", "limit=x"])
async def test_a_question_that_is_none_is_refused_in_a_sentence(twin, query):
    partner = await twin("eir_push")
    status, said = await _ask(partner.url, f"/identifiers?{query}")
    assert (status, "would be" in said["error"]) == (400, True)


def _status(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/sandbox", timeout=5) as got:
        return json.load(got)


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_all_run_as_processes_and_stop():
    running = server.run_all(options={"ceir": {"devices_per_call": 9}})
    try:
        assert [partner.kind for partner in running] == list(server.KINDS)
        assert [_status(partner.url)["kind"] for partner in running] == list(server.KINDS)
        assert running[0].settings["devices_per_call"] == 9
    finally:
        for partner in running:
            partner.stop()
            partner.stop()
    assert all(_gone(partner.pid) for partner in running)


def test_a_port_that_is_taken_is_told():
    (first,) = server.run_all(kinds=("ceir",))
    taken = {"eir_push": int(first.url.rpartition(":")[2])}
    try:
        with pytest.raises(Unavailable, match="eir_push"):
            server.run_all(kinds=("webhook", "eir_push"), ports=taken)
        assert _status(first.url)["kind"] == "ceir"
    finally:
        first.stop()


def test_they_end_when_their_parent_is_killed():
    script = (
        "import sys, time\n"
        "from app.sandbox.server import run_all\n"
        "print(*(partner.pid for partner in run_all(kinds=('ceir', 'webhook'))), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert all(_gone(pid) for pid in children)


def test_a_practice_partner_whose_owner_left_while_it_started_ends_without_a_word():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-P", "-m", "app.sandbox.server", "ceir"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
