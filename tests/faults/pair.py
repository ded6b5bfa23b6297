"""Two PostgreSQL servers: a primary, and a standby that has every commit before it is acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from app.core import postgres_binaries


class Server:
    """One server in a folder of its own, which its account owns."""

    def __init__(self, root: Path, name: str) -> None:
        self._account = postgres_binaries.unprivileged() if os.geteuid() == 0 else None
        self._binaries, _ = postgres_binaries.find(self._account)
        self.folder, self._log = root / name, root / f"{name}.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://gateway@127.0.0.1:{self.port}/postgres"

    async def run(self, program: str, *options: str) -> None:
        command = [str(self._binaries / program), "-D", str(self.folder), *options]
        with self._log.open("ab") as log:
            process = postgres_binaries.spawn(command, self._account, log)
        assert await asyncio.to_thread(process.wait, 60) == 0, self._log.read_text()

    async def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        command = [str(self._binaries / "postgres"), "-D", str(self.folder)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = postgres_binaries.spawn(command, self._account, log)
        async with asyncio.timeout(30):
            while not await self._answers():
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            await self.execute("SELECT 1")
            return True
        return False

    async def execute(self, statement: str) -> None:
        conn = await asyncpg.connect(self.dsn, timeout=5)
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    def power_off(self) -> None:
        """At once, and for good."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def owned(self) -> None:
        """Hands the folder above to the account that serves below it."""
        if self._account:
            os.chown(self.folder.parent, self._account.uid, self._account.gid)


class Pair:
    """`dsn` names both servers, and means the one that is the primary."""

    def __init__(self, root: Path) -> None:
        self.first, self.second = Server(root, "first"), Server(root, "second")
        self.dsn = (
            f"postgresql://gateway@127.0.0.1:{self.first.port},127.0.0.1:{self.second.port}/postgres"
            "?target_session_attrs=primary"
        )

    async def fail_over(self) -> None:
        """The primary is gone before anybody else may write."""
        self.first.power_off()
        await self.second.execute("SELECT pg_promote()")


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Both of them, the second one up to date."""
    with tempfile.TemporaryDirectory(prefix="pair-", ignore_cleanup_errors=True) as name:
        both = Pair(Path(name))
        both.first.owned()
        try:
            await both.first.run("initdb", "-U", "gateway", "--auth=trust", "--encoding=UTF8", "--locale=C")
            await both.first.start()
            await both.second.run("pg_basebackup", "-R", "-d", f"{both.first.dsn}?application_name=second")
            await both.second.start()
            await both.first.execute("ALTER SYSTEM SET synchronous_standby_names = 'second'")
            await both.first.execute("SELECT pg_reload_conf()")
            yield both
        finally:
            both.first.power_off()
            both.second.power_off()
