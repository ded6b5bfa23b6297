"""A bare route of the framework and the server that the gateway has, with the server's options and an answer of the
same form: no key, no rule, no database.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from litestar import Litestar, get
from litestar.params import FromPath

from app.api.status import OneStatus
from app.blocklist.standing import Status
from app.cli import service, web
from app.core import config
from app.core.config import Settings

from .ground import Plan

if TYPE_CHECKING:
    from litestar.types import ASGIApp

ANSWER = OneStatus(
    imei="350000006119530", status=Status.CLEAR, since=None, reason=None, reference=None, version=0, as_of=1
)


class Bare(NamedTuple):
    """The running server: where it answers, and its first process."""

    url: str
    pid: int


@get("/v1/status/{imei:str}")
async def ask_one(imei: FromPath[str]) -> OneStatus:
    return ANSWER


def application() -> ASGIApp:
    return Litestar(route_handlers=[ask_one], openapi_config=None, logging_config=None)


@asynccontextmanager
async def serving(plan: Plan) -> AsyncIterator[Bare]:
    settings = await service.with_port(Settings(data_dir=plan.folder, port=0))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        env={**os.environ, "IMEI_GATEWAY_PORT": str(settings.port), "IMEI_GATEWAY_FOLLOW_INPUT": "1"},
    )
    url = f"http://{settings.host}:{settings.port}"
    try:
        await asyncio.to_thread(_answers, f"{url}/v1/status/{ANSWER.imei}")
        yield Bare(url, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str, within: float = 30) -> None:
    """Waits for the first answer."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.status == 200
            return
        time.sleep(0.05)
    raise TimeoutError(f"Nothing answers at {url}.")


if __name__ == "__main__":
    service.follow_input()
    web.serve(config.load(), application)
