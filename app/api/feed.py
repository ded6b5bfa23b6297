"""The block list for those who keep a copy of it: what changed, in order, as soon as it is decided."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access.roles import Permission, Principal
from app.api.caller import actor
from app.api.notes import Notes
from app.api.problems import AnyRequest
from app.blocklist import feed
from app.blocklist.feed import Change, Page
from app.blocklist.tail import Tail
from app.core.db import Pool
from app.core.errors import Flaw, Invalid

MOST = 10_000
LONGEST_WAIT = 60
CLOUDEVENTS = "application/cloudevents-batch+json"


class Changes(msgspec.Struct, frozen=True):
    """Changes in order, none twice and none left out. Ask for what follows with `cursor`, also where `changes` is
    empty. `as_of` is how far the block list has come: at `reached` = `as_of` there is nothing more for now."""

    changes: list[Change]
    cursor: str
    reached: int
    as_of: int


class CloudEvent(msgspec.Struct, frozen=True):
    """A change as a CloudEvent (1.0, JSON)."""

    id: str
    source: str
    time: datetime
    data: Change
    specversion: str = "1.0"
    type: str = "imei-gateway.blocklist.changed"
    datacontenttype: str = "application/json"


Cursor = Annotated[
    str | None,
    QueryParameter(
        description="Where the last answer ended; without it, from the first change that is kept."
    ),
]
Wait = Annotated[
    int,
    QueryParameter(
        ge=0, le=LONGEST_WAIT, description="Seconds to wait for a change where there is none yet."
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many changes at most.")]


@get(
    "/changes",
    operation_id="followBlocklist",
    summary="What changed on the block list, in order",
    opt=Notes(
        needs=Permission.BLOCKLIST_READ,
        gone="The changes after this cursor are not kept any more: read the whole list, and go on from there.",
        form=Changes,
        forms={CLOUDEVENTS: list[CloudEvent]},
        link='What follows (rel="next").',
    ).opt,
)
async def follow(
    request: AnyRequest,
    asker: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    tail: NamedDependency[Tail],
    cursor: Cursor = None,
    wait: Wait = 0,
    limit: Limit = 1000,
) -> Response[Any]:
    """With `wait`, the answer comes as soon as something changes. As a batch of CloudEvents where `Accept` asks for
    `application/cloudevents-batch+json`; the cursor is then in the header `Link` (rel="next") alone."""
    after = None if cursor is None else _position(cursor)
    page = await _page(pool, after, limit)
    if not page.changes and wait:
        await tail.beyond(page.reached, wait)
        # A key that was revoked meanwhile, or a token that is over, is told nothing more.
        (await actor(request)).require(Permission.BLOCKLIST_READ)
        page = await _page(pool, page.reached, limit)
    following = feed.cursor_of(page.reached)
    headers = {"Link": f'</v1/blocklist/changes?cursor={following}>; rel="next"'}
    if CLOUDEVENTS in request.headers.get("accept", ""):
        events = [_event(change) for change in page.changes]
        return Response(msgspec.json.encode(events), media_type=CLOUDEVENTS, headers=headers)
    return Response(Changes(page.changes, following, page.reached, page.as_of), headers=headers)


async def _page(pool: Pool, after: int | None, limit: int) -> Page:
    async with pool.acquire(timeout=10) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        return await feed.changes(conn, after, limit)


def _position(cursor: str) -> int:
    position = feed.position_of(cursor)
    if position is None:
        detail = "it is not a cursor of ours; it would be one that an answer gave"
        raise Invalid(
            f"The query cannot be read: cursor: {detail}.", "query-wrong", (Flaw(detail, "cursor"),)
        )
    return position


def _event(change: Change) -> CloudEvent:
    return CloudEvent(str(change.position), "/v1/blocklist", change.at, change)
