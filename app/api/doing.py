"""How a route does what may take several people: at once; or the answer is 202, and the proposal that waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from litestar import Response

from app.access.roles import Principal
from app.core.db import Connection
from app.proposals import decide
from app.proposals.deed import Deed, Means
from app.proposals.proposal import Proposal


class Doing:
    """Who does it, with what, and when."""

    def __init__(self, actor: Principal, means: Means, now: datetime) -> None:
        self._actor = actor
        self._means = means
        self._now = now

    async def __call__(self, conn: Connection, deed: Deed) -> Any:
        """What the deed gives, or a Proposal."""
        return await decide.do_or_propose(conn, self._actor, deed, self._means, self._now)


def place(waiting: Proposal) -> str:
    """Where it can be read."""
    return f"/v1/proposals/{waiting.id}"


def told(found: Any, status: int, location: str = "") -> Response[Any]:
    """The answer to what was done, or what waits."""
    if isinstance(found, Proposal):
        status, location = 202, place(found)
    return Response(found, status_code=status, headers={"Location": location} if location else {})
