"""Large files, which a process of its own reads: what it says is what the same file says when it is read here, and
whatever becomes of the process, somebody hears of it."""

from __future__ import annotations

import gzip
import io
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO

import pytest

from app.core import imei
from app.core.errors import GatewayError, Invalid, TooLarge, Unavailable
from app.devices.candidates import Batch
from app.devices.incoming import Incoming, Limits, here, opened, turn
from app.devices.intake import Defaults, Format, Mapped, read

HEADER = "imei1,serial,gtin,colour\n"
DEFAULTS = Defaults(site="PAR-1")


def line(number: int) -> str:
    """Every hundredth is wrong, every hundred and first repeats the one before, some have no IMEI."""
    if number % 100 == 0:
        return f"12345,SN{number},08806090000003,r\u00f6t \ud83d\n"
    first = "" if number % 7 == 0 else imei.full(35_209900_000000 + number - (number % 101 == 0))
    return f"{first},SN\\{number},08806090000003,gr\u00fcn\n"


@pytest.fixture
def large() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        text = HEADER + "".join(map(line, range(45_000)))
        file.write(text.encode("utf-8", "surrogatepass"))
        yield file


def all_of(incoming: Incoming) -> list[Batch]:
    return list(iter(incoming.following, None))


def readers() -> list[int]:
    """The reading processes that are ours."""
    threads = Path("/proc/self/task").iterdir()
    ours = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    return [int(pid) for pid in ours if b"app.devices.reader" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_a_file_that_is_read_apart_says_the_same(large):
    async with opened(large, Format.CSV, DEFAULTS, Mapped({"colour": "-"})) as apart:
        assert len(readers()) == 1
        said = all_of(apart)
    assert not readers()
    large.seek(0)
    expected = here(read(large, Format.CSV, DEFAULTS, Mapped({"colour": "-"})))
    assert apart.columns == expected.columns
    batches = all_of(expected)
    assert len(batches) == len(said) == 3
    for one, other in zip(batches, said, strict=True):
        assert one == other
        for candidate in one.distinct.candidates():
            assert one.cells(candidate) == other.cells(candidate)


async def test_a_service_with_thousands_of_connections_reads_files_too(large):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.dup(large.fileno()) for _ in range(1_100)]
    try:
        async with opened(large, Format.CSV, DEFAULTS, Mapped()) as apart:
            assert apart.following()
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_packed_file_is_read_apart_however_small(tmp_path):
    path = tmp_path / "small.csv.gz"
    path.write_bytes(gzip.compress((HEADER + line(1)).encode()))
    with path.open("rb") as file:
        async with opened(file, Format.CSV, DEFAULTS, Mapped()) as apart:
            assert readers()
            (batch,) = all_of(apart)
    assert batch.rows == 1


async def test_a_file_that_cannot_be_read_is_refused_with_all_that_is_wrong(large):
    with pytest.raises(Invalid) as refused:
        async with opened(large, Format.CSV, DEFAULTS, Mapped({"colour": "shade", "size": "-"})):
            pass
    large.seek(0)
    with pytest.raises(Invalid) as expected:
        read(large, Format.CSV, DEFAULTS, Mapped({"colour": "shade", "size": "-"}))
    assert (refused.value.code, refused.value.flaws) == (expected.value.code, expected.value.flaws)


async def refusal(large: IO[bytes], limits: Limits) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        async with opened(large, Format.CSV, DEFAULTS, Mapped(), limits=limits) as apart:
            all_of(apart)
    assert not readers()
    return refused.value


async def test_a_reader_that_takes_too_long_or_too_much_is_ended(large):
    slow = await refusal(large, Limits(patience=0.001))
    assert isinstance(slow, Invalid)
    assert slow.code == "file-too-slow"
    heavy = await refusal(large, Limits(memory=64 << 20))
    # An interpreter may crash where it finds no memory.
    expected = "file-too-heavy" if isinstance(heavy, TooLarge) else "file-breaks-reader"
    assert (heavy.code, "67,108,864 bytes of memory" in heavy.detail) == (expected, True)


@pytest.mark.parametrize(
    ("number", "told", "sentence"),
    [
        (
            signal.SIGKILL,
            Unavailable,
            "was ended by SIGKILL, as it is where memory runs out, and nothing was",
        ),
        (signal.SIGTERM, Unavailable, "was ended by SIGTERM, and nothing was registered"),
        (signal.SIGSEGV, Invalid, r"crashed \(SIGSEGV\), and nothing was registered"),
        (signal.SIGRTMIN + 1, Invalid, rf"crashed \(signal {signal.SIGRTMIN + 1}\)"),
    ],
)
async def test_of_a_reader_that_is_gone_what_is_known_is_told(large, number, told, sentence):
    async with opened(large, Format.CSV, DEFAULTS, Mapped()) as apart:
        assert apart.following()
        (pid,) = readers()
        threading.Timer(0.1, os.kill, (pid, number)).start()
        with pytest.raises(told, match=sentence):
            all_of(apart)


async def test_a_reader_that_ends_without_a_word_is_a_fault_of_ours(large, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RuntimeError, match="exit code 1"):
        async with opened(large, Format.CSV, DEFAULTS, Mapped()):
            pass


async def test_four_files_are_read_apart_at_once_and_the_fifth_waits_for_so_long(large):
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(turn(large, Format.CSV, within=1))
        with pytest.raises(Unavailable, match=r"for 0\.2 s by now") as refused:
            await stack.enter_async_context(turn(large, Format.CSV, within=0.2))
        assert refused.value.code == "readers-busy"
        async with turn(io.BytesIO(b"imei\n490154203237518\n"), Format.CSV, within=0.2):
            pass
    async with turn(large, Format.CSV, within=0.2):
        pass
