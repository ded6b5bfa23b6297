"""A national CEIR to practise on: Basic credentials, few devices a call, HTTP 200 with a code per device."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from app.core.imei import asked
from app.sandbox.ledger import State
from app.sandbox.stage import Stage, received, reply


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: str = "gateway"
    password: str = "practice-password"  # noqa: S105 (known to all: it guards nothing)
    devices_per_call: int = 3


class _Device(msgspec.Struct):
    imei: str = ""
    imsi: str | None = None
    msisdn: str | None = None
    reason: str = ""


class _Call(msgspec.Struct):
    devices: list[_Device]


def install(app: web.Application, stage: Stage, options: Options) -> None:
    app.router.add_post("/ceir/block/add", stage.partner(_taking(stage, options, State.BLOCKED)))
    app.router.add_post("/ceir/block/remove", stage.partner(_taking(stage, options, State.RELEASED)))


def settings(url: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return {
        "url": url,
        "username": options.username,
        "password": options.password,
        "devices_per_call": options.devices_per_call,
    }


def _taking(stage: Stage, options: Options, state: State) -> Callable[[web.Request], Awaitable[web.Response]]:
    credentials = "Basic " + b64encode(f"{options.username}:{options.password}".encode()).decode()

    async def take(request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), credentials.encode()):
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        call = await received(request, _Call)
        if len(call.devices) > options.devices_per_call:
            return web.Response(status=413)
        key = request.headers.get("Idempotency-Key", "")
        return reply([_result(device, _code(stage, device, state, key)) for device in call.devices])

    return take


def _code(stage: Stage, device: _Device, state: State, key: str) -> int:
    if not device.imei or not device.reason:
        return 203
    if asked(device.imei) is None:
        return 204
    fault = stage.misbehaviour.item()
    if fault != "fine":
        return 206 if fault == "refused" else 202
    return 201 if stage.ledger.tell(device.imei, state, key) else 200


_MESSAGES = {
    200: "accepted",
    201: "already so",
    202: "failed, try again",
    203: "a field is missing",
    204: "the IMEI is wrong",
    206: "the reason is wrong",
}


def _result(device: _Device, code: int) -> dict[str, Any]:
    about = {"imei": device.imei, "msisdn": device.msisdn, "imsi": device.imsi}
    return {**about, "statusCode": code, "statusMessage": _MESSAGES[code]}
