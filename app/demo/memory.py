"""How much memory our processes took at most, where the system tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class Memory:
    """Peaks by process name, in MiB; empty where the system does not tell."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}

    def note(self, processes: Mapping[str, int | None]) -> None:
        """Looks at each process and its children. One that has been started anew keeps the higher peak."""
        for name, pid in processes.items():
            self._keep(name, sum(_peak(each) for each in _family(pid)) if pid else 0.0)

    def note_alone(self, name: str, pid: int) -> None:
        """Looks at one process without its children."""
        self._keep(name, _peak(pid))

    def _keep(self, name: str, peak: float) -> None:
        if peak:
            self.peaks[name] = max(peak, self.peaks.get(name, 0.0))

    @property
    def total(self) -> float:
        return sum(self.peaks.values())


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _peak(pid: int) -> float:
    with suppress(OSError):
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
        if found:
            return int(found[1]) / 1024
    return 0.0
