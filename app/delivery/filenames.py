"""What a file that we exchange may be called, and how much of it is read."""

from __future__ import annotations

import os
import time

from app.adapters.contract import Failing
from app.core.imei import shown

FILE_CAP = 8 * 2**20
MOST_NAMES = 100_000


def is_plain(name: str) -> bool:
    """Whether a name is one of a file that others may see: no hidden one, and nothing that is no name."""
    return name.isprintable() and not name.startswith(".") and "/" not in name and 0 < len(name) <= 255


def whole_name(name: str) -> str:
    """The name, if it can be one of a file that others may see. Raises Failing."""
    if not is_plain(name):
        raise Failing(f"'{shown(name)}' is no name for a file that others may see")
    return name


def hidden_name(name: str) -> str:
    """Where a file is made before it gets its name: unlike any other, also of another worker."""
    return f".{name[:200]}.{os.getpid()}-{time.monotonic_ns()}"


def within(cap: int, body: bytes) -> bytes:
    """The content of a file, if it is not over the cap. Raises Failing."""
    if len(body) > cap:
        raise Failing(f"the file is larger than {cap / 2**20:g} MiB")
    return body


def too_many() -> Failing:
    return Failing(f"the directory holds more than {MOST_NAMES:,} files")
