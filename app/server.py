"""The web process: the API on pools of its own. What it keeps is who has asked, until that is written down; run as many
as you need.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from app.access import bearers
from app.access.passwords import Hashing
from app.access.quotas import Quotas
from app.api.express import express
from app.api.figures import Figures
from app.api.leftovers import heard_out
from app.api.methods import every_method
from app.api.routes import OPTIONS, application
from app.api.silence import end_silence
from app.api.watch import watched
from app.api.watchers import Watchers
from app.blocklist.enquiry import ANSWER_WITHIN, Enquiries
from app.blocklist.export import Exports
from app.blocklist.lookout import Lookout
from app.blocklist.tail import Tail
from app.core import config, keyring, log
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import open_pool
from app.core.gather import Gathered
from app.epcis.carry import Carry
from app.evidence.make import Packs
from app.incidents.tidings import carry as carried

# Connections: for look-ups, and for all else.
LOOK_UPS, POOL_SIZE = 6, 8
# Seconds for a statement that looks up: nobody waits for it any longer then.
LOOK_UP = 5.0
_NAME = "imei-gateway-web"
LAST = 5.0
"""Seconds in which a process that ends writes down who has asked."""
# How many objects more than there were are looked through for rings, and how often those before them.
_GARBAGE = 20_000, 20, 20


def create(settings: Settings, now: Callable[[], datetime] = utc_now, carry: Carry = carried) -> Litestar:
    """The application on `settings.database_url`, which must be migrated. `carry` carries out what single events
    mean; the worker has the same for captures."""

    @asynccontextmanager
    async def database(app: Litestar) -> AsyncIterator[None]:
        pool = await open_pool(settings.database_url, size=POOL_SIZE, application_name=_NAME)
        look_ups = await open_pool(
            settings.database_url,
            size=LOOK_UPS,
            application_name=_NAME,
            look_ups=True,
            command_timeout=LOOK_UP,
        )
        app.state.pool, app.state.watchers = pool, Watchers(pool)
        app.state.tail, app.state.exports = Tail(pool), Exports(pool, time.monotonic)
        app.state.packs = Packs(pool, settings, now)
        app.state.figures = Figures(pool, time.monotonic)
        app.state.quotas = Quotas(pool, time.monotonic)
        app.state.hashing = Hashing(secrets.token_bytes)
        app.state.doorman = Gathered(look_ups, bearers.recognised, within=ANSWER_WITHIN)
        lookout, stopping = Lookout(pool, now), asyncio.Event()
        app.state.enquiries = Enquiries(look_ups, lookout)
        ending = asyncio.create_task(end_silence(settings.port))
        writing = asyncio.create_task(lookout.run(stopping))
        try:
            yield
        finally:
            ending.cancel()
            stopping.set()
            app.state.hashing.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(writing, LAST)
            await asyncio.gather(pool.close(), look_ups.close())

    secret_keys = keyring.load(settings, secrets.token_bytes)
    given = {"settings": settings, "now": now, "carry": carry, "keyring": secret_keys}
    state = State({**given, "proxies": config.networks(settings)})
    return application(lifespan=[database], request_max_body_size=settings.max_body, state=state)


def asgi() -> ASGIApp:
    """The factory that granian calls in its worker, with settings from the environment."""
    settings = config.load()
    log.set_up(settings.log_level)
    app = create(settings)
    answering = watched(express(app, heard_out(every_method(app, OPTIONS))), settings.public_url)
    # All of this stays: searched for garbage again and again it took a fifth of the time, and 80 ms at a stretch.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    return answering
