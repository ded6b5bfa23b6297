"""Pages as EPCIS has them: `perPage`, `nextPageToken`, and a link to the next page in a header."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from litestar.params import QueryParameter

from app.api.problems import AnyRequest
from app.epcis.members import written

PerPage = Annotated[
    int, QueryParameter(name="perPage", ge=1, le=1000, description="The most items on a page.")
]
NextPageToken = Annotated[
    int | None,
    QueryParameter(
        name="nextPageToken", ge=0, le=2**62, description="From the `Link` header of the page before."
    ),
]
# A token is a place in an order that never changes, so it is good for longer than is promised.
_PROMISED = timedelta(days=1)


def next_page(request: AnyRequest, token: int | None, now: datetime) -> dict[str, str]:
    """The headers that lead on; none on the last page."""
    if token is None:
        return {}
    asked = parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True)
    kept = [(name, value) for name, value in asked if name != "nextPageToken"]
    query = urlencode([*kept, ("nextPageToken", str(token))])
    return {
        "Link": f'<{request.scope["path"]}?{query}>; rel="next"',
        "GS1-Next-Page-Token-Expires": written(now + _PROMISED),
    }
