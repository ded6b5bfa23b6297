"""Alerts over HTTP: what a person should look at now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from app.access.roles import Permission, Principal
from app.alerts import alert
from app.alerts.alert import Alert
from app.api.notes import Notes
from app.api.once import Once
from app.api.receipts import Cursor, Limit
from app.core.db import Connection
from app.core.reach import Sight


class AlertPage(msgspec.Struct, frozen=True):
    """Alerts, oldest first; `next` is the cursor of the next page, null on the last."""

    alerts: list[Alert]
    next: str | None


class Looked(msgspec.Struct, frozen=True):
    """False: somebody had looked before."""

    changed: bool


@get("/", operation_id="listAlerts", summary="What a person should look at now")
async def search(
    *,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    seen: Annotated[bool, QueryParameter(description="Those at which somebody has looked too.")] = False,
    limit: Limit = 100,
    after: Cursor = 0,
) -> AlertPage:
    """The same thing is one alert until somebody has looked, and counts on it; `concerns` is the manager of the
    incident."""
    async with sight.acquire() as conn:
        found = await alert.listed(conn, actor, seen=seen, after=after, limit=limit)
    return AlertPage(found, str(found[-1].id) if len(found) == limit else None)


@post(
    "/{alert_id:int}/see",
    operation_id="seeAlert",
    status_code=200,
    summary="Say that somebody has looked",
    opt=Notes(needs=Permission.ALERTS_WRITE).opt,
)
async def see(
    alert_id: FromPath[int],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Looked]:
    """The same thing will raise a new alert from now on."""

    async def work(conn: Connection) -> Looked:
        return Looked(await alert.see(conn, actor, alert_id, now))

    return await once(work)


router = Router("/v1/alerts", route_handlers=[search, see], tags=["Alerts"])
