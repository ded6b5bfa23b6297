"""An operator's EIR to practise on: one device a call by URL, one word as the answer.

Kept lean: it is called most often of all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from app.core.imei import asked
from app.sandbox.ledger import State
from app.sandbox.stage import Stage


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


def install(app: web.Application, stage: Stage, options: Options) -> None:
    async def block(request: web.Request) -> web.Response:
        fault = _refusal(stage, request, "notAdded")
        if fault:
            return web.Response(text=fault)
        known = stage.ledger.tell(request.match_info["imei"], State.BLOCKED, _key(request))
        return web.Response(text="duplicate") if known else web.Response(status=201, text="added")

    async def release(request: web.Request) -> web.Response:
        fault = _refusal(stage, request, "notDeleted")
        if fault:
            return web.Response(text=fault)
        was_blocked = stage.ledger.state(request.match_info["imei"]) is State.BLOCKED
        stage.ledger.tell(request.match_info["imei"], State.RELEASED, _key(request))
        return web.Response(status=202, text="deleted") if was_blocked else web.Response(text="notFound")

    place = "/eir/block/{imei}/{imsi}/{msisdn}/{actual}/{at}"
    app.router.add_post(place, stage.partner(block))
    app.router.add_delete(place, stage.partner(release))


def settings(url: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return {"url": url}


def _refusal(stage: Stage, request: web.Request, retry: str) -> str:
    if asked(request.match_info["imei"]) is None:
        return "notValidRequest"
    return {"fine": "", "refused": "notValidRequest", "retry": retry}[stage.misbehaviour.item()]


def _key(request: web.Request) -> str:
    return request.headers.get("Idempotency-Key", "")
