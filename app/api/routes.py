"""The application: every route, and what all share. What it needs to run comes from `app/server.py`."""

from __future__ import annotations

import re
from functools import lru_cache
from operator import attrgetter
from typing import Any

from litestar import Litestar, MediaType, Response, get
from litestar.di import NamedDependency
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler

from app.api import (
    alerts,
    audit,
    blocklist,
    devices,
    docs,
    evidence,
    golden,
    health,
    incidents,
    mappings,
    movements,
    oauth,
    openapi,
    partners,
    people,
    previews,
    proposals,
    receipts,
    rules,
    sessions,
    sightings,
    sign_on,
    status,
    tacs,
    tiles,
)
from app.api.dialects import camara, device_check, epcis, n5g_eir
from app.api.dialects.epcis import speech
from app.api.door import DEPENDENCIES
from app.api.guards import well_formed
from app.api.problems import AnyRequest, in_dialects
from app.core.config import Settings

_ROUTES: list[ControllerRouterHandler] = [
    receipts.router, mappings.router, movements.router, devices.router, tacs.router, incidents.router,
    evidence.router, previews.router, golden.router, status.router, blocklist.router, sightings.router,
    alerts.router, n5g_eir.router, camara.router, device_check.router, epcis.router,
    partners.router, partners.kinds, rules.router, proposals.router, oauth.router, sessions.router, sign_on.router,
    people.router, people.enrolments, audit.router, tiles.router, health.router,
]  # fmt: skip
_DIALECTS = (n5g_eir.DIALECT, camara.DIALECT, device_check.DIALECT, speech.DIALECT, oauth.DIALECT)
# Paths that answer OPTIONS with more than their methods.
OPTIONS = frozenset(("/epcis/capture",))
_HTML_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_DEFAULT_HOST = "127.0.0.1:8470"


@get("/openapi.json", include_in_schema=False)
async def openapi_document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI document as a machine wants it."""
    return Response(openapi.text(request.app), media_type=MediaType.JSON)


@get("/docs", include_in_schema=False)
async def docs_page(request: AnyRequest, settings: NamedDependency[Settings]) -> Response[bytes]:
    """The same for people: one page, no script, nothing from elsewhere."""
    return Response(
        _page(request.app, settings.public_url.rstrip("/") or _asked_at(request)),
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": _HTML_POLICY},
    )


@lru_cache(maxsize=16)
def _page(app: Litestar, address: str) -> bytes:
    return docs.page(openapi.document(app), address)


def _asked_at(request: AnyRequest) -> str:
    """The address that the request named, for examples; ours by default where that is none."""
    host = request.headers.get("host", "")
    return f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else _DEFAULT_HOST}"


@get("/", include_in_schema=False)
async def home() -> Response[None]:
    """For whoever opens the printed address in a browser."""
    return Response(None, status_code=307, headers={"Location": "/docs"})


def application(**running: Any) -> Litestar:
    """The application; without what it needs to run it can only be asked for its OpenAPI document."""
    app = Litestar(
        route_handlers=[*_ROUTES, openapi_document, docs_page, home],
        dependencies=DEPENDENCIES,
        exception_handlers=in_dialects(_DIALECTS),
        before_request=well_formed,
        openapi_config=None,
        logging_config=None,
        **running,
    )
    _resolve_in_turn(app)
    return app


def _resolve_in_turn(app: Litestar) -> None:
    """Dependencies are resolved one after another. By itself the framework starts a task for each of those that need
    not wait for each other, and of ours all but one in a request are there at once."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for _, model in route.route_handler_map.values():
                in_turn = (sorted(batch, key=attrgetter("key")) for batch in model.dependency_batches)
                model.dependency_batches = [{one} for batch in in_turn for one in batch]
