"""What a witness remembers, in a folder: its key, the logs it knows, and the last checkpoint of each that it signed.

A witness that lost its memory would sign an older log for a new one. So `made` alone begins one: where a file of it is
missing later, nothing is signed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.audit import checkpoint, note, signing
from app.audit.checkpoint import Head
from app.audit.merkle import EMPTY_ROOT
from app.audit.note import Kind, Signer, Verifier
from app.core import private
from app.core.errors import Conflict, Invalid, Missing

KEY, LOGS, LOCK = "witness.key", "logs", "lock"


class Memory:
    """The memory of one witness; one process at a time has it."""

    def __init__(self, folder: Path, signer: Signer, logs: Sequence[Verifier]) -> None:
        self._folder = folder
        self.signer = signer
        self.logs = logs
        self._last = {origin: self._read(origin) for origin in {one.name for one in logs}}

    def known(self, origin: str) -> list[Verifier]:
        """The keys that the log of this name signs with."""
        return [one for one in self.logs if one.name == origin]

    def last(self, origin: str) -> Head:
        """The newest head that was signed of a known log; of size 0 where none was."""
        written = self._last[origin]
        return checkpoint.read(note.read(written).text) if written else Head(origin, 0, EMPTY_ROOT)

    def shown(self, name: str) -> str:
        """The newest checkpoint that was signed, of the log whose name has this SHA-256 (hex). Raises Missing."""
        for origin, written in self._last.items():
            if written and file_of(origin) == name:
                return written
        raise Missing("No checkpoint of such a log was signed here yet.", "checkpoint-missing")

    def keep(self, origin: str, written: str) -> None:
        """Remembers a signed checkpoint: on disk when this returns, whole or not at all."""
        _write(self._folder / file_of(origin), written)
        self._last[origin] = written

    def _read(self, origin: str) -> str:
        path = self._folder / file_of(origin)
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Conflict(
                f"This witness has lost what it knew of the log {origin} ({path} is missing). It must sign nothing"
                " more: bring the file back, or retire this witness and make another with a new key.",
                "memory-lost",
            ) from None


def made(folder: Path, name: str, logs: Sequence[Verifier], random: Callable[[int], bytes]) -> Signer:
    """Begins a witness in a folder of its own. Raises Conflict where there is one, and Invalid."""
    for one in logs:
        _must_be_a_log(one)
    signer = signing.new(name, Kind.COSIGNATURE, random)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / KEY).exists():
        raise Conflict(
            f"There is a witness in {folder} already; another one needs a folder of its own.", "witness-there"
        )
    for one in logs:
        _begin(folder, one)
    _write(folder / KEY, signer.written() + "\n")
    return signer


def trust(folder: Path, log: Verifier) -> None:
    """Adds a log, or a further key of one that is known. Raises Invalid, and Missing where there is no witness."""
    _must_be_a_log(log)
    _signer(folder)
    _begin(folder, log)


@contextmanager
def opened(folder: Path) -> Iterator[Memory]:
    """The memory of the witness in this folder. Raises Missing, Invalid, and Conflict where another process has it, or
    where it is not whole."""
    signer = _signer(folder)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"Another process is the witness in {folder} already.", "witness-runs") from None
        yield Memory(folder, signer, _logs(folder))


def file_of(origin: str) -> str:
    """The name of a log's file, and of its checkpoint in an address: the SHA-256 of its name, in hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


def _signer(folder: Path) -> Signer:
    try:
        signer = note.signer(private.opened(folder / KEY, "The witness's key"))
    except OSError as error:
        raise Missing(
            f"There is no witness in {folder} ({error.strerror}). 'imei-gateway witness new' begins one.",
            "witness-missing",
        ) from None
    if signer.verifier.kind is not Kind.COSIGNATURE:
        raise Invalid(f"The key in {folder / KEY} is that of a log, not of a witness.", "signing-key-wrong")
    return signer


def _logs(folder: Path) -> list[Verifier]:
    try:
        lines = (folder / LOGS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [note.verifier(line) for line in lines if line]


def _must_be_a_log(one: Verifier) -> None:
    if one.kind is not Kind.NOTE:
        raise Invalid(f"The key of {one.name} is that of a witness, not of a log.", "verifier-key-wrong")


def _begin(folder: Path, log: Verifier) -> None:
    known = _logs(folder)
    if log in known:
        return
    # Its memory first: a log that is known and has none counts as one that was lost.
    if log.name not in {one.name for one in known}:
        _write(folder / file_of(log.name), "")
    _write(folder / LOGS, "".join(f"{one.written()}\n" for one in [*known, log]))


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
