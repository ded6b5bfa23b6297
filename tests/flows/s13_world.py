"""Devices of each status on a database, and gateways that answer S13 on it: real processes."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.access import keys
from app.access.roles import Role
from app.core import imei
from app.core.db import open_pool
from app.core.keyring import new_key

from ..diameter_by_hand import EIR, MME, REALM, SGSN
from .command import Commands

FIRST = 35_209900_100000
EACH = 250
CLEAR, SUSPECT, BLOCKED, UNKNOWN = (
    range(FIRST + EACH * place, FIRST + EACH * (place + 1)) for place in range(4)
)
# What S13 has for it; 5422 is a result and not a status.
WHITE, BLACK, GREY = 0, 1, 2
EXPECTED = {
    **dict.fromkeys(CLEAR, (2001, WHITE)),
    **dict.fromkeys(SUSPECT, (2001, GREY)),
    **dict.fromkeys(BLOCKED, (2001, BLACK)),
    **dict.fromkeys(UNKNOWN, (5422, None)),
}


def digits(key: int) -> str:
    return f"{key:014d}"


class Answering:
    """An `imei-gateway s13` that runs, what it logs, and its port."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        assert process.stdout
        said = process.stdout.readline()
        found = re.search(r"answers Diameter S13 at 127\.0\.0\.1:(\d+)", said)
        assert found, said + self.log
        self.port = int(found[1])

    @property
    def log(self) -> str:
        return self._log.read_text()

    def until_logged(self, *words: str, within: float = 20) -> None:
        soon(lambda: any(all(word in line for word in words) for line in self.log.splitlines()), within)

    def alive(self) -> bool:
        return self.process.poll() is None


def soon(happens: Callable[[], bool], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


async def furnished(dsn: str, folder: Path) -> World:
    """On a database that is migrated and empty."""
    world = World(dsn, folder)
    for role in (Role.ADMIN, Role.INCIDENT_MANAGER, Role.APPROVER, Role.CARRIER):
        world.ids[role] = await world.new_key(role)
    await asyncio.to_thread(world.furnish)
    return world


@dataclass
class World:
    """A database with devices, a key for each role, and where logs are written."""

    dsn: str
    folder: Path
    ids: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> Commands:
        environ = {"DATABASE_URL": self.dsn, "IMEI_GATEWAY_DATA_DIR": str(self.folder / "data")}
        environ["IMEI_GATEWAY_SECRETS_KEY"] = new_key(secrets.token_bytes)
        return Commands(environ)

    async def new_key(self, role: Role) -> str:
        """The id of one more key."""
        said = {"name": f"{role} of the tests", "role": role, "by": "tests", "now": datetime.now(UTC)}
        async with await open_pool(self.dsn, size=1) as pool, pool.acquire() as conn:
            made = await keys.create(conn, **said, random=secrets.token_bytes)
        self.secrets.setdefault(role, made.key)
        return made.key_id

    async def revoke(self, key_id: str) -> None:
        async with await open_pool(self.dsn, size=1) as pool, pool.acquire() as conn:
            assert await keys.revoke(conn, key_id, "tests", datetime.now(UTC))

    async def allow(self, key_id: str, quota: int) -> None:
        async with await open_pool(self.dsn, size=1) as pool, pool.acquire() as conn:
            await keys.set_quota(conn, key_id, quota)

    def furnish(self) -> None:
        """Registers all but the unknown, by the commands that people use; declares some, and approves some of them."""
        goods = self._file("goods.csv", "imei1,serial", CLEAR, SUSPECT, BLOCKED)
        self._done("register", goods, key="admin")
        for place, numbers in enumerate((SUSPECT, BLOCKED), 1):
            named = self._file(f"{place}.txt", "", numbers)
            self._done("declare", "--title", "Paris", "--imeis", named, "--yes", key="incident-manager")
        self._done("approve", "2", key="approver")

    def declare(self, incident: int, key: int) -> None:
        """One equipment is stolen, and that is approved; this is the incident that it becomes."""
        self._done("declare", "--title", "Lyon", "--imeis", self._file("one.txt", "", range(key, key + 1)), "--yes",
                   key="incident-manager")  # fmt: skip
        self._done("approve", str(incident), key="approver")

    def withdraw(self, incident: int) -> None:
        self._done("withdraw", str(incident), "--reason", "Found", key="incident-manager")

    def _file(self, name: str, header: str, *numbers: range) -> str:
        path = self.folder / name
        keys_ = [key for one in numbers for key in one]
        lines = [f"{imei.full(key)},SN{key}" if header else imei.full(key) for key in keys_]
        path.write_text("\n".join([*([header] if header else []), *lines, ""]))
        return str(path)

    def _done(self, *words: str, key: str) -> None:
        done = self.commands.run(*words, key=self.secrets[key])
        assert done.returncode == 0, done.stderr

    @contextmanager
    def answering(self, **changes: str) -> Iterator[Answering]:
        """A gateway that answers two peers; settings are changed by their names, without what all begin with."""
        path = self.folder / f"{time.monotonic_ns()}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                # The flag wins over the variable.
                self.commands.command("s13", "--port", "0"),
                env=self._environ({"S13_PORT": "1", **changes}),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            yield Answering(process, path)
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()

    def refused(self, **changes: str) -> subprocess.CompletedProcess[str]:
        """One that cannot begin."""
        command = self.commands.command("s13")
        return subprocess.run(
            command, env=self._environ(changes), capture_output=True, text=True, timeout=60, check=False
        )

    def _environ(self, changes: dict[str, str]) -> dict[str, str]:
        carrier = self.ids["carrier"]
        said = {
            "S13_ORIGIN_HOST": EIR,
            "S13_ORIGIN_REALM": REALM,
            "S13_PEERS": f"{MME}={carrier}, {SGSN}={carrier}",
            "S13_PORT": "0",
            **changes,
        }
        return {
            **self.commands.environ(None),
            **{f"IMEI_GATEWAY_{name}": value for name, value in said.items()},
        }


class Mme:
    """The MME by python-diameter, a process of its own that connects to this port."""

    def __init__(self, port: int, host: str = MME) -> None:
        program = Path(__file__).with_name("mme.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(port), host, EIR, REALM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.is_let_in: bool = self._read()

    def __enter__(self) -> Mme:
        return self

    def __exit__(self, *_: object) -> None:
        # It would take its time to say farewell.
        self._process.kill()
        self._process.communicate()

    def ask(self, *questions: tuple[str, str | None]) -> list[dict[str, Any]]:
        """The answers to an IMEI and a software version each, all in flight together."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(questions) + "\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = self._read()
        return answers

    def _read(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())
