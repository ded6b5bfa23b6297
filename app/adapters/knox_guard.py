"""Samsung Knox Guard: devices are enrolled (uploaded), then locked and unlocked by IMEI or serial.

A lock or unlock is only accepted at first; its result comes later, by a signed message. A device that
Knox does not know is enrolled and locked in the same send: no lock may fail because the partner was
added after goods-in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec

from app.adapters import signature
from app.adapters.contract import (
    Answer,
    Batch,
    Confirmation,
    Failing,
    Holding,
    Kind,
    Op,
    Outcome,
    PartnerFault,
    Wire,
    expect,
)
from app.adapters.reading import REF_LIMIT, Reader, document, entries, items, one_each, plain, whole
from app.adapters.settings import END, Secret, Url
from app.core.errors import Invalid

_PATH = {Op.ENROL: "uploads", Op.BLOCK: "lock", Op.RELEASE: "unlock"}
_STRANGER = "NOT_ENROLLED"
_ANY_OP = {"REJECTED": Outcome.REFUSED, "TRY_AGAIN": Outcome.RETRY}
_MEANING = {
    Op.ENROL: {**_ANY_OP, "SUCCESS": Outcome.DONE, "DUPLICATE": Outcome.ALREADY},
    Op.BLOCK: {
        **_ANY_OP,
        "SUCCESS": Outcome.ACCEPTED,
        "ALREADY_LOCKED": Outcome.ALREADY,
        _STRANGER: Outcome.RETRY,
    },
    # What was never enrolled cannot be locked: there is nothing to release.
    Op.RELEASE: {
        **_ANY_OP,
        "SUCCESS": Outcome.ACCEPTED,
        "ALREADY_UNLOCKED": Outcome.ALREADY,
        _STRANGER: Outcome.ALREADY,
    },
}
_LOCKED = "Locked"
_LIST_PAGE = 1000
_EVENTS = {
    "KG_DEVICE_LOCKED": (Op.BLOCK, Outcome.DONE),
    "KG_DEVICE_LOCK_FAILED": (Op.BLOCK, Outcome.REFUSED),
    "KG_DEVICE_UNLOCKED": (Op.RELEASE, Outcome.DONE),
    "KG_DEVICE_UNLOCK_FAILED": (Op.RELEASE, Outcome.REFUSED),
}


class KnoxGuardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`email` and `message` are shown on a locked device; `webhook_secret` signs what Knox reports to us."""

    url: Annotated[
        Url, msgspec.Meta(description="the region's address, like https://eu-kcs-api.samsungknox.com")
    ]
    api_token: Annotated[
        Secret, msgspec.Meta(pattern=f"^[!-~]+{END}", description="the signed access token of the account")
    ]
    email: Annotated[
        str,
        msgspec.Meta(pattern=rf"^\S+@\S+{END}", max_length=320, description="an e-mail address for finders"),
    ]
    message: Annotated[str, msgspec.Meta(max_length=500)] = (
        "This device is reported stolen. Please contact us."
    )
    webhook_secret: signature.SigningSecret = ""
    devices_per_call: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="1 to 10000")] = 1000


class _Result(msgspec.Struct, rename="camel"):
    device_uid: str
    result: Any = None
    message: Any = None
    object_id: Any = None


class _Listed(msgspec.Struct, rename="camel"):
    device_uid: Annotated[str, msgspec.Meta(pattern=rf"^[!-~]{{1,100}}{END}")]
    status: Any = None
    object_id: Any = None


class _Event(msgspec.Struct, rename="camel"):
    event_type: str
    device_uid: Annotated[str, msgspec.Meta(pattern=rf"^[!-~]{{1,100}}{END}")]
    code: Any = None
    message: Any = None
    object_id: Any = None


class _Other(msgspec.Struct, rename="camel"):
    event_type: str


class _Report(msgspec.Struct):
    events: list[dict[str, Any]]


class KnoxGuard:
    """One Knox Guard account."""

    kind: ClassVar[str] = "knox_guard"
    title: ClassVar[str] = "Samsung Knox Guard"
    settings: ClassVar[type[msgspec.Struct]] = KnoxGuardSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = True

    def __init__(self, settings: KnoxGuardSettings) -> None:
        self._settings = settings
        self._address = settings.url.rstrip("/") + "/kcs/v1.1/kg/devices/"
        self._headers = {"x-knox-apitoken": settings.api_token, "content-type": "application/json"}
        self._keys = signature.keys(settings.webhook_secret)
        self._reader = Reader(settings.api_token, settings.webhook_secret)

    @property
    def batch_size(self) -> int:
        return self._settings.devices_per_call

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        answers = await self._tell(batch, wire)
        strangers = [place for place, answer in enumerate(answers) if answer.code == _STRANGER]
        if batch.op is Op.BLOCK and strangers:
            orders = tuple(batch.orders[place] for place in strangers)
            again = await self._enrol_and_lock(msgspec.structs.replace(batch, orders=orders), wire)
            for place, answer in zip(strangers, again, strict=True):
                answers[place] = answer
        return answers

    async def holdings(self, wire: Wire, at: datetime) -> Sequence[Holding]:
        """The devices of the account that are locked, by the name under which each was enrolled."""

        async def page(number: int) -> list[_Listed]:
            form = {"filter": {"status": [_LOCKED]}, "pageNum": number, "pageSize": _LIST_PAGE}
            call = f"list:{at:%Y%m%dT%H%M%S}:{number}"
            return entries(await self._ask("list", call, form, wire, at), _Listed)

        listed = await whole(page, lambda device: device.device_uid, _LIST_PAGE)
        return [
            Holding(
                self._reader.tidy(device.device_uid, REF_LIMIT),
                self._reader.tidy(device.object_id, REF_LIMIT),
            )
            for device in listed
            if device.status == _LOCKED
        ]

    def announced(self, headers: Mapping[str, str], now: datetime) -> None:
        signature.announced(self._keys, headers, now)

    def confirmations(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Sequence[Confirmation]:
        """The results in a message of Knox. Events of other kinds are none: refused, they would come for ever."""
        signature.verify(self._keys, headers, body, now)
        return [self._confirmation(event) for event in _events(body)]

    async def _enrol_and_lock(self, batch: Batch, wire: Wire) -> list[Answer]:
        enrol = msgspec.structs.replace(batch, op=Op.ENROL, key=f"{batch.key}:enrol")
        relock = msgspec.structs.replace(batch, key=f"{batch.key}:relock")
        try:
            enrolled = await self._tell(enrol, wire)
            locked = await self._tell(relock, wire)
        except PartnerFault as fault:
            # The answers of the first call stand; only the strangers are asked about again.
            return [self._reader.answer(fault.outcome, words=str(fault))] * len(batch.orders)
        return [_later(*pair) for pair in zip(enrolled, locked, strict=True)]

    async def _tell(self, batch: Batch, wire: Wire) -> list[Answer]:
        listed = await self._ask(_PATH[batch.op], batch.key, self._form(batch), wire, batch.at)
        results = items(listed, _Result)
        answers = ((result.device_uid, self._answer(batch.op, result)) for result in results)
        return one_each((order.name for order in batch.orders), answers)

    async def _ask(self, path: str, call: str, form: dict[str, Any], wire: Wire, at: datetime) -> object:
        """The list of devices in the answer."""
        headers = {**self._headers, "x-knox-transactionid": call}
        reply = await wire.send("POST", self._address + path, headers=headers, body=msgspec.json.encode(form))
        said = document(expect(reply, at).body)
        return said.get("deviceList") if isinstance(said, dict) else None

    def _form(self, batch: Batch) -> dict[str, Any]:
        if batch.op is Op.ENROL:
            devices = [{"deviceId": order.name, "platform": "android"} for order in batch.orders]
            return {"deviceList": devices, "autoAccept": True}
        devices = [{"deviceUid": order.name} for order in batch.orders]
        return {"deviceList": devices, "email": self._settings.email, "message": self._settings.message}

    def _answer(self, op: Op, result: _Result) -> Answer:
        code = plain(result.result)
        outcome = _MEANING[op].get(code, Outcome.UNKNOWN)
        return self._reader.answer(outcome, code, result.message, result.object_id)

    def _confirmation(self, event: _Event | _Other) -> Confirmation:
        if isinstance(event, _Other):
            # It is about no block and no release, so that it stands in the way of no result.
            return Confirmation("", Op.ENROL, self._reader.answer(Outcome.UNKNOWN, event.event_type))
        op, outcome = _EVENTS[event.event_type]
        answer = self._reader.answer(outcome, event.code or event.event_type, event.message, event.object_id)
        return Confirmation(event.device_uid, op, answer)


def _later(enrolled: Answer, locked: Answer) -> Answer:
    """Why a device is still unknown stands in the answer to its enrolment, if that failed."""
    failed = enrolled.outcome not in (Outcome.DONE, Outcome.ALREADY)
    return enrolled if failed and locked.code == _STRANGER else locked


def _events(body: bytes) -> list[_Event | _Other]:
    try:
        return [_event(said) for said in msgspec.convert(document(body), _Report).events]
    except (Failing, msgspec.ValidationError, UnicodeError) as error:
        raise Invalid(f"The message is not a report of Knox Guard: {error}.", "confirmation-form") from None


def _event(said: dict[str, Any]) -> _Event | _Other:
    other = msgspec.convert(said, _Other)
    return msgspec.convert(said, _Event) if other.event_type in _EVENTS else other
