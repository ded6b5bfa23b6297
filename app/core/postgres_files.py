"""The files of an embedded PostgreSQL: where each stands below the data directory, and how a cluster is made.

The data directory stays ours, the cluster folder in it belongs to the account that serves it. The modes of
folders that were there before are never touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from app.core import postgres_binaries
from app.core.errors import Unavailable
from app.core.postgres_binaries import Account

SUPERUSER = "gateway"


class Cluster(msgspec.Struct, frozen=True):
    """One data directory, who serves it (None: ourselves) and with which binaries."""

    data_dir: Path
    account: Account | None
    binaries: Path
    major: int

    @property
    def folder(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def starting(self) -> Path:
        """Locked while somebody starts or stops the server."""
        return self.data_dir / "postgres.start"

    @property
    def users(self) -> Path:
        """Locked, together, by all who use the server."""
        return self.data_dir / "postgres.users"

    @property
    def alive(self) -> Path:
        """Locked by the server: all its processes inherit the lock, so it ends with the last of them.

        In it stands the path of the server's sockets (postgres_sockets).
        """
        return self.data_dir / "postgres.alive"


def locks(fd: int, kind: int) -> bool:
    """Takes a lock (fcntl.LOCK_SH or LOCK_EX), or changes the one held, if that needs no waiting."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def find(data_dir: Path) -> Cluster:
    """The cluster of a data directory, which is made if it is missing."""
    data_dir = data_dir.absolute()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = _account(data_dir / "postgres")
    return Cluster(data_dir, account, *postgres_binaries.find(account))


def _account(folder: Path) -> Account | None:
    """None stands for ourselves. A cluster stays with the user that it was made for."""
    ours = os.geteuid()
    if not folder.exists():
        return None if ours else postgres_binaries.unprivileged()
    made = folder.stat()
    if made.st_uid == ours == 0:
        raise Unavailable(
            f"{folder} belongs to root, whom PostgreSQL refuses to serve: "
            f"hand it over with chown -R {postgres_binaries.unprivileged().uid} {folder}"
        )
    if ours not in (0, made.st_uid):
        raise Unavailable(
            f"{folder} belongs to user {made.st_uid}, and this is user {ours}: "
            "run as that user, or choose another data directory"
        )
    return None if ours else Account(made.st_uid, made.st_gid)


@contextmanager
def door(folder: Path, account: Account | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A name of the folder that works for the account, and the descriptors to hand down with it.

    The folder may lie below parents that its owner cannot pass (root's 0700). The magic link of an open
    descriptor leads into it all the same, in every process that inherits the descriptor.
    """
    if account is None or passable(folder, account):
        yield str(folder), ()
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}", (fd,)
    finally:
        os.close(fd)


def passable(folder: Path, account: Account) -> bool:
    """Whether the account gets through all parents of the folder, by their mode bits."""
    return all(_may_enter(parent.stat(), account) for parent in folder.resolve().parents)


def _may_enter(parent: os.stat_result, account: Account) -> bool:
    if parent.st_uid == account.uid:
        return bool(parent.st_mode & 0o100)
    return bool(parent.st_mode & (0o010 if parent.st_gid == account.gid else 0o001))


def initialise(cluster: Cluster, held: int) -> None:
    """Makes the cluster folder unless it is there, under a passing name until it is whole.

    `held` is the caller's lock: initdb inherits it, so whoever comes next waits for an initdb that
    outlived its starter.
    """
    if (cluster.folder / "PG_VERSION").exists():
        _check_version(cluster)
        return
    if cluster.folder.exists() and any(cluster.folder.iterdir()):
        raise Unavailable(
            f"{cluster.folder} holds files, but no PostgreSQL cluster (PG_VERSION is missing): "
            "restore it from a backup, or move it away to start with an empty database"
        )
    half = _fresh(cluster.data_dir / "postgres.half", cluster.account)
    _initdb(cluster, half, held)
    half.rename(cluster.folder)
    _sync(cluster.data_dir)


def _check_version(cluster: Cluster) -> None:
    version = (cluster.folder / "PG_VERSION").read_text().strip()
    if version != str(cluster.major):
        raise Unavailable(
            f"{cluster.folder} was made by PostgreSQL {version}, and {cluster.binaries} is {cluster.major}: "
            f"name binaries of {version} in {postgres_binaries.SETTING}, or bring the data over by pg_dump"
        )


def _fresh(folder: Path, account: Account | None) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def _initdb(cluster: Cluster, folder: Path, held: int) -> None:
    locale = ["--locale=C"]
    if cluster.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with door(folder, cluster.account) as (name, fds):
        options = ["-D", name, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--data-checksums"]
        command = [str(cluster.binaries / "initdb"), *options, *locale]
        process = postgres_binaries.spawn(command, cluster.account, subprocess.PIPE, (held, *fds))
        said = process.communicate()[0].decode(errors="replace")
    if process.returncode != 0:
        raise Unavailable(f"initdb could not make {cluster.folder}{explained(said, folder)}")


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def explained(said: str, folder: Path) -> str:
    """The end of a sentence: what PostgreSQL's last complaints mean, where we know, and their wording."""
    known = {
        "No space left on device": "the file system is full; free some space",
        "anonymous shared memory": "the machine has too little free memory",
        "Permission denied": "the server's user may not open a file or folder; look at their owners",
        "invalid permissions": "the cluster folder must have the mode 0700",
        "wrong ownership": "the cluster folder belongs to another user than its files",
        "incompatible with server": "the cluster was made by another build of PostgreSQL",
        "lock file": "another PostgreSQL, which we did not start, serves the same folder; stop it",
    }
    meaning = next((f": {clause}" for complaint, clause in known.items() if complaint in said), "")
    # "The database system is starting up" is what it told us while we knocked.
    lines = [line for line in said.strip().splitlines() if "FATAL:  the database system is" not in line]
    grave = [line for line in lines if re.search(r"error:|FATAL|PANIC", line)] or lines or ["nothing"]
    words = re.sub(r"/proc/self/fd/\d+", str(folder), " / ".join(grave[-3:]))
    return f"{meaning}. PostgreSQL said: {words}"
