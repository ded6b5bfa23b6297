"""A wire for so many seconds: afterwards nothing is begun on it any more, and what is under way ends by itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from app.adapters.contract import Files, OutOfTime, Place, Reply, Wire


class Timed:
    """The wire, until `seconds` from now; then all that it is asked for is OutOfTime."""

    def __init__(self, wire: Wire, seconds: float) -> None:
        self._wire = wire
        self._seconds = seconds
        self._ends = time.monotonic() + seconds

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        self.must_have_time()
        return await self._wire.send(method, url, headers=headers, body=body)

    def files(self, place: Place) -> Files:
        return _TimedFiles(self._wire.files(place), self)

    def must_have_time(self) -> None:
        if time.monotonic() >= self._ends:
            raise OutOfTime(f"the {self._seconds:g} s for it are over")


class _TimedFiles:
    def __init__(self, files: Files, wire: Timed) -> None:
        self._files = files
        self._wire = wire

    async def names(self) -> Sequence[str]:
        self._wire.must_have_time()
        return await self._files.names()

    async def read(self, name: str) -> bytes:
        self._wire.must_have_time()
        return await self._files.read(name)

    async def write(self, name: str, body: bytes) -> None:
        self._wire.must_have_time()
        await self._files.write(name, body)

    async def move(self, name: str, to: str) -> None:
        self._wire.must_have_time()
        await self._files.move(name, to)
