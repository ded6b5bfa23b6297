"""Whether we live, whether we can serve, and what a monitoring system collects."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.figures import Figures
from app.api.notes import Notes
from app.core.db import Pool
from app.core.errors import Unavailable
from app.core.migrate import pending

READY_WITHIN = 2.0
_OPEN = Notes(open=True, any_query=True).opt


class Health(msgspec.Struct, frozen=True):
    status: str


@get("/health/live", operation_id="checkLife", summary="Is the process alive?", opt=_OPEN)
async def live() -> Health:
    return Health("live")


@get("/health/ready", operation_id="checkReadiness", summary="Can it serve?", opt=_OPEN)
async def ready(pool: NamedDependency[Pool]) -> Health:
    """503 while the database is away or its schema is behind."""
    async with asyncio.timeout(READY_WITHIN), pool.acquire() as conn:
        behind = await pending(conn)
    if behind:
        raise Unavailable(
            f"The schema is behind: run 'imei-gateway migrate' ({', '.join(behind)}).", "schema-behind"
        )
    return Health("ready")


@get(
    "/metrics",
    operation_id="readMetrics",
    summary="Figures for Prometheus",
    opt=Notes(open=True, any_query=True, answer="text/plain").opt,
    media_type="text/plain",
)
async def metrics(figures: NamedDependency[Figures]) -> Response[bytes]:
    """At most two seconds old: whoever asks more often is told the same again."""
    return Response(await figures.text(), headers={"content-type": CONTENT_TYPE_LATEST})


router = Router("/", route_handlers=[live, ready, metrics], tags=["Health"])
