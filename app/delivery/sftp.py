"""Files in a directory of an SFTP server, over one connection for each account, which is kept.

Nothing of this machine's user takes part: no agent, no known_hosts, no keys and no configuration but the partner's.
The server must show the host key that the settings name. What a server says in words is not repeated.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import asyncssh

from app.adapters.contract import Denied, Failing, NoAnswer, PartnerFault, Place
from app.delivery import reach
from app.delivery.filenames import MOST_NAMES, hidden_name, is_plain, too_many, whole_name, within
from app.delivery.reach import NotReached

_PART = 2**20
_FILES = (asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_UNKNOWN)
_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.SFTPBadMessage)
_TROUBLE = (asyncssh.Error, asyncssh.ChannelListenError, OSError, ValueError, EOFError)

Found = TypeVar("Found")


class Account:
    """Our account on one SFTP server. `deadline` in seconds spans connecting and what is asked."""

    def __init__(self, place: Place, deadline: float, allow_private: bool) -> None:
        self._place = place
        self._deadline = deadline
        self._allow_private = allow_private
        self._opening = asyncio.Lock()
        self._held: tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient] | None = None

    async def ask(self, ask: Callable[[asyncssh.SFTPClient], Coroutine[Any, Any, Found]]) -> Found:
        """What `ask` finds out of the server. A connection that was lost, or on which we gave up, is broken off: so
        nothing is sent on it afterwards."""
        client = None
        try:
            async with asyncio.timeout(self._deadline):
                client = await self._opened()
                # Cancelled, it would wait for a server that is silent to close a file.
                return await asyncio.shield(ask(client))
        except PartnerFault:
            raise
        except asyncio.CancelledError:
            self._drop(client)
            raise
        except TimeoutError:
            self._drop(client)
            raise NoAnswer(f"timed out after {self._deadline:g} s") from None
        except _TROUBLE as error:
            fault = _fault(error)
            if not isinstance(fault, Failing):
                self._drop(client)
            raise fault from None

    async def close(self) -> None:
        if self._held:
            connection, client = self._held
            self._drop(client)
            with suppress(*_TROUBLE):
                await connection.wait_closed()

    async def _opened(self) -> asyncssh.SFTPClient:
        async with self._opening:
            if self._held is None or self._held[0].is_closed():
                connection = await _connect(self._place, self._allow_private)
                try:
                    # Names that are no UTF-8 are seen, and passed over.
                    client = await connection.start_sftp_client(path_errors="surrogateescape")
                except BaseException:
                    connection.abort()
                    raise
                self._held = connection, client
            return self._held[1]

    def _drop(self, client: asyncssh.SFTPClient | None) -> None:
        """Another call may have opened a new connection meanwhile, which is to be kept."""
        if self._held and self._held[1] is client:
            self._held[0].abort()
            self._held = None


async def _connect(place: Place, allow_private: bool) -> asyncssh.SSHClientConnection:
    address, host_key = urlsplit(place.url), _host_key(place.host_key)
    keys = [_private_key(place.private_key)] if place.private_key else None
    held = await reach.connected(address.hostname or "", address.port or 22, allow_private)
    return await asyncssh.connect(
        sock=held,
        username=place.user,
        password=place.password or None,
        known_hosts=([host_key], [], []),
        client_keys=keys,
        preferred_auth=["publickey", "keyboard-interactive", "password"],
        config=None,
        agent_path=None,
        gss_auth=False,
        gss_kex=False,
        keepalive_interval=30,
    )


def _host_key(line: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError):
        raise Denied("no host key is set, or it is none, so the server cannot be told from another") from None


def _private_key(text: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise Denied("the private key cannot be read; it would be one without a passphrase") from None


class RemoteDirectory:
    """Files in a directory of an SFTP server; `/~/name` is one in the account's own."""

    def __init__(self, account: Account, path: str, cap: int) -> None:
        self._account = account
        self._path = path[3:].rstrip("/") or "." if path.startswith("/~/") else path.rstrip("/") or "/"
        self._cap = cap

    async def names(self) -> Sequence[str]:
        return await self._account.ask(self._names)

    async def read(self, name: str) -> bytes:
        path = self._at(whole_name(name))
        return await self._account.ask(lambda client: self._read(client, path))

    async def write(self, name: str, body: bytes) -> None:
        path, hidden = self._at(whole_name(name)), self._at(hidden_name(name))
        await self._account.ask(lambda client: _write(client, hidden, path, body))

    async def move(self, name: str, to: str) -> None:
        parts = [whole_name(part) for part in to.split("/")]
        inner = [self._at("/".join(parts[:depth])) for depth in range(1, len(parts))]
        source, target = self._at(whole_name(name)), self._at(to)
        await self._account.ask(lambda client: _move(client, inner, source, target))

    def _at(self, name: str) -> str:
        return posixpath.join(self._path, name)

    async def _names(self, client: asyncssh.SFTPClient) -> list[str]:
        found: list[str] = []
        async for entry in client.scandir(self._path):
            if is_plain(str(entry.filename)) and entry.attrs.type in _FILES:
                found.append(str(entry.filename))
            if len(found) > MOST_NAMES:
                raise too_many()
        return sorted(found)

    async def _read(self, client: asyncssh.SFTPClient, path: str) -> bytes:
        body = b""
        async with client.open(path, "rb") as file:
            while part := await file.read(_PART):
                body = within(self._cap, body + cast(bytes, part))
        return body


async def _write(client: asyncssh.SFTPClient, hidden: str, path: str, body: bytes) -> None:
    try:
        async with client.open(hidden, "xb") as file:
            await file.write(body)
            with suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()
        await _rename(client, hidden, path)
    except _TROUBLE:
        with suppress(*_TROUBLE):
            await client.remove(hidden)
        raise


async def _move(client: asyncssh.SFTPClient, inner: Sequence[str], source: str, target: str) -> None:
    for directory in inner:
        # A server says "failure" of one that is there: the renaming tells whether it is.
        with suppress(asyncssh.SFTPError):
            await client.mkdir(directory)
    await _rename(client, source, target)


async def _rename(client: asyncssh.SFTPClient, source: str, target: str) -> None:
    """Where a server cannot replace a file in one step, it has none of that name for a moment, but never half."""
    try:
        await client.posix_rename(source, target)
    except asyncssh.SFTPOpUnsupported:
        with suppress(asyncssh.SFTPNoSuchFile):
            await client.remove(target)
        await client.rename(source, target)


_SFTP_WORDS: dict[type[asyncssh.SFTPError], str] = {
    asyncssh.SFTPNoSuchFile: "there is no such file or directory",
    asyncssh.SFTPNoSuchPath: "there is no such directory",
    asyncssh.SFTPPermissionDenied: "we may not do that there",
    asyncssh.SFTPNoSpaceOnFilesystem: "its disk is full",
    asyncssh.SFTPQuotaExceeded: "our quota is used up",
}


def _fault(error: Any) -> PartnerFault:
    """What went wrong, in words of ours that name no address, file or secret."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return Denied("the SFTP server shows another host key than the one in the settings")
        case asyncssh.PermissionDenied():
            return Denied("the SFTP server does not accept our user name with this password or key")
        case asyncssh.SFTPError() if not isinstance(error, _LOST):
            return Failing(f"SFTP: {_SFTP_WORDS.get(type(error), f'it failed there (code {error.code})')}")
    return NoAnswer(_lost_words(error))


def _lost_words(error: Any) -> str:
    match error:
        case asyncssh.KeyExchangeFailed():
            return "SSH: the server has no host key of the kind that the settings name, or no cipher of ours"
        case socket.gaierror():
            return "host name not found"
        case NotReached():
            return str(error)
        case OSError() if error.errno:
            return os.strerror(error.errno).lower()
    return "the SFTP connection was lost"
