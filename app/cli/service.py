"""The service as child processes: web and worker, watched, started again when they die, stopped together.

A child ends when its input closes, so none outlives a supervisor that was killed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import httpx
import msgspec

from app.core import log
from app.core.config import Settings
from app.core.errors import Unavailable

GRACE = 20.0
READY_WITHIN = 60.0
LEAVE = 5.0
_FOLLOW = "IMEI_GATEWAY_FOLLOW_INPUT"
# -P: never a module of the folder that the command happens to be called in.
_COMMANDS = {"web": ("-P", "-m", "app.cli.web"), "worker": ("-P", "-m", "app.cli.main", "work")}

_LOG = log.get("service")


class Child:
    """One child process of ours, kept alive until it is told to stop."""

    def __init__(self, kind: str, environ: Mapping[str, str]) -> None:
        self.kind = kind
        self._environ = {**os.environ, **environ, _FOLLOW: "1"}
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        self._process = await self._spawn()
        self._watch = asyncio.create_task(self._keep())

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *_COMMANDS[self.kind],
            stdin=asyncio.subprocess.PIPE,
            # The output is for results: of the command that we are, which may be JSON.
            stdout=sys.__stderr__,
            env=self._environ,
            start_new_session=True,
        )

    async def _keep(self) -> None:
        while self._process:
            code = await self._process.wait()
            self._end_group()
            _LOG.warning("service.child_died", child=self.kind, code=code)
            await asyncio.sleep(1)
            self._process = await self._spawn()

    async def stop(self) -> None:
        """Asks, waits for the work under way, and insists in the end."""
        if self._watch:
            self._watch.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except TimeoutError:
            _LOG.warning("service.child_killed", child=self.kind, after_seconds=GRACE)
        self._end_group()

    def _end_group(self) -> None:
        """What a killed child leaves behind would hold its port."""
        if self._process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


class Service:
    """Web and workers, running; `url` is where the API answers."""

    def __init__(self, settings: Settings, children: dict[str, Child]) -> None:
        self.url = f"http://{_in_url(settings.host)}:{settings.port}"
        self.children = children

    def pids(self, kind: str) -> list[int]:
        """The processes of one kind that are alive now, as far as is known."""
        return [child.pid for child in self.children.values() if child.kind == kind and child.pid]


@asynccontextmanager
async def running(settings: Settings, kinds: tuple[str, ...] = ("web", "worker")) -> AsyncIterator[Service]:
    """The service on `settings.database_url`, ready when the block begins and stopped after it."""
    if "web" in kinds:
        settings = await with_port(settings)
    children = {name: Child(kind, _environ(settings)) for kind in kinds for name in _names(kind, settings)}
    service = Service(settings, children)
    try:
        for child in children.values():
            await child.start()
        if "web" in kinds:
            await _ready(service)
        yield service
    finally:
        await asyncio.gather(*(child.stop() for child in children.values()))


def _names(kind: str, settings: Settings) -> list[str]:
    """One web process; as many workers as are set, for one fills no more than a core."""
    return [kind] if kind == "web" else [f"{kind} {number}" for number in range(1, settings.workers + 1)]


def _environ(settings: Settings) -> dict[str, str]:
    return {
        f"IMEI_GATEWAY_{name.upper()}": str(getattr(settings, name))
        for name in settings.__struct_fields__
        if getattr(settings, name) not in ("", None)
    }


async def with_port(settings: Settings) -> Settings:
    """The settings with the port that the API can listen on. Raises Unavailable where it is taken."""
    return msgspec.structs.replace(settings, port=await _free_port(settings))


async def _free_port(settings: Settings) -> int:
    """The port that is wanted, or any for 0. What a killed supervisor left behind may yet be ending."""
    deadline = time.monotonic() + LEAVE
    while True:
        try:
            server = await asyncio.start_server(lambda *_: None, settings.host, settings.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise _port_taken(settings, error) from None
            await asyncio.sleep(0.1)
            continue
        port: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port


def _port_taken(settings: Settings, error: OSError) -> Unavailable:
    # A name that cannot be resolved has a negative number.
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return Unavailable(
        f"Cannot listen on {settings.host}:{settings.port}: {why}. Choose another with --port, or stop what"
        " listens there.",
        "port-taken",
    )


async def _ready(service: Service) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        for _ in range(int(READY_WITHIN / 0.05)):
            with suppress(httpx.HTTPError):
                if (await client.get(f"{service.url}/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise Unavailable(
        f"The web process did not become ready within {READY_WITHIN:g} s; see what it logged above."
    )


def _in_url(host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{shown}]" if ":" in shown else shown


def follow_input() -> None:
    """Ends this process, as if asked to, once its input closes: whoever started it is gone."""
    if os.environ.pop(_FOLLOW, ""):
        threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    # Not through sys.stdin, whose lock a forked child would find held, and wait for in vain.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
