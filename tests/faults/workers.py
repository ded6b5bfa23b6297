"""Workers as the operating system has them: started, watched, stopped, woken and killed by their number."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.delivery.send import Terms

ROOT = Path(__file__).resolve().parents[2]
SHORT = Terms(lease=3.0, deadline=1.0, margin=0.4)
LONGEST_TRANSACTION = 4.0


class Worker:
    """One process after the other, in one place; `log` holds what all of them said."""

    def __init__(self, dsn: str, log: Path, terms: Terms, path: str = "") -> None:
        self._dsn, self.log, self._terms = dsn, log, terms
        self._environ = {**os.environ, "IMEI_GATEWAY_FOLLOW_INPUT": "1"}
        ways = (str(ROOT), path, os.environ.get("PYTHONPATH"))
        self._environ["PYTHONPATH"] = os.pathsep.join(filter(None, ways))
        self._process: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def start(self) -> None:
        terms = map(str, (self._terms.lease, self._terms.deadline, self._terms.margin, LONGEST_TRANSACTION))
        command = [sys.executable, "-m", "tests.faults.worker_process", self._dsn, *terms]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environ, cwd=ROOT
            )

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def state(self) -> str:
        """As the system has it: T is stopped, Z has ended."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "Z"

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        if self._process:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process.communicate()

    def events(self) -> Counter[str]:
        """How often which event was logged."""
        found: Counter[str] = Counter()
        if self.log.exists():
            for line in self.log.read_text(errors="replace").splitlines():
                with suppress(ValueError, TypeError, KeyError):
                    found[json.loads(line)["event"]] += 1
        return found

    async def until(self, state: str, within: float = 20.0) -> None:
        async with asyncio.timeout(within):
            while self.state != state:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def at_work(
    dsn: str, folder: Path, count: int, *, terms: Terms = SHORT, path: str = ""
) -> AsyncIterator[list[Worker]]:
    """So many workers, not started yet; none is left in the end."""
    workers = [Worker(dsn, folder / f"worker{number}.log", terms, path) for number in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
