"""Bodies: plain bytes within a limit and a time, and JSON that is strictly JSON and of the form that is asked
for. A large body is first read as that form alone: what else it might hold never becomes a Python value.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from litestar.types import Scope

from app.api import flaws
from app.api.problems import AnyRequest, NotTaken, TooSlow
from app.core import strict
from app.core.errors import Invalid, TooLarge, Unavailable
from app.core.imei import shown

# What a route that wants a few words takes, and one that wants a scope: a million IMEIs or SSCCs.
FEW = 64 * 1024
SCOPE = 24 * 2**20

# Seconds that we wait for a body in all, and one more for every so many bytes that have come.
GRACE = 10.0
PACE = 16 * 1024

# Bytes of bodies that are held at once, in all; one of a few words passes in any case.
MOST_HELD = 256 * 2**20
_holding: dict[int, int] = {}

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json")
# What a text with a NUL, or a number beyond 64 bits, cannot do without.
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9]{19}")
# What a time that cannot be said in UTC begins with.
_EDGE_OF_TIME = re.compile(rb'"(?:0001-01-01|9999-12-31)')


def coding(request: AnyRequest, taken: Sequence[str] = ()) -> str:
    """The content coding of the body, '' for none. Raises NotTaken for any but those that are `taken`."""
    said = ", ".join(request.headers.getall("content-encoding", [])).strip().lower()
    if said in ("", "identity"):
        return ""
    if said in taken:
        return said
    right = f", or in one content coding: {', '.join(taken)}" if taken else ""
    text = f"The body is compressed ('{shown(said)}'); it would be sent as it is{right}."
    raise NotTaken(text, "body-compressed", {"Accept-Encoding": ", ".join(taken) or "identity"})


async def stream(request: AnyRequest, limit: int, codings: Sequence[str] = ()) -> AsyncIterator[bytes]:
    """The body in parts, as it comes on the wire; one in one of the `codings` is the caller's to unpack. Raises
    NotTaken for one that is compressed otherwise, TooLarge beyond `limit` bytes, TooSlow, and Invalid where the
    client leaves before the end."""
    coding(request, codings)
    too_large = TooLarge(
        f"The body is larger than {limit:,} bytes, the most that is taken here.", "body-too-large"
    )
    if (request.content_length or 0) > limit:
        raise too_large
    received, read = 0, hashlib.sha256()
    async for part in _received(request):
        received += len(part)
        if received > limit:
            raise too_large
        read.update(part)
        yield part
    request.state.body_digest = read.digest()


async def _received(request: AnyRequest) -> AsyncIterator[bytes]:
    more, received, waited = True, 0, 0.0
    while more:
        began = time.monotonic()
        try:
            async with asyncio.timeout(GRACE + received / PACE - waited):
                message = await request.receive()
        except TimeoutError:
            text = f"The body comes too slowly; it would come within {GRACE:g} s and at {PACE // 1024} KB/s."
            raise TooSlow(text, "body-too-slow") from None
        waited += time.monotonic() - began
        if message["type"] != "http.request":
            raise Invalid("The body broke off before its end; nothing was done.", "body-broken")
        received += len(message["body"])
        yield message["body"]
        more = message["more_body"]


async def digest(request: AnyRequest) -> bytes:
    """The SHA-256 of the body, or of what it said; it is read now if nobody has read it."""
    if "body_digest" not in request.state:
        await whole(request)
    found: bytes = request.state.body_digest
    return found


def stands_for(request: AnyRequest, said: bytes) -> None:
    """What a body said, where the same can be said in other bytes: a form has another boundary each time."""
    request.state.body_digest = hashlib.sha256(said).digest()


async def whole(request: AnyRequest) -> bytes:
    """The body, as long as the route's limit and that of all JSON documents allow."""
    limit = request.route_handler.resolve_request_max_body_size() or 0
    return await _held(request, min(limit, request.app.state.settings.max_body))


async def read(request: AnyRequest, form: Any, *others: str, bare: bool = False) -> Any:
    """The JSON body in its form. Raises Invalid with every flaw, or NotTaken where it is not sent as JSON; `others` are
    the media types that the route takes besides. A `bare` route takes no body at all, whatever type that is said to be,
    for one that says nothing."""
    if not bare:
        _sent_as_json(request, *others)
    body = await whole(request)
    if bare:
        if not body:
            return form()
        _sent_as_json(request, *others)
    return _few(body, form) if len(body) <= FEW else await asyncio.to_thread(_many, body, form)


async def text(request: AnyRequest, limit: int) -> bytes:
    """The JSON body of up to `limit` bytes, as it came. Raises NotTaken where it is not sent as JSON."""
    _sent_as_json(request)
    return await _held(request, limit)


async def _held(request: AnyRequest, limit: int) -> bytes:
    parts, size = [], 0
    async for part in stream(request, limit):
        parts.append(part)
        size += len(part)
        _holding[id(request.scope)] = size
        held = sum(_holding.values())
        # One alone may have whatever its route allows.
        if size > FEW and held > size and held > MOST_HELD:
            let_go(request.scope)
            parts.clear()
            text = "As many large bodies as can be held are under way; nothing was done with this one."
            raise Unavailable(f"{text} Send it again in a moment.", "bodies-busy")
    return b"".join(parts)


def let_go(scope: Scope) -> None:
    """The request has ended, and its body is no longer held."""
    _holding.pop(id(scope), None)


def sent_as(request: AnyRequest) -> str:
    """The media type of the body, without its parameters; '' where none is said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _sent_as_json(request: AnyRequest, *others: str) -> None:
    if not _JSON_TYPE.fullmatch(sent_as(request)):
        said = request.headers.get("content-type", "")
        was = f"as '{shown(said, 100)}'" if said else "without a content type"
        types = (*others, "application/json")
        raise NotTaken(
            f"The body was sent {was}; it would be sent as {' or '.join(types)}.",
            "body-not-json",
            {"Accept": ", ".join(types)},
        )


def _few(body: bytes, form: Any) -> Any:
    strict.must_say_something(body)
    value = strict.read(body, msgspec.json.decode)
    # Only the standard library tells which name stands twice; msgspec keeps the last.
    strict.read(body, lambda text: json.loads(text, object_pairs_hook=_each_once))
    if _SUSPICIOUS.search(body) and (found := strict.unstorable(value)):
        raise strict.wrong(found)
    try:
        return _possible(body, msgspec.convert(value, form))
    except msgspec.ValidationError:
        raise strict.wrong(flaws.misfits(form, value)) from None


def _many(body: bytes, form: Any) -> Any:
    """The same of a large body, with its first flaw alone."""

    def decoded(text: bytes) -> Any:
        try:
            return msgspec.json.decode(text, type=form)
        except msgspec.ValidationError as error:
            raise strict.wrong((flaws.first(str(error)),)) from None

    said = strict.read(body, decoded)
    strict.value(body)
    return _possible(body, said)


def _possible(body: bytes, said: Any) -> Any:
    if _EDGE_OF_TIME.search(body) and (found := tuple(islice(flaws.impossible(said), flaws.MOST))):
        raise strict.wrong(found)
    return said


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        name = shown(counts.most_common(1)[0][0])
        raise Invalid(
            f"The body says '{name}' twice in one object; nobody can tell which is meant.", "body-name-twice"
        )
