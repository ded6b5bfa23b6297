"""The process that reads one goods-in file, from its input, and says what it finds as frames on its output: the
columns, batch after batch, and the end; or why the file cannot be read.

Started by `incoming`. It knows no database and no network, and may take a limited amount of memory.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import traceback
from typing import TypeAlias

import msgspec

from app.core import disk
from app.core.errors import Flaw, Invalid, TooLarge, Unavailable
from app.devices.candidates import Batch, batches, columns_of
from app.devices.intake import Columns, Defaults, Format, Mapped, read


class Job(msgspec.Struct, frozen=True):
    """What to read the input as: the arguments of `intake.read`, and the memory that it may take."""

    form: Format
    defaults: Defaults
    mapped: Mapped
    most: int
    memory: int


class Head(msgspec.Struct, frozen=True, tag=True):
    columns: Columns


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The file cannot be read: an Invalid, a TooLarge, or (there is no room for it) an Unavailable."""

    kind: str
    detail: str
    code: str
    flaws: tuple[Flaw, ...]


class Broken(msgspec.Struct, frozen=True, tag=True):
    """We cannot read the file, and do not know why."""

    trace: str


class End(msgspec.Struct, frozen=True, tag=True):
    """There is no more."""


Frame: TypeAlias = Head | Batch | Refused | Broken | End
"""What is said on the output: MessagePack after its length in four bytes."""


def main() -> None:
    # Whoever started us decides when we end: by closing our output, or by SIGKILL.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Rows hold no cycles; looking for some among a million would take half of the time.
    gc.disable()
    job = msgspec.json.decode(sys.argv[1], type=Job)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (job.memory, most))
    try:
        with disk.writing():
            _tell(job)
        _say(End())
    except (Invalid, TooLarge, Unavailable) as error:
        _say(Refused(type(error).__name__, error.detail, error.code, error.flaws))
    except BrokenPipeError:
        pass
    except MemoryError:
        # What filled it is still there.
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        _say(Refused("TooLarge", *too_heavy(job.memory), ()))
    except Exception:
        _say(Broken(traceback.format_exc()))


def _tell(job: Job) -> None:
    with open(0, "rb", closefd=False) as source:
        source.seek(0)
        submission = read(source, job.form, job.defaults, job.mapped, most=job.most)
        _say(Head(columns_of(submission)))
        following = batches(submission.readings)
        while (batch := following()) is not None:
            _say(batch)


def too_heavy(memory: int) -> tuple[str, str]:
    """A sentence, and its code."""
    sentence = f"The file takes more than {memory:,} bytes of memory to read; send it as CSV, or in parts."
    return sentence, "file-too-heavy"


def _say(frame: Frame) -> None:
    data = msgspec.msgpack.encode(frame)
    rest = memoryview(len(data).to_bytes(4, "big") + data)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main()
