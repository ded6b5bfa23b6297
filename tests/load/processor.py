"""What processes have had of the processor, and on which cores they may run; children and all."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .memory import family


def seconds(pid: int) -> float:
    """CPU seconds of a process and of all that it has started, be they over or not."""
    ticks = 0
    for each in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def pinned(cores: Mapping[int, Collection[int]]) -> Iterator[None]:
    """Each of these processes runs on its cores alone, and what it starts meanwhile as well; afterwards on any."""
    try:
        for pid, allowed in cores.items():
            _bind(pid, allowed)
        yield
    finally:
        for pid in cores:
            _bind(pid, os.sched_getaffinity(0))


def _bind(pid: int, cores: Collection[int]) -> None:
    for each in family(pid):
        with suppress(FileNotFoundError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread.name), cores)
