"""What a service of ours holds in memory, children and all."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from app.cli.service import Service


class Memory:
    """The most memory of the web process and its children together, in MiB, looked at every tenth of a second."""

    def __init__(self, gateway: Service) -> None:
        (self._pid,) = gateway.pids("web")
        self.most = 0

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, await asyncio.to_thread(_weigh, self._pid) // 1024)
            await asyncio.sleep(0.1)


def _weigh(pid: int) -> int:
    return sum(map(_held, family(pid)))


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    with suppress(FileNotFoundError):
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for one in threads for child in (one / "children").read_text().split()]
        return [pid, *(each for child in children for each in family(child))]
    return []


def _held(pid: int) -> int:
    """Kilobytes of a process, each of those that it shares counted as its part."""
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0
