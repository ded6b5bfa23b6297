"""The SFTP server of a practice partner, which misbehaves as ordered when a file gets its name."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import asyncssh

from app.sandbox.stage import Stage


async def listen(root: Path, stage: Stage, user: str, password: str, port: int) -> asyncssh.SSHAcceptor:
    """Starts the SFTP server, which shows `root` and no more, under a host key of its own."""
    key = asyncssh.generate_private_key("ssh-ed25519")

    class Door(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            if stage.misbehaviour.is_down():
                conn.abort()

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, given: str) -> bool:
            return (username, given) == (user, password)

    class Shelf(asyncssh.SFTPServer):
        def __init__(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
            super().__init__(chan, chroot=os.fsencode(root))

        async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
            fate = await stage.misbehaviour.fate()
            if fate == "fine" or stage.misbehaviour.ordered.applied:
                os.replace(self.map_path(oldpath), self.map_path(newpath))
            if fate == "hung":
                await asyncio.Event().wait()
            if fate == "dropped":
                self.channel.get_connection().abort()
            if fate != "fine":
                raise asyncssh.SFTPFailure("practice failure")

    server = await asyncssh.listen(
        stage.host, port, server_factory=Door, server_host_keys=[key], sftp_factory=Shelf
    )
    public = key.export_public_key().decode().strip()
    stage.spoken = f"sftp://{stage.host}:{server.get_port()}/in?{quote(public)}"
    return server
