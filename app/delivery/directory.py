"""Files in a directory of this machine, below the one that IMEI_GATEWAY_FILES_ROOT names.

It is entered step by step from there, and no step follows a link. Nothing here makes a partner's own directory: what
is missing there is not ours to guess.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from app.adapters.contract import Failing, NoAnswer
from app.delivery.filenames import MOST_NAMES, hidden_name, is_plain, too_many, whole_name, within

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe in place of a file would otherwise wait for its writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Found = TypeVar("Found")


class Directory:
    """Files in a directory of this machine."""

    def __init__(self, root: str, path: str, threads: ThreadPoolExecutor, deadline: float, cap: int) -> None:
        self._root = root
        self._path = path
        self._parts = [part for part in path.split("/") if part not in ("", ".")]
        self._threads = threads
        self._deadline = deadline
        self._cap = cap

    async def names(self) -> Sequence[str]:
        return await self._aside(lambda _: self._names())

    async def read(self, name: str) -> bytes:
        return await self._aside(lambda _: self._read(whole_name(name)))

    async def write(self, name: str, body: bytes) -> None:
        await self._aside(lambda given_up: self._write(whole_name(name), body, given_up))

    async def move(self, name: str, to: str) -> None:
        *inner, last = [whole_name(part) for part in to.split("/")]
        await self._aside(lambda given_up: self._move(whole_name(name), inner, last, given_up))

    async def _aside(self, work: Callable[[threading.Event], Found]) -> Found:
        """What `work` returns, done by a thread, which is told when nobody waits for it any more."""
        given_up = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline):
                return await loop.run_in_executor(self._threads, work, given_up)
        except TimeoutError:
            raise NoAnswer(f"timed out after {self._deadline:g} s") from None
        except OSError as error:
            raise Failing(f"the directory {self._path}: {_words(error)}") from None
        finally:
            given_up.set()

    @contextmanager
    def _entered(self, *inner: str) -> Iterator[int]:
        """A descriptor of the directory, or of one below it. Paths would be looked up anew at every use, and what
        was a directory may have become a link by then."""
        held = os.open(self._root, _DIRECTORY)
        try:
            for part in (*self._parts, *inner):
                entered = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=held)
                os.close(held)
                held = entered
            yield held
        finally:
            os.close(held)

    def _names(self) -> list[str]:
        found: list[str] = []
        with self._entered() as directory, os.scandir(directory) as entries:
            for entry in entries:
                if is_plain(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append(entry.name)
                if len(found) > MOST_NAMES:
                    raise too_many()
        return sorted(found)

    def _read(self, name: str) -> bytes:
        with self._entered() as directory:
            file = os.open(name, _READ, dir_fd=directory)
        with open(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Failing("what stands there is not a file")
            body = opened.read(self._cap + 1)
        return within(self._cap, body)

    def _write(self, name: str, body: bytes, given_up: threading.Event) -> None:
        with self._entered() as directory:
            hidden = hidden_name(name)
            try:
                with open(os.open(hidden, _NEW, 0o644, dir_fd=directory), "wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                _rename(directory, hidden, directory, name, given_up)
            except BaseException:
                with suppress(OSError):
                    os.unlink(hidden, dir_fd=directory)
                raise

    def _move(self, name: str, inner: list[str], to: str, given_up: threading.Event) -> None:
        with self._entered() as directory:
            for depth in range(len(inner)):
                with self._entered(*inner[:depth]) as above, suppress(FileExistsError):
                    os.mkdir(inner[depth], 0o755, dir_fd=above)
            with self._entered(*inner) as below:
                _rename(directory, name, below, to, given_up)


def _rename(source: int, name: str, target: int, to: str, given_up: threading.Event) -> None:
    """What nobody waits for any more must not appear later: something newer may have been told by then."""
    if given_up.is_set():
        raise TimeoutError
    os.rename(name, to, src_dir_fd=source, dst_dir_fd=target)
    os.fsync(target)


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else "it cannot be used"
