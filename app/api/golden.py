"""Golden identifiers over HTTP: what is never blocked, why, and who said so."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.once import Once
from app.api.receipts import Limit
from app.blocklist import golden
from app.blocklist.golden import Additions, Golden
from app.core.db import Connection, Pool

_HELD = (
    "Something of it is suspect or blocked now: the incidents that hold it are named, and nothing was added."
)
_AFTER = "The digits after which to go on: `next` of the page before."


class GoldenPage(msgspec.Struct, frozen=True):
    """What is golden, by its digits; `next` leads to the next page, null on the last."""

    golden: list[Golden]
    next: str | None


class Added(msgspec.Struct, frozen=True):
    """What became golden, and was not before."""

    added: list[str]


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be blocked again, and why; the reason stays on the record."""

    digits: str
    reason: str


class Removed(msgspec.Struct, frozen=True):
    digits: str


@get("/", operation_id="listGolden", summary="What is never blocked")
async def search(
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    limit: Limit = 1000,
    after: Annotated[str, QueryParameter(description=_AFTER)] = "",
) -> GoldenPage:
    """Identifiers (14 digits), TACs (8) and reporting bodies (2) that no incident claims, whoever names them: a scope
    leaves their devices out, and its preview says so (`spared`)."""
    async with pool.acquire(timeout=10) as conn:
        found = await golden.listed(conn, actor, after=after, limit=limit)
    return GoldenPage(found, found[-1].digits if len(found) == limit else None)


@post(
    "/",
    operation_id="addGolden",
    status_code=200,
    summary="Say what is never to be blocked",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_HELD, needs=Permission.GOLDEN_WRITE).opt,
)
async def add(
    said: NamedDependency[Additions],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Added]:
    """Test handsets, specimens of the laboratory, test ranges. What is golden already stays as it is."""

    async def work(conn: Connection) -> Added:
        return Added(await golden.add(conn, actor, said, now))

    return await once(work)


@post(
    "/remove",
    operation_id="removeGolden",
    status_code=200,
    summary="Let it be blocked again",
    request_max_body_size=body.FEW,
    opt=Notes(needs=Permission.GOLDEN_WRITE, missing="It is not golden.").opt,
)
async def remove(
    said: NamedDependency[Removal],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Removed]:
    async def work(conn: Connection) -> Removed:
        await golden.remove(conn, actor, said.digits, said.reason, now)
        return Removed(said.digits)

    return await once(work)


router = Router("/v1/golden", route_handlers=[search, add, remove], tags=["Incidents"])
