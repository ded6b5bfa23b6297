"""A partner with a signed webhook to practise on: believes no message whose signature is not good."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
from aiohttp import web

from app.adapters import signature
from app.core.errors import Unauthorised
from app.sandbox.ledger import State
from app.sandbox.stage import Stage, received, reply

_OUTCOME = {"refused": "refused", "retry": "retry"}
_STATE = {"block": State.BLOCKED, "release": State.RELEASED}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`results`: answer per identifier; without it a 204 says that all is well."""

    secret: str = "whsec_" + b64encode(b"practice partner's webhook secret").decode()
    results: bool = True


class _Identifier(msgspec.Struct):
    identifier: str


class _Data(msgspec.Struct):
    op: str
    identifiers: list[_Identifier] | None = None
    identifier: str = ""


class _Event(msgspec.Struct):
    id: str
    type: str
    source: str
    specversion: str
    data: _Data


def install(app: web.Application, stage: Stage, options: Options) -> None:
    keys = signature.keys(options.secret)

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            signature.verify(keys, headers, await request.read(), stage.now())
        except Unauthorised as error:
            return reply({"error": error.detail}, 401)
        results = [_result(stage, *told, headers["webhook-id"]) for told in await _told(request)]
        refused = any(result["outcome"] in _OUTCOME for result in results)
        return reply({"results": results}) if options.results or refused else web.Response(status=204)

    app.router.add_post("/webhook", stage.partner(take))


def settings(url: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return {"url": f"{url}/webhook", "secret": options.secret}


async def _told(request: web.Request) -> list[tuple[str, str]]:
    """(op, identifier) for each identifier of an event, or of a batch of events."""
    events = await received(request, _Event | list[_Event])  # type: ignore[arg-type]
    return [
        (event.data.op, name)
        for event in (events if isinstance(events, list) else [events])
        for name in [entry.identifier for entry in event.data.identifiers or ()] or [event.data.identifier]
    ]


def _result(stage: Stage, op: str, identifier: str, call: str) -> dict[str, str]:
    fault = stage.misbehaviour.item()
    if fault != "fine" or op not in _STATE:
        return {"identifier": identifier, "outcome": _OUTCOME.get(fault, "refused"), "code": "practice"}
    known = stage.ledger.tell(identifier, _STATE[op], call)
    return {"identifier": identifier, "outcome": "already" if known else "done"}
