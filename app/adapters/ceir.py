"""The block API of national CEIRs: JSON over HTTPS with Basic credentials, a few devices a call.

The partner answers HTTP 200 with a status code per device; devices are matched by the first 14 digits.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from app.adapters.contract import Answer, Batch, Kind, Op, Outcome, Reply, Wire, expect
from app.adapters.reading import Reader, document, items, one_each, plain
from app.adapters.settings import END, Path, Reasons, SecretLine, Url
from app.core.imei import asked

_MEANING = {
    "200": Outcome.DONE,
    "201": Outcome.ALREADY,
    "202": Outcome.RETRY,
    **dict.fromkeys(("203", "204", "205", "206", "207"), Outcome.REFUSED),
}


class CeirSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One partner's address, account and habits."""

    url: Annotated[Url, msgspec.Meta(description="the partner's address, like https://ceir.example")]
    username: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^[^:\x00-\x1f\x7f]+{END}",
            max_length=200,
            description="the account's name, without a colon",
        ),
    ]
    password: Annotated[SecretLine, msgspec.Meta(min_length=1, description="the account's password")]
    devices_per_call: Annotated[
        int,
        msgspec.Meta(ge=1, le=500, description="the most devices that the partner takes at once, 1 to 500"),
    ] = 3
    block_path: Path = "/ceir/block/add"
    release_path: Path = "/ceir/block/remove"
    stolen_waits: Annotated[
        bool,
        msgspec.Meta(
            description="true where the partner greylists first, so that its 200 means accepted, not blocked"
        ),
    ] = False
    reasons: Reasons = msgspec.field(default_factory=lambda: {"theft": "Stolen", "loss": "Lost"})


class _Result(msgspec.Struct):
    imei: str
    status_code: Any = msgspec.field(default=None, name="statusCode")
    status_message: Any = msgspec.field(default=None, name="statusMessage")


class Ceir:
    """One national register."""

    kind: ClassVar[str] = "ceir"
    title: ClassVar[str] = "National CEIR block API"
    settings: ClassVar[type[msgspec.Struct]] = CeirSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.IMEI})
    enrols: ClassVar[bool] = False

    def __init__(self, settings: CeirSettings) -> None:
        token = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
        base = settings.url.rstrip("/")
        self._settings = settings
        self._reasons: dict[str, str] = dict(settings.reasons.items())
        self._headers = {"authorization": f"Basic {token}", "content-type": "application/json"}
        self._addresses = {Op.BLOCK: base + settings.block_path, Op.RELEASE: base + settings.release_path}
        self._meaning = _MEANING | ({"200": Outcome.ACCEPTED} if settings.stolen_waits else {})
        self._reader = Reader(settings.password, token)

    @property
    def batch_size(self) -> int:
        return self._settings.devices_per_call

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        reason = self._reasons.get(batch.reason, batch.reason)
        devices = [{"imei": order.imei, "reason": reason} for order in batch.orders]
        reply = await wire.send(
            "POST",
            self._addresses[batch.op],
            headers={**self._headers, "idempotency-key": batch.key},
            body=msgspec.json.encode({"devices": devices}),
        )
        return self._read(batch, expect(reply, batch.at))

    def _read(self, batch: Batch, reply: Reply) -> list[Answer]:
        results = items(document(reply.body), _Result)
        said = ((asked(result.imei), self._answer(result)) for result in results)
        return one_each((asked(order.imei) for order in batch.orders), said)

    def _answer(self, result: _Result) -> Answer:
        code = plain(result.status_code)
        return self._reader.answer(self._meaning.get(code, Outcome.UNKNOWN), code, result.status_message)
