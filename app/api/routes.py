"""The application: every route, and what all share. What it needs to run comes from `app/server.py`."""

from __future__ import annotations

from functools import cache
from typing import Any

from litestar import Litestar, MediaType, Response, get
from litestar.types import ControllerRouterHandler

from app.api import audit, devices, docs, health, incidents, openapi, partners, receipts, status
from app.api.dialects import n5g_eir
from app.api.door import DEPENDENCIES
from app.api.guards import well_formed
from app.api.problems import HANDLERS, AnyRequest

_ROUTES: list[ControllerRouterHandler] = [
    receipts.router, devices.router, incidents.router, status.router, n5g_eir.router, partners.router,
    partners.kinds, audit.router, health.router,
]  # fmt: skip
_HTML_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@get("/openapi.json", include_in_schema=False)
async def openapi_document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI document as a machine wants it."""
    return Response(openapi.text(request.app), media_type=MediaType.JSON)


@get("/docs", include_in_schema=False)
async def docs_page(request: AnyRequest) -> Response[bytes]:
    """The same for people: one page, no script, nothing from elsewhere."""
    return Response(
        _page(request.app), media_type=MediaType.HTML, headers={"Content-Security-Policy": _HTML_POLICY}
    )


@cache
def _page(app: Litestar) -> bytes:
    return docs.page(openapi.document(app))


def application(**running: Any) -> Litestar:
    """The application; without what it needs to run it can only be asked for its OpenAPI document."""
    return Litestar(
        route_handlers=[*_ROUTES, openapi_document, docs_page],
        dependencies=DEPENDENCIES,
        exception_handlers=HANDLERS,
        before_request=well_formed,
        openapi_config=None,
        logging_config=None,
        **running,
    )
