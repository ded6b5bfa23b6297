"""EIR provisioning by URL: one device a call, POST blocks and DELETE releases, the answer is one word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from app.adapters.contract import Answer, Batch, Kind, Op, Order, Outcome, Reply, Wire, expect
from app.adapters.reading import Reader
from app.adapters.settings import Path, Url

_METHOD = {Op.BLOCK: "POST", Op.RELEASE: "DELETE"}
_DONE = {Op.BLOCK: "added", Op.RELEASE: "deleted"}
_MEANING = {
    Op.BLOCK: {
        "duplicate": Outcome.ALREADY,
        "notAdded": Outcome.RETRY,
        "notValidRequest": Outcome.REFUSED,
    },
    Op.RELEASE: {
        "notFound": Outcome.ALREADY,
        "notDeleted": Outcome.RETRY,
        "notValidRequest": Outcome.REFUSED,
    },
}


class EirPushSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[Url, msgspec.Meta(description="the partner's address, like https://eir.example")]
    path: Path = "/eir/block"


class EirPush:
    """One operator's EIR."""

    kind: ClassVar[str] = "eir_push"
    title: ClassVar[str] = "EIR provisioning, one device a call"
    settings: ClassVar[type[msgspec.Struct]] = EirPushSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.IMEI})
    enrols: ClassVar[bool] = False

    def __init__(self, settings: EirPushSettings) -> None:
        self._address = settings.url.rstrip("/") + settings.path.rstrip("/")
        self._reader = Reader()

    @property
    def batch_size(self) -> int:
        return 1

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        """The time in the address is the claim's, so that a repeat is the same call."""
        time = f"{batch.since or batch.at:%Y-%m-%d-%H-%M-%S}"
        return [await self._tell(order, batch, time, wire) for order in batch.orders]

    async def _tell(self, order: Order, batch: Batch, time: str, wire: Wire) -> Answer:
        reply = await wire.send(
            _METHOD[batch.op],
            f"{self._address}/{order.imei}/NULL/NULL/{order.imei}/{time}",
            headers={"idempotency-key": batch.key},
        )
        word = reply.body.decode("utf-8", "replace").strip().strip('"')
        # Deployments differ in the status beside a word (404 notFound); "it is done" needs a 2xx one.
        if _is_verdict(reply) and word in _MEANING[batch.op]:
            return self._reader.answer(_MEANING[batch.op][word], word)
        expect(reply, batch.at)
        done = word == _DONE[batch.op]
        return self._reader.answer(Outcome.DONE if done else Outcome.UNKNOWN, word)


def _is_verdict(reply: Reply) -> bool:
    return 200 <= reply.status < 300 or reply.status in (400, 404, 409, 422)
