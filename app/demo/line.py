"""How the people of the night speak: to the gateway and to the practice partners, over HTTP like anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from app.core.errors import Unavailable

PATIENCE = 300.0


class Answer(NamedTuple):
    """A status, and the JSON that came with it."""

    status: int
    said: Any


class Line:
    """A line to one server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, method: str, path: str, key: str = "", said: object = None) -> Answer:
        """Whatever comes back, a refusal too. Raises Unavailable where nothing does."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            reply = await self._client.request(method, path, headers=headers, json=said)
        except httpx.HTTPError as error:
            raise Unavailable(f"{method} {path} was not answered: {error!r}") from None
        is_json = "json" in reply.headers.get("content-type", "")
        return Answer(reply.status_code, reply.json() if is_json else reply.text)

    async def told(self, method: str, path: str, key: str = "", said: object = None) -> Any:
        """What a question that must succeed brings. Raises Unavailable with the refusal."""
        answer = await self.ask(method, path, key, said)
        if not 200 <= answer.status < 300:
            raise Unavailable(f"{method} {path} was answered with {answer.status}: {answer.said}")
        return answer.said


@asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """A line to the server at `url`; no proxy of the environment stands between."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        yield Line(client)
