"""The places where files are exchanged with one partner: directories of this machine, and of SFTP servers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

from app.adapters.contract import Denied, Files, Place
from app.delivery.directory import Directory
from app.delivery.filenames import FILE_CAP
from app.delivery.sftp import Account, RemoteDirectory


class Places:
    """The ways to one partner's files, kept between calls. `deadline` in seconds is for each step, `cap` in bytes
    for each file that is read; `root` is the directory below which ours stand, empty where there are none."""

    def __init__(self, root: str, deadline: float, allow_private: bool = False, cap: int = FILE_CAP) -> None:
        self._root = root
        self._deadline = deadline
        self._allow_private = allow_private
        self._cap = cap
        self._accounts: dict[Place, Account] = {}
        # Threads of its own, and few: a partner whose disk hangs holds up nobody else.
        self._threads: ThreadPoolExecutor | None = None

    def at(self, place: Place) -> Files:
        """The files at a place. Raises Denied: a directory of this machine, and none is allowed; no such way."""
        address = urlsplit(place.url)
        path = unquote(address.path)
        if ".." in path.split("/"):
            raise Denied("the path of the place holds '..', which leads elsewhere")
        if address.scheme == "sftp":
            return RemoteDirectory(self._account(place), path, self._cap)
        if address.scheme != "file":
            raise Denied("a place for files begins with sftp:// or file:///")
        if not self._root:
            raise Denied(
                "IMEI_GATEWAY_FILES_ROOT is not set for this process, be it a command, an API or a worker, so it"
                " exchanges no files on its own disk; a running worker may have another setting"
            )
        self._threads = self._threads or ThreadPoolExecutor(2, thread_name_prefix="files")
        return Directory(self._root, path, self._threads, self._deadline, self._cap)

    async def close(self) -> None:
        """Closes every connection; work that hangs is left behind."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for account in self._accounts.values():
            await account.close()
        self._accounts.clear()

    def _account(self, place: Place) -> Account:
        """One connection serves all directories of an account."""
        address = urlsplit(place.url)
        key = Place(address.netloc, place.user, place.password, place.private_key, place.host_key)
        return self._accounts.setdefault(key, Account(place, self._deadline, self._allow_private))
