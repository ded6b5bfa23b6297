"""Questions as fast as they are answered, asked by wrk: it takes little of the processor itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from app.access.roles import Role

from .. import processor
from .bare import Bare
from .ground import FIRST, STRIDE, Gateway, Plan

MISSING = "wrk is not installed; on Debian it would be there after 'apt-get install wrk'."
THREADS = 4
# As many are under way at a time. What comes while a statement is under way is answered by the next one, so half of
# them share its cost; more connections are answered no faster, and each of them waits longer.
CONNECTIONS = 96
# Where a server runs that has a core for itself, and where everything else does.
_CORES = sorted(os.sched_getaffinity(0))
SERVER, OTHERS = _CORES[:1], _CORES[1:] or _CORES
_SCRIPT = Path(__file__).with_name("questions.lua")
_SEED = itertools.count(1)


class Target(NamedTuple):
    """Who is asked: the address, its first process and the database's, what it is asked with, and of how many
    devices."""

    url: str
    pid: int
    postmaster: int
    authorization: str
    devices: int

    def alone(self) -> AbstractContextManager[None]:
        """The server has a core for itself, and the database is on the others."""
        return processor.pinned({self.pid: SERVER, self.postmaster: OTHERS})


class Asked(NamedTuple):
    """Answers a second, the 99th percentile of their milliseconds, and the microseconds of CPU that each has cost the
    web process, PostgreSQL and wrk."""

    rate: float
    p99: float
    web: float
    database: float
    wrk: float


def target(plan: Plan, gateway: Gateway, served: Gateway | Bare) -> Target:
    """A server, asked as a carrier asks this gateway."""
    key = gateway.keys[Role.CARRIER]
    return Target(served.url, served.pid, plan.postmaster, f"Bearer {key}", gateway.stock.registered)


class Asking:
    """wrk at work: until its time is over, or it is told to end."""

    def __init__(
        self,
        target: Target,
        seconds: float,
        *,
        many: int = 1,
        connections: int = CONNECTIONS,
        apart: bool = False,
    ) -> None:
        self._target, self._before = target, self._spent(target)
        command = [
            *(("taskset", "--cpu-list", ",".join(map(str, OTHERS))) if apart else ()),
            "wrk", "--threads", str(min(THREADS, connections)), "--connections", str(connections),
            "--duration", f"{seconds:.0f}s", "--timeout", "30s", "--script", str(_SCRIPT), target.url, "--",
            str(target.devices), str(FIRST), str(STRIDE), str(next(_SEED)), target.authorization, str(many),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def asked(self) -> Asked:
        """What it saw, once it has ended."""
        said, usage = await asyncio.to_thread(self._ended)
        assert not said["failed"], said
        spent = [now - before for now, before in zip(self._spent(self._target), self._before, strict=True)]
        each = [1e6 * seconds / said["requests"] for seconds in (*spent, usage)]
        return Asked(said["requests"] / said["seconds"], said["p99"], *each)

    def _ended(self) -> tuple[dict[str, float], float]:
        """Its last line, and the CPU seconds that it took."""
        assert self._process.stdout is not None
        said = self._process.stdout.read()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        assert not self._process.returncode, said.decode()
        return json.loads(said.splitlines()[-1]), usage.ru_utime + usage.ru_stime

    @staticmethod
    def _spent(target: Target) -> tuple[float, float]:
        return processor.seconds(target.pid), processor.seconds(target.postmaster)


def must_be_there() -> None:
    """Raises SystemExit where it is not."""
    if not shutil.which("wrk"):
        raise SystemExit(MISSING)
