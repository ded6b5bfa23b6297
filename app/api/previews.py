"""Previews over HTTP: what a scope comes to, before anything is written down."""

from __future__ import annotations

from datetime import datetime

from litestar import Router, post
from litestar.di import NamedDependency

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.core.config import Settings
from app.core.reach import Sight
from app.incidents import guards
from app.incidents.guards import DryRun
from app.incidents.preview import Preview


@post(
    "/",
    operation_id="previewIncident",
    status_code=200,
    summary="Look at what a scope comes to",
    request_max_body_size=body.SCOPE,
    opt=Notes(needs=Permission.INCIDENTS_WRITE).opt,
)
async def look(
    said: NamedDependency[DryRun],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Preview:
    """A dry run: the preview that a draft would show, and nothing is kept of it."""
    async with sight.acquire() as conn, conn.transaction():
        return await guards.dry_run(conn, actor, said, now, guards.bounds(settings))


router = Router("/v1/incidents/preview", route_handlers=[look], tags=["Incidents"])
