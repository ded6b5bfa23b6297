"""Where an embedded server is reached: its private folder of sockets, and the DSN that names it.

A socket's path must be short, so the folder stands among the system's temporary files. The data directory
keeps a record of it, and a server that starts again gets the same one: its users' DSN holds.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from app.core import postgres_files
from app.core.postgres_files import SUPERUSER, Cluster

PORT = 5432

# macOS allows 103 bytes, Linux 107.
_LONGEST = 103


def dsn(cluster: Cluster) -> str | None:
    """None before the cluster's first start. That it is known does not mean that anybody answers there."""
    folder = _recorded(cluster)
    return f"postgresql://{SUPERUSER}@/gateway?host={quote(str(folder))}&port={PORT}" if folder else None


def prepare(cluster: Cluster) -> Path:
    """An empty folder for a server to come, while no process of an old one lives."""
    folder = _recorded(cluster)
    remove(cluster)
    if folder is None or not _is_made_again(folder, cluster):
        folder = Path(tempfile.mkdtemp(prefix=_prefix(cluster), dir=_parent(cluster)))
        _give(folder, cluster)
        cluster.alive.write_text(str(folder))
    return folder


def remove(cluster: Cluster) -> None:
    """Clears up after the server's end, if the folder is its own: temporary files are anybody's to make."""
    folder = _recorded(cluster)
    owner = cluster.account.uid if cluster.account else os.geteuid()
    with suppress(OSError):
        found = folder.lstat() if folder else None
        if folder and found and stat.S_ISDIR(found.st_mode) and found.st_uid == owner:
            shutil.rmtree(folder)


def _recorded(cluster: Cluster) -> Path | None:
    """A copied data directory has a copied record, which names the sockets of the original."""
    with suppress(FileNotFoundError):
        folder = Path(cluster.alive.read_text())
        return folder if folder.name.startswith(_prefix(cluster)) else None
    return None


def _prefix(cluster: Cluster) -> str:
    found = cluster.folder.stat()
    return f"imei-gateway-{found.st_dev:x}-{found.st_ino:x}-"


def _is_made_again(folder: Path, cluster: Cluster) -> bool:
    with suppress(OSError):
        folder.mkdir(mode=0o700)
        _give(folder, cluster)
        return True
    return False


def _give(folder: Path, cluster: Cluster) -> None:
    if cluster.account is not None:
        os.chown(folder, cluster.account.uid, cluster.account.gid)


def _parent(cluster: Cluster) -> str:
    """The system's folder of temporary files, if the server can walk there and the path stays short."""
    longest = Path(tempfile.gettempdir()) / f"{_prefix(cluster)}12345678" / f".s.PGSQL.{PORT}"
    walks = cluster.account is None or postgres_files.passable(longest.parent, cluster.account)
    fits = len(os.fsencode(longest)) <= _LONGEST
    return tempfile.gettempdir() if walks and fits else "/tmp"  # noqa: S108
