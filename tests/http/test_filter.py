"""The filter for those who check offline: as a carrier downloads it, and as the readers of deploy/FILTER.md read it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.blocklist import bloom
from app.blocklist.specimens import SPECIMENS
from app.core import imei

from .asking import decided, drafted, stock

PATH = "/v1/blocklist/filter"
PAPER = (Path(__file__).parents[2] / "deploy" / "FILTER.md").read_text()
READERS = dict(re.findall(r"^<!-- (\w+) -->\n```\w+\n(.*?)^```", PAPER, re.MULTILINE | re.DOTALL))
TIME = datetime(2026, 12, 22, 2, 41, tzinfo=UTC)
RUN = {"python": [sys.executable, "reader.py"], "javascript": ["node", "reader.js"]}


@pytest.fixture
def declare(manager, approver):
    async def declared(numbers: list[str]) -> int:
        incident = await drafted(manager, imeis=numbers)
        await decided(manager, incident, "submit")
        await decided(approver, incident, "approve")
        return incident

    return declared


@pytest.fixture
def fresh(carrier, gateway):
    """The filter that has all that was decided by now, without waiting until the last one is a minute old."""

    async def downloaded() -> httpx.Response:
        wanted = (await carrier.get(f"/v1/status/{stock(1).imeis[0]}")).json()["as_of"]
        await gateway.execute("UPDATE blocklist_filter SET made_at = '-infinity'")
        async with asyncio.timeout(20):
            while True:
                answer = await carrier.get(PATH)
                if answer.status_code == 200 and bloom.read(answer.content).position >= wanted:
                    return answer
                await asyncio.sleep(0.1)

    return downloaded


def held(answer: httpx.Response, numbers: list[str]) -> list[bool]:
    found = bloom.read(answer.content)
    return [found.may_hold(int(number[:14])) for number in numbers]


async def test_it_has_what_is_blocked_until_that_is_released(manager, declare, fresh):
    numbers = stock(40).imeis
    incident = await declare(numbers[:40])
    answer = await fresh()
    assert held(answer, numbers[:40]) == [True] * 40
    assert sum(held(answer, numbers[40:])) < 5
    await decided(manager, incident, "withdraw", reason="found")
    assert sum(held(await fresh(), numbers[:40])) < 5


async def test_it_says_what_it_is(carrier, declare, fresh):
    await declare(stock(1).imeis)
    answer = await fresh()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["etag"] == f'"{bloom.read(answer.content).position}"'
    assert "content-encoding" not in answer.headers
    head = await carrier.head(PATH)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length"):
        assert head.headers[name] == answer.headers[name]


async def test_what_one_has_is_not_sent_again(carrier, declare, fresh):
    answer = await fresh()
    tag = answer.headers["etag"]
    for said in (tag, f'"x", {tag}', "*"):
        again = await carrier.get(PATH, headers={"if-none-match": said})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await declare(stock(1).imeis)
    await fresh()
    assert (await carrier.get(PATH, headers={"if-none-match": tag})).status_code == 200


async def test_test_imeis_are_not_in_it(fresh):
    assert sum(held(await fresh(), [f"{key:014d}" for key in SPECIMENS])) < 2


@pytest.mark.parametrize("language", sorted(RUN))
class TestReader:
    """The readers of the paper, run as they stand there."""

    @pytest.fixture
    def run(self, language, tmp_path):
        command = RUN[language]
        if not shutil.which(command[0]):
            pytest.skip(f"{command[0]} is not here")
        (tmp_path / command[1]).write_text(READERS[language])

        def reader(content: bytes, *numbers: str) -> subprocess.CompletedProcess[str]:
            (tmp_path / "blocked.filter").write_bytes(content)
            said = [*command, "blocked.filter", *numbers]
            return subprocess.run(said, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

        return reader

    async def test_it_reads_what_the_gateway_wrote(self, run, declare, fresh):
        blocked, others = stock(30).imeis, stock(500).imeis
        await declare(blocked)
        answer = await fresh()
        asked = [*blocked, *others, blocked[0][:14], blocked[0] + "1"]
        said = run(answer.content, *asked)
        assert said.returncode == 0, said.stderr
        found = bloom.read(answer.content)
        no = f"not blocked as of {found.position} ({found.made_at:%Y-%m-%d %H:%M} UTC)"
        assert said.stdout.splitlines() == [
            f"{number} {'perhaps: ask' if may else no}"
            for number, may in zip(asked, held(answer, asked), strict=True)
        ]
        assert said.stdout.count("perhaps") >= len(blocked) + 2
        assert said.stdout.count(no) > 900

    async def test_it_reads_one_of_any_size(self, run):
        keys = range(35_123456_000000, 35_123456_030000)
        digits = "".join(f"{key:014d}" for key in keys).encode()
        content = bloom.written(digits, 5, TIME)
        asked = [imei.full(key) for key in range(keys[-1] - 100, keys[-1] + 400)]
        said = run(content, *asked).stdout.splitlines()
        may = [bloom.read(content).may_hold(int(number[:14])) for number in asked]
        assert ["perhaps" in line for line in said] == may

    async def test_it_refuses_what_is_broken_and_what_is_no_imei(self, run):
        content = bloom.written(b"", 0, TIME)
        for broken in (
            content[:-1],
            content + b"\0",
            b"XXXX" + content[4:],
            content[:4] + b"\2" + content[5:],
        ):
            refused = run(broken, "490154203237518")
            assert (refused.returncode == 0, "not blocked" in refused.stdout) == (False, False)
            assert "download it again" in refused.stderr
        refused = run(content, "4901542032375")
        assert (refused.returncode == 0, "not blocked" in refused.stdout) == (False, False)
        assert "it would be 14, 15 or 16 digits" in refused.stderr

    def test_it_is_short(self, language):
        assert len([line for line in READERS[language].splitlines() if line.strip()]) <= 20
