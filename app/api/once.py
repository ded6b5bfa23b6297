"""Exactly once: with an Idempotency-Key, an answer is kept with the work that it answers, and a repeat is given it.

draft-ietf-httpapi-idempotency-key-header. A route that takes `once` takes the header; others pass over it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from litestar import Response

from app.api import body, doing, notes
from app.api.problems import MEDIA_TYPE, AnyRequest, Problem, respond
from app.core.db import Connection
from app.core.errors import Flaw, GatewayError, Invalid
from app.core.reach import Sight
from app.proposals.proposal import Proposal
from app.replies import reply
from app.replies.reply import Call, Reply

T = TypeVar("T")

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
# Told to callers, and kept to: a text of RFC 9651, or a bare word.
PATTERN = r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--~]{1,255})$'

_KEY = re.compile(PATTERN)
_ESCAPED = re.compile(r"\\(.)")
# A form has another one each time it is sent.
_BOUNDARY = re.compile(r";\s*boundary=(\"[^\"]*\"|[^;]*)", re.IGNORECASE)


class Once:
    """The way into a transaction for a route that changes something. An answer that shows a secret must not go
    this way: with a key it is kept as it is."""

    def __init__(
        self, request: AnyRequest, sight: Sight, sender: str, now: datetime, kept_for: timedelta
    ) -> None:
        self._request = request
        self._sight = sight
        self._sender = sender
        self._now = now
        self._kept_until = now + kept_for
        self._key = _key(request.headers.getall(HEADER, []))

    async def __call__(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        location: Callable[[T], str] | None = None,
        also: tuple[type[Exception], ...] = (),
    ) -> Response[T]:
        """What `work(conn)` returns, committed and then told; `location` names where it can be read. What waits for
        others is answered with 202. For `also`, and what the work must bear, see `transaction`. Raises reply.InFlight,
        reply.Reused."""

        def answer(found: T) -> Reply:
            status, where = self._status, ""
            if isinstance(found, Proposal) and notes.of(self._request.route_handler).proposes:
                status, where = 202, doing.place(found)
            elif location:
                where = location(found)
            headers = {"Content-Type": "application/json", **({"Location": where} if where else {})}
            return Reply(status, headers, msgspec.json.encode(found))

        return await self._done(work, answer, also)

    async def located(
        self,
        work: Callable[[Connection], Awaitable[T]],
        location: Callable[[T], str],
        *,
        also: tuple[type[Exception], ...] = (),
    ) -> Response[None]:
        """The same, where only the place of what was made is told."""

        def answer(found: T) -> Reply:
            return Reply(self._status, {"Content-Type": "text/plain", "Location": location(found)}, b"")

        return await self._done(work, answer, also)

    @property
    def _status(self) -> int:
        status: int = self._request.route_handler.status_code
        return status

    async def _done(
        self,
        work: Callable[[Connection], Awaitable[T]],
        answer: Callable[[T], Reply],
        also: tuple[type[Exception], ...] = (),
    ) -> Response[Any]:
        async def replying(conn: Connection) -> Reply:
            return answer(await work(conn))

        if self._key is None:
            return _response(answer(await self._sight.transaction(work, also=also)))
        call = await self._call(self._key)
        kept = await self._sight.transaction(
            lambda conn: reply.once(conn, call, replying, self._refusal), also=also
        )
        return _response(kept)

    def _refusal(self, error: GatewayError) -> Reply:
        """As the dialect of the route says it."""
        say = self._request.route_handler.resolve_exception_handlers()[GatewayError]
        told: Response[bytes] = say(self._request, error)
        return Reply(
            told.status_code or error.status, {"Content-Type": MEDIA_TYPE, **told.headers}, told.content
        )

    async def _call(self, key: str) -> Call:
        request, scope = self._request, self._request.scope
        target = f"{request.method} {scope['path']}"
        sent_as = _BOUNDARY.sub("", request.headers.get("content-type", ""))
        sent = [target, scope["query_string"], sent_as, await body.digest(request)]
        sent += request.headers.getall("content-encoding", [])
        digest = hashlib.sha256(msgspec.json.encode(sent)).digest()
        return Call(self._sender, target, key, digest, self._now, self._kept_until)


def _key(sent: list[str]) -> str | None:
    """The key, without its quotes. Raises Invalid."""
    if not sent:
        return None
    if len(sent) == 1 and _KEY.fullmatch(sent[0]):
        return _ESCAPED.sub(r"\1", sent[0][1:-1]) if sent[0].startswith('"') else sent[0]
    was = f"stands in the request {len(sent)} times" if len(sent) > 1 else "cannot be read"
    right = (
        "1 to 255 printable ASCII characters, between double quotes if a space, a comma or a double quote is"
        " among them"
    )
    raise Invalid(
        f"The header {HEADER} {was}; it would be there once, with {right}.",
        "idempotency-key-malformed",
        (Flaw(f"it would be {right}", HEADER, "idempotency-key-malformed"),),
    )


def _response(told: Reply) -> Response[Any]:
    headers = {REPLAYED: "true"} if told.repeated else {}
    if told.body is None:
        return _not_kept(told, headers)
    return Response(told.body, status_code=told.status, headers={**told.headers, **headers})


def _not_kept(told: Reply, headers: dict[str, str]) -> Response[bytes]:
    place = told.headers.get("Location")
    where = f"; what came of it can be read at {place}" if place else ""
    text = (
        f"This request was done before, and answered with {told.status}. That answer was larger than"
        f" {reply.LARGEST:,} bytes and is not kept{where}."
    )
    if place:
        headers = {**headers, "Location": place}
    return respond(410, Problem("Answered before", 410, text, "answer-not-kept"), headers)
