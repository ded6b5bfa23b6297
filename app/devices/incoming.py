"""A goods-in file on its way in, batch by batch: read in a thread, or apart, in a process of its own.

A large or packed file is read apart. That takes a core of its own, so answers to others do not wait for it; and
a file that was made to do harm brings its reader down and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from io import UnsupportedOperation
from typing import BinaryIO, NamedTuple

import msgspec

from app.core.errors import GatewayError, Invalid, TooLarge, Unavailable
from app.devices.candidates import Batch, batches, columns_of
from app.devices.intake import MOST_UNPACKED, Columns, Defaults, Format, Mapped, Submission, is_packed, read
from app.devices.reader import Broken, End, Frame, Head, Job, Refused, too_heavy

# How many files are read apart at once.
_turns = asyncio.Semaphore(4)
# Bytes of a batch: twenty thousand rows of 20 kB are no list of devices.
_MOST_AT_ONCE = 400 << 20
# Bytes of a file that a thread reads sooner than a process starts.
_SMALL = 1 << 20
_REFUSALS: Mapping[str, type[GatewayError]] = {
    "Invalid": Invalid,
    "TooLarge": TooLarge,
    "Unavailable": Unavailable,
}

_decode = msgspec.msgpack.Decoder(Frame).decode


class Limits(NamedTuple):
    """What a reader may take: bytes of address space, and seconds until its next batch is there. A million rows
    take 100 MB, a JSON document of 64 MB some 700 MB; the texts of a large workbook take ten seconds."""

    memory: int = 2 << 30
    patience: float = 60.0


LIMITS = Limits()


class Incoming(NamedTuple):
    """The columns of a file, and its next batch at each call, None at the end. The call blocks; it raises Invalid
    or TooLarge where the file as a whole cannot be read."""

    columns: Columns
    following: Callable[[], Batch | None]


def here(submission: Submission) -> Incoming:
    """Read by whoever calls."""
    return Incoming(columns_of(submission), batches(submission.readings))


@asynccontextmanager
async def opened(
    source: BinaryIO,
    form: Format,
    defaults: Defaults,
    mapped: Mapped,
    *,
    most: int = MOST_UNPACKED,
    limits: Limits = LIMITS,
) -> AsyncIterator[Incoming]:
    """The file from its start; the arguments are those of `intake.read`, which raises the same. Raises
    Invalid `file-too-slow` or `file-breaks-reader`, TooLarge `file-too-heavy`, Unavailable."""
    if _is_small(source, form):
        source.seek(0)
        yield here(read(source, form, defaults, mapped, most=most))
        return
    job = Job(form, defaults, mapped, most, limits.memory)
    with await asyncio.to_thread(_Reader, source, job, limits.patience) as reader:
        yield Incoming(await asyncio.to_thread(reader.columns), reader.following)


@asynccontextmanager
async def turn(source: BinaryIO, form: Format, *, within: float = 120.0) -> AsyncIterator[None]:
    """Waits until one more file may be read apart, where this one is. To be waited for before a transaction.
    Raises Unavailable `readers-busy` after `within` seconds."""
    if _is_small(source, form):
        yield
        return
    try:
        async with asyncio.timeout(within):
            await _turns.acquire()
    except TimeoutError:
        sentence = (
            f"As many files as can be are being read, for {within:g} s by now, and nothing was done with this"
        )
        raise Unavailable(f"{sentence} one. Send it again in a minute.", "readers-busy") from None
    try:
        yield
    finally:
        _turns.release()


def _is_small(source: BinaryIO, form: Format) -> bool:
    """Whether it is read here: it holds little, and no more than it has bytes."""
    try:
        size = os.fstat(source.fileno()).st_size
    except UnsupportedOperation:
        return True
    source.seek(0)
    # A range in a dispatch advice names ten thousand devices.
    return size <= _SMALL and form is not Format.DESADV and not is_packed(source.read(8))


class _Reader:
    """A process that reads one file, and what it says."""

    def __init__(self, source: BinaryIO, job: Job, patience: float) -> None:
        self._patience, self._memory = patience, job.memory
        # -P: never a module of the folder that the service happens to be started in.
        command = [sys.executable, "-P", "-m", "app.devices.reader", msgspec.json.encode(job).decode()]
        self._process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603
        assert self._process.stdout
        self._found = self._process.stdout.fileno()
        self._output = select.poll()
        self._output.register(self._found, select.POLLIN)

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def columns(self) -> Columns:
        said = self._next()
        assert isinstance(said, Head)
        return said.columns

    def following(self) -> Batch | None:
        said = self._next()
        return said if isinstance(said, Batch) else None

    def _next(self) -> Head | Batch | End:
        deadline = time.monotonic() + self._patience
        size = int.from_bytes(self._read(4, deadline), "big")
        if size > _MOST_AT_ONCE:
            raise TooLarge(*too_heavy(_MOST_AT_ONCE))
        said: Frame = _decode(self._read(size, deadline))
        match said:
            case Refused(kind, detail, code, flaws):
                raise _REFUSALS[kind](detail, code, flaws)
            case Broken(trace):
                raise RuntimeError(f"The reader of a goods-in file broke: {trace}")
            case _:
                return said

    def _lost(self) -> Exception:
        """Why it said no more, as far as that is known."""
        code = self._process.wait()
        if code >= 0:
            return RuntimeError(
                f"The reader of a goods-in file ended with exit code {code} and said nothing."
            )
        nothing = "and nothing was registered"
        match -code:
            case signal.SIGKILL:
                ended = f"was ended by SIGKILL, as it is where memory runs out, {nothing}."
            case signal.SIGTERM:
                ended = f"was ended by SIGTERM, {nothing}."
            case number:
                # Not all that we use dies well without memory.
                may = f"it was to take no more than {self._memory:,} bytes of memory"
                sentence = f"The process that read the file crashed ({_signal(number)}), {nothing}; {may}."
                return Invalid(f"{sentence} Send it as CSV, or in parts.", "file-breaks-reader")
        return Unavailable(
            f"The process that read the file {ended} Send it again in a minute.", "reader-lost"
        )

    def _read(self, count: int, deadline: float) -> bytearray:
        into = bytearray()
        while len(into) < count:
            if not self._output.poll(max(0, int(1000 * (deadline - time.monotonic())))):
                raise Invalid(
                    f"A part of the file took longer than {self._patience:g} s to read, and nothing was registered; it"
                    " would be a table without more than its rows, best as CSV.",
                    "file-too-slow",
                )
            part = os.read(self._found, min(count - len(into), 1 << 20))
            if not part:
                raise self._lost()
            into += part
        return into


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
