"""The face of a witness: two addresses of C2SP tlog-witness over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import web

from app.core import log
from app.core.errors import Missing
from app.witness import cosign
from app.witness.memory import Memory

MOST_BODY = 64 * 1024
_MEMORY = web.AppKey("memory", Memory)
_NOW: web.AppKey[Callable[[], datetime]] = web.AppKey("now")

_LOG = log.get("witness")


@asynccontextmanager
async def serving(memory: Memory, host: str, port: int, now: Callable[[], datetime]) -> AsyncIterator[str]:
    """The address at which a witness answers for as long as the block lasts. Port 0 takes a free one. OSError where it
    cannot listen."""
    app = web.Application(client_max_size=MOST_BODY)
    app[_MEMORY], app[_NOW] = memory, now
    app.router.add_post("/add-checkpoint", _add)
    app.router.add_get("/{name:[0-9a-f]{64}}/checkpoint", _last)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _add(request: web.Request) -> web.Response:
    # Nothing else runs between what is compared and what is kept: there is no await in there.
    body, at = await request.read(), request.app[_NOW]()
    said = cosign.add(request.app[_MEMORY], body, int(at.timestamp()))
    if said.status != 200:
        _LOG.warning("witness.refused", status=said.status, why=said.text.strip())
    return web.Response(status=said.status, text=said.text, headers={"Content-Type": said.media_type})


async def _last(request: web.Request) -> web.Response:
    try:
        return web.Response(text=request.app[_MEMORY].shown(request.match_info["name"]))
    except Missing as error:
        return web.Response(status=404, text=f"{error.detail}\n")
