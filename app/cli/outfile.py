"""A file that a command writes: it stands there once it is whole, and an older one of that name until then."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import rich_click as click

argument = click.argument(
    "file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-", metavar="[FILE]"
)


def is_stdout(path: Path) -> bool:
    """Whether a path names standard output."""
    return str(path) == "-"


@contextmanager
def written(path: Path, *, zipped: bool = False) -> Iterator[BinaryIO]:
    """What is to be written to; - is standard output, and a pipe or a device is written as it comes."""
    with _opened(path) as out:
        if not zipped:
            yield out
            return
        # The fastest level, whose ratio on such lines is near that of the best.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=out) as zipper:
            yield zipper  # type: ignore[misc]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if is_stdout(path):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
    else:
        yield from _renamed(path)


def _renamed(path: Path) -> Iterator[BinaryIO]:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        # Told by the name that was typed.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        part.unlink(missing_ok=True)
