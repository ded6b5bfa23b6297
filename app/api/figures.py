"""The figures that a monitoring system collects: made once in a while, whoever asks and how often, because the process
that makes them answers carriers, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import asyncpg
import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from app.alerts.alert import open_
from app.api.watch import REGISTRY
from app.core.db import Connection, Pool
from app.core.sql import queries
from app.delivery.progress import Outstanding, outstanding

KEPT = 2.0
"""Seconds for which the figures stay as they are."""

_SQL = queries("health")
_PARTNER = {
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


class Figures:
    """Those of one process and of the database. `clock` is monotonic, in seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self._making = asyncio.Lock()
        self._text = b""
        self._made_at = -KEPT

    async def text(self) -> bytes:
        """The figures in the text format of Prometheus. Raises what the database raises."""
        async with self._making:
            if self._clock() >= self._made_at + KEPT:
                self._text = await self._made()
                self._made_at = self._clock()
            return self._text

    async def _made(self) -> bytes:
        async with self._pool.acquire(timeout=10) as conn:
            asked = await _asked(conn)
        # Beside the event loop: it takes as long as a hundred answers.
        return await asyncio.to_thread(_written, asked)


class Asked(NamedTuple):
    """What the database says."""

    partners: list[asyncpg.Record]
    left: Mapping[int, Outstanding]
    waiting: asyncpg.Record | None
    alerts: int


async def _asked(conn: Connection) -> Asked:
    return Asked(
        await conn.fetch(_SQL.gauges),
        await outstanding(conn),
        await conn.fetchrow(_SQL.waiting),
        await open_(conn),
    )


def _written(asked: Asked) -> bytes:
    registry = CollectorRegistry()
    partners = [{**row, **msgspec.structs.asdict(asked.left[row["partner_id"]])} for row in asked.partners]
    for name, text in _PARTNER.items():
        gauge = Gauge(f"imei_gateway_partner_{name}", text, ["partner"], registry=registry)
        for figures in partners:
            gauge.labels(figures["partner"]).set(figures[name])
    for name, text in _WAITING.items():
        waits = asked.waiting[name.removeprefix("imei_gateway_")] if asked.waiting else 0
        Gauge(name, text, registry=registry).set(waits)
    Gauge("imei_gateway_alerts_open", "Alerts that nobody has looked at", registry=registry).set(asked.alerts)
    return generate_latest(REGISTRY) + generate_latest(registry)
