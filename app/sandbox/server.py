"""Practice partners as servers: an application, a process of its own, or one of each kind.

A child that is told to follow its input ends when that closes, so no partner outlives who started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from random import Random
from types import ModuleType
from typing import IO, Any, cast

import msgspec
import uvloop
from aiohttp import web

from app.core.errors import Unavailable
from app.sandbox import ceir, dirbs_file, eir_push, eir_rest, gsma_file, knox_guard, sftp_csv, webhook
from app.sandbox.stage import LOOPBACK, Stage, options_of

__all__ = ["KINDS", "LOOPBACK", "Running", "build", "run", "run_all", "settings"]

BODY_LIMIT = 16 * 2**20

_DIALECTS: dict[str, ModuleType] = {
    "ceir": ceir,
    "eir_push": eir_push,
    "knox_guard": knox_guard,
    "webhook": webhook,
    "eir_rest": eir_rest,
    "sftp_csv": sftp_csv,
    "dirbs_file": dirbs_file,
    "gsma_file": gsma_file,
}
KINDS = tuple(_DIALECTS)


def build(kind: str, options: Mapping[str, Any] | None = None, stage: Stage | None = None) -> web.Application:
    """A practice partner. Raises KeyError for a kind and msgspec.ValidationError for an option it has not."""
    dialect = _DIALECTS[kind]
    app = web.Application(client_max_size=BODY_LIMIT)
    stage = stage or Stage(kind)
    stage.control(app)
    dialect.install(app, stage, options_of(dialect.Options, options))
    return app


def settings(kind: str, url: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of a partner row that speaks to a practice partner at `url`, its stage's `spoken` if it has one."""
    dialect = _DIALECTS[kind]
    fitting: dict[str, Any] = dialect.settings(url, options_of(dialect.Options, options))
    return fitting


def run(
    kind: str,
    host: str = LOOPBACK,
    port: int = 0,
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    follow_input: bool = False,
) -> None:
    """Serve until interrupted, or until the input closes. Says its address on the output once it listens,
    and behind it where its dialect is spoken, if that is elsewhere."""
    stage = Stage(kind, Random(seed))
    stage.host = host
    uvloop.run(_serve(build(kind, options, stage), stage, port, follow_input))


async def _serve(app: web.Application, stage: Stage, port: int, follow_input: bool) -> None:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, stage.host, port, backlog=1024).start()
        sys.stdout.write(f"http://{stage.host}:{runner.addresses[0][1]} {stage.spoken}\n")
        sys.stdout.flush()
        await (asyncio.to_thread(sys.stdin.buffer.read) if follow_input else asyncio.Event().wait())
    finally:
        await runner.cleanup()


class Running:
    """A practice partner in a process of its own; `settings` fit a partner row that speaks to it."""

    def __init__(self, kind: str, process: subprocess.Popen[bytes], options: Mapping[str, Any]) -> None:
        """Waits until the process listens. Raises Unavailable if it ends instead."""
        self.kind = kind
        self._process = process
        said = cast("IO[bytes]", process.stdout).readline().decode().strip()
        self.url, _, spoken = said.partition(" ")
        if not self.url:
            raise Unavailable(f"The practice partner '{kind}' did not start; is its port taken?")
        self.settings = settings(kind, spoken or self.url, options)

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """End the process; harmless if it has ended."""
        _stop(self._process)


def run_all(
    *,
    host: str = LOOPBACK,
    ports: Mapping[str, int] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    kinds: tuple[str, ...] = KINDS,
    seed: int = 0,
) -> list[Running]:
    """Start practice partners, by default one of each kind, on the ports given by kind or on free ones.

    Blocks until all listen, about half a second. Raises Unavailable, with none left running, if one does not.
    """
    ports, options = ports or {}, options or {}
    started = {kind: _spawn(kind, host, ports.get(kind, 0), options.get(kind, {}), seed) for kind in kinds}
    try:
        return [Running(kind, process, options.get(kind, {})) for kind, process in started.items()]
    except Unavailable:
        for process in started.values():
            _stop(process)
        raise


def _spawn(kind: str, host: str, port: int, options: Mapping[str, Any], seed: int) -> subprocess.Popen[bytes]:
    place = ["--host", host, "--port", str(port), "--seed", str(seed), "--follow-input"]
    command = [
        sys.executable,
        "-P",
        "-m",
        "app.sandbox.server",
        kind,
        *place,
        "--options",
        json.dumps(options),
    ]
    # A session of its own: Ctrl-C reaches the parent alone, whose end then closes the input.
    return subprocess.Popen(  # noqa: S603 (our own module)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m app.sandbox.server", description="A partner to practise on."
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON; the partner's own options")
    parser.add_argument("--seed", type=int, default=0, help="of the chance by which faults happen")
    parser.add_argument("--follow-input", action="store_true", help="end when the input closes")
    given = parser.parse_args()
    try:
        run(
            given.kind,
            given.host,
            given.port,
            given.options,
            seed=given.seed,
            follow_input=given.follow_input,
        )
    except BrokenPipeError:
        # Who wanted to know our address is gone. Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (msgspec.ValidationError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
