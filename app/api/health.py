"""Whether we live, whether we can serve, and the figures that a monitoring system collects."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.alerts.alert import open_
from app.api.notes import Notes
from app.api.watch import REGISTRY
from app.core.db import Pool
from app.core.errors import Unavailable
from app.core.migrate import pending
from app.core.sql import queries
from app.delivery.progress import outstanding

READY_WITHIN = 2.0
_SQL = queries("health")
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
async def metrics(pool: NamedDependency[Pool]) -> Response[bytes]:
    async with pool.acquire(timeout=10) as conn:
        rows = await conn.fetch(_SQL.gauges)
        left = await outstanding(conn)
        waiting = await conn.fetchrow(_SQL.waiting)
        alerts = await open_(conn)
    partners = [{**row, **msgspec.structs.asdict(left[row["partner_id"]])} for row in rows]
    asked = CollectorRegistry()
    for name, text in _GAUGES.items():
        gauge = Gauge(f"imei_gateway_partner_{name}", text, ["partner"], registry=asked)
        for figures in partners:
            gauge.labels(figures["partner"]).set(figures[name])
    for name, text in _WAITING.items():
        Gauge(name, text, registry=asked).set(waiting[name.removeprefix("imei_gateway_")] if waiting else 0)
    Gauge("imei_gateway_alerts_open", "Alerts that nobody has looked at", registry=asked).set(alerts)
    return Response(
        generate_latest(REGISTRY) + generate_latest(asked), headers={"content-type": CONTENT_TYPE_LATEST}
    )


_GAUGES = {
    "pending": "Identifiers that the partner is still to be told",
    "parked": "Identifiers whose orders were given up until somebody has them told again",
    "refused": "Identifiers that the partner refused",
    "accepted": "Identifiers that the partner accepted, and that wait for its confirmation",
    "paused": "1 while the partner is paused",
    "failures": "Failed calls in a row; from 5 on its breaker is open",
}

_WAITING = {
    "imei_gateway_audit_unsealed": "Audit entries that wait for the sealer",
    "imei_gateway_captures_waiting": "EPCIS captures that are not finished",
}

router = Router("/", route_handlers=[live, ready, metrics], tags=["Health"])
