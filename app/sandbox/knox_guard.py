"""A brand partner to practise on, in the manner of Knox Guard: locks only what is enrolled, reports later.

Each lock and unlock is accepted at once; its result is sent to `callback_url`, signed, many in a message,
again and again until it is taken.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated, Any

import aiohttp
import msgspec
from aiohttp import web

from app.adapters import signature
from app.sandbox.ledger import State, entry_name
from app.sandbox.stage import Stage, received, reply

_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`result_delay_s` lies between an order that is accepted and its result."""

    api_token: str = "practice-token"  # noqa: S105 (known to all: it guards nothing)
    webhook_secret: str = "whsec_" + b64encode(b"practice brand's webhook secret").decode()
    callback_url: str = ""
    events_per_post: Annotated[int, msgspec.Meta(ge=1)] = 500
    result_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.05


class _Upload(msgspec.Struct, rename="camel"):
    device_id: str
    platform: str


class _Device(msgspec.Struct, rename="camel"):
    device_uid: str


class _Uploads(msgspec.Struct, rename="camel"):
    device_list: list[_Upload]
    auto_accept: bool = False


class _Locks(msgspec.Struct, rename="camel"):
    device_list: list[_Device]
    email: str = ""
    message: str = ""


class _Filter(msgspec.Struct):
    status: list[str] | None = None


class _List(msgspec.Struct, rename="camel"):
    page_num: Annotated[int, msgspec.Meta(ge=0)] = 0
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    filter: _Filter | None = None


class _Callback(msgspec.Struct, forbid_unknown_fields=True):
    url: str


class Brand:
    """One account: what it answers at once, and the results that it still has to report."""

    def __init__(self, stage: Stage, options: Options) -> None:
        self._stage = stage
        self._options = options
        self._callback = options.callback_url
        self._keys = signature.keys(options.webhook_secret)
        self._results: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._uids: dict[str, str] = {}

    async def enrol(self, request: web.Request) -> web.Response:
        self._authorise(request)
        call = await received(request, _Uploads)
        return _answers([(upload.device_id, self._enrolled(upload, request)) for upload in call.device_list])

    async def lock(self, request: web.Request) -> web.Response:
        return await self._change(request, State.BLOCKED)

    async def unlock(self, request: web.Request) -> web.Response:
        return await self._change(request, State.RELEASED)

    async def listed(self, request: web.Request) -> web.Response:
        """A page of the devices that are enrolled, in whole or with the states that are asked for."""
        self._authorise(request)
        call = await received(request, _List)
        wanted = call.filter.status if call.filter else None
        found = [device for device in self._devices() if wanted is None or device["status"] in wanted]
        page = found[call.page_num * call.page_size :][: call.page_size]
        return reply({"result": "SUCCESS", "totalCount": len(found), "deviceList": page})

    async def call_back(self, request: web.Request) -> web.Response:
        """Where results go from now on."""
        self._callback = (await received(request, _Callback)).url
        return web.Response(status=204)

    async def reporting(self, _: web.Application) -> AsyncIterator[None]:
        """Results are reported for as long as the application runs."""
        async with aiohttp.ClientSession() as session:
            task = asyncio.create_task(self._report(session))
            yield
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _authorise(self, request: web.Request) -> None:
        token = request.headers.get("x-knox-apitoken", "")
        if not hmac.compare_digest(token.encode(), self._options.api_token.encode()):
            raise web.HTTPUnauthorized

    def _devices(self) -> Iterator[dict[str, str]]:
        ledger = self._stage.ledger
        for name in sorted(ledger.enrolled):
            status = "Locked" if ledger.state(name) is State.BLOCKED else "Enrolled"
            yield {"deviceUid": self._uids[name], "objectId": f"practice-{name}", "status": status}

    def _enrolled(self, upload: _Upload, request: web.Request) -> str:
        fault = self._stage.misbehaviour.item()
        if fault != "fine" or upload.platform != "android":
            return "TRY_AGAIN" if fault == "retry" else "REJECTED"
        self._uids[entry_name(upload.device_id)] = upload.device_id
        known = self._stage.ledger.tell(upload.device_id, State.ENROLLED, _key(request))
        return "DUPLICATE" if known else "SUCCESS"

    async def _change(self, request: web.Request, state: State) -> web.Response:
        self._authorise(request)
        names = [device.device_uid for device in (await received(request, _Locks)).device_list]
        return _answers([(name, self._changed(name, state, _key(request))) for name in names])

    def _changed(self, name: str, state: State, key: str) -> str:
        ledger, misbehaviour = self._stage.ledger, self._stage.misbehaviour
        if not ledger.is_enrolled(name):
            return "NOT_ENROLLED"
        fault = misbehaviour.item()
        if fault != "fine":
            return "REJECTED" if fault == "refused" else "TRY_AGAIN"
        verb = "LOCK" if state is State.BLOCKED else "UNLOCK"
        if misbehaviour.result_fails():
            self._results.put_nowait({"eventType": f"KG_DEVICE_{verb}_FAILED", "deviceUid": name})
        elif ledger.tell(name, state, key):
            return f"ALREADY_{verb}ED"
        else:
            self._results.put_nowait({"eventType": f"KG_DEVICE_{verb}ED", "deviceUid": name})
        return "SUCCESS"

    async def _report(self, session: aiohttp.ClientSession) -> None:
        for number in itertools.count():
            events = [await self._results.get()]
            await asyncio.sleep(self._options.result_delay_s)
            while len(events) < self._options.events_per_post and not self._results.empty():
                events.append(self._results.get_nowait())
            await self._deliver(session, f"practice-report-{number}", msgspec.json.encode({"events": events}))

    async def _deliver(self, session: aiohttp.ClientSession, message_id: str, body: bytes) -> None:
        for pause in itertools.chain(_RETRY_S, itertools.repeat(_RETRY_S[-1])):
            if await self._delivered(session, message_id, body):
                return
            await asyncio.sleep(pause)

    async def _delivered(self, session: aiohttp.ClientSession, message_id: str, body: bytes) -> bool:
        if not self._callback:
            return False
        headers = signature.signed(self._keys, message_id, self._stage.now(), body)
        headers["content-type"] = "application/json"
        try:
            async with session.post(
                self._callback, data=body, headers=headers, timeout=aiohttp.ClientTimeout(total=10)
            ) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False


def install(app: web.Application, stage: Stage, options: Options) -> None:
    brand = Brand(stage, options)
    base = "/kcs/v1.1/kg/devices/"
    app.router.add_post(base + "uploads", stage.partner(brand.enrol))
    app.router.add_post(base + "lock", stage.partner(brand.lock))
    app.router.add_post(base + "unlock", stage.partner(brand.unlock))
    app.router.add_post(base + "list", stage.partner(brand.listed))
    app.router.add_put("/sandbox/callback", brand.call_back)
    app.cleanup_ctx.append(brand.reporting)


def settings(url: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return {
        "url": url,
        "api_token": options.api_token,
        "email": "stolen@gateway.example",
        "webhook_secret": options.webhook_secret,
    }


def _answers(results: list[tuple[str, str]]) -> web.Response:
    return reply({"deviceList": [{"deviceUid": name, "result": result} for name, result in results]})


def _key(request: web.Request) -> str:
    return request.headers.get("x-knox-transactionid", "")
