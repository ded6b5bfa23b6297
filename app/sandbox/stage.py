"""What every practice partner stands on: ledger, misbehaviour, clock, and how it reads and answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from app.sandbox.faults import Faults, Misbehaviour
from app.sandbox.ledger import Ledger, State

Form = TypeVar("Form")

LOOPBACK = "127.0.0.1"
PAGE_LIMIT = 100_000


class Stage:
    """One practice partner's memory and manners. `host` is where it listens, `spoken` where its own dialect is
    spoken, if that is not where its questions are asked. `forgets` are called when it is told to forget: what else it
    knows."""

    def __init__(self, kind: str, rng: Random | None = None, clock: Callable[[], float] = time.time) -> None:
        self.kind = kind
        self.host = LOOPBACK
        self.spoken = ""
        self.ledger = Ledger()
        self.misbehaviour = Misbehaviour(rng or Random(0), clock)
        self.forgets: list[Callable[[], None]] = []
        self._clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def partner(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        """A handler of the partner's own dialect: counted, and subject to the faults that are ordered."""

        async def act(request: web.Request) -> web.StreamResponse:
            self.ledger.calls += 1
            return await self.misbehaviour.act(request, handler)

        return act

    def control(self, app: web.Application) -> None:
        """The questions and orders of whoever plays with this partner; never subject to faults."""
        app.router.add_get("/sandbox", self._status)
        app.router.add_delete("/sandbox", self._forget)
        app.router.add_put("/sandbox/faults", self._order)
        app.router.add_get("/sandbox/identifiers", self._identifiers)
        app.router.add_get("/sandbox/identifiers/{name}", self._identifier)

    async def _status(self, _: web.Request) -> web.Response:
        told = {"kind": self.kind, **self.ledger.counts()}
        acted = {name: count for name, count in self.misbehaviour.acted.items() if count}
        return reply({**told, "ordered": self.misbehaviour.ordered, "faults": acted})

    async def _forget(self, _: web.Request) -> web.Response:
        self.ledger.forget()
        self.misbehaviour.forget()
        for forget in self.forgets:
            forget()
        return web.Response(status=204)

    async def _order(self, request: web.Request) -> web.Response:
        self.misbehaviour.order(await received(request, Faults))
        return reply(self.misbehaviour.ordered)

    async def _identifiers(self, request: web.Request) -> web.Response:
        try:
            state = State(request.query.get("state", State.BLOCKED))
            limit = int(request.query.get("limit", PAGE_LIMIT))
        except ValueError:
            raise refusal(f"'state' would be one of {', '.join(State)}, and 'limit' a number.") from None
        if not 1 <= limit <= PAGE_LIMIT:
            raise refusal(f"'limit' would be 1 to {PAGE_LIMIT}.")
        page = self.ledger.page(state, request.query.get("after", ""), limit)
        return reply({"identifiers": page, "after": page[-1] if len(page) == limit else None})

    async def _identifier(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return reply({"state": self.ledger.state(name), "history": self.ledger.history(name)})


async def received(request: web.Request, form: type[Form]) -> Form:
    """The JSON body in its form, or a refusal (400) that says in a sentence what is wrong with it."""
    try:
        return msgspec.json.decode(await request.read(), type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(f"The body is not what this partner takes: {error}.") from None


def reply(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")


def refusal(sentence: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text=msgspec.json.encode({"error": sentence}).decode(), content_type="application/json"
    )


def options_of(form: type[Form], given: Mapping[str, Any] | None) -> Form:
    """A partner's options. Raises msgspec.ValidationError, which names the one that is wrong."""
    return msgspec.convert(dict(given or {}), form)
