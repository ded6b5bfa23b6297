"""The web process: the API on a pool of its own. It keeps no state; run as many as you need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.types import ASGIApp, ControllerRouterHandler

from app.api import audit, devices, docs, health, incidents, openapi, partners, receipts, status
from app.api.dialects import n5g_eir
from app.api.door import DEPENDENCIES
from app.api.problems import HANDLERS
from app.api.watch import watched
from app.blocklist.ask import Counter
from app.core import config, log
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import open_pool

POOL_SIZE = 12
_ROUTES: list[ControllerRouterHandler] = [
    receipts.router, devices.router, incidents.router, status.router, n5g_eir.router, partners.router,
    partners.kinds, audit.router, health.live, health.ready, health.metrics,
]  # fmt: skip


@get("/openapi.json", include_in_schema=False, security=[{}])
async def openapi_document(state: State) -> Response[bytes]:
    """The OpenAPI document as a machine wants it."""
    return Response(openapi.text(state.app), media_type="application/json")


@get("/docs", include_in_schema=False)
async def docs_page(state: State) -> Response[bytes]:
    """The same for people: one page, no script, nothing from elsewhere."""
    return Response(
        docs.page(openapi.document(state.app)),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


def create(settings: Settings, now: Callable[[], datetime] = utc_now) -> Litestar:
    """The application on `settings.database_url`, which must be migrated."""

    @asynccontextmanager
    async def database(app: Litestar) -> AsyncIterator[None]:
        pool = await open_pool(settings.database_url, size=POOL_SIZE, application_name="imei-gateway-web")
        app.state.pool, app.state.counter = pool, Counter(pool)
        try:
            yield
        finally:
            await pool.close()

    app = describe(settings, now)
    app._lifespan_managers.append(database)
    return app


def describe(settings: Settings | None = None, now: Callable[[], datetime] = utc_now) -> Litestar:
    """The application's routes, without a database: for its OpenAPI document."""
    app = Litestar(
        route_handlers=[*_ROUTES, openapi_document, docs_page],
        dependencies=DEPENDENCIES,
        exception_handlers=HANDLERS,
        openapi_config=openapi.config(),
        request_max_body_size=settings.max_body if settings else None,
        state=State({"settings": settings, "now": now}),
    )
    app.state.app = app
    return app


def asgi() -> ASGIApp:
    """The factory that granian calls in its worker, with settings from the environment."""
    settings = config.load()
    log.set_up(settings.log_level)
    return watched(create(settings))
