"""Standard Webhooks carrying CloudEvents 1.0: the dialect for partners that have none of their own.

Any 2xx means done for all, unless the answer is a JSON object with `results`; then each identifier has the outcome that
is named there. What has a brace or bracket in it and is no such object is not understood: it may hold results.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from app.adapters import signature
from app.adapters.contract import Answer, Batch, Failing, Kind, Order, Outcome, Reply, Wire, expect
from app.adapters.reading import Reader, document, items, one_each, plain
from app.adapters.settings import END, Url

_MEANING = {outcome.value: outcome for outcome in Outcome}
_CONTENT_TYPE = {
    "structured": "application/cloudevents+json",
    "batched": "application/cloudevents-batch+json",
}


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`previous_secret` signs too, for as long as the partner is replacing the secret."""

    url: Annotated[
        Url, msgspec.Meta(description="where the partner listens, like https://partner.example/in")
    ]
    secret: Annotated[signature.SigningSecret, msgspec.Meta(min_length=1)]
    previous_secret: signature.SigningSecret = ""
    form: Annotated[
        Literal["structured", "batched"],
        msgspec.Meta(
            description="structured (one event that lists identifiers) or batched (an event for each)"
        ),
    ] = "structured"
    identifiers_per_call: Annotated[int, msgspec.Meta(ge=1, le=1000, description="1 to 1000")] = 1000
    source: Annotated[
        str, msgspec.Meta(pattern=f"^[!-~]+{END}", max_length=200, description="a URI that names the sender")
    ] = "urn:imei-gateway"


class _Result(msgspec.Struct):
    identifier: str
    outcome: Any = None
    code: Any = None
    message: Any = None


class Webhook:
    """One partner that listens for events."""

    kind: ClassVar[str] = "webhook"
    title: ClassVar[str] = "Signed webhook (Standard Webhooks, CloudEvents)"
    settings: ClassVar[type[msgspec.Struct]] = WebhookSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = False

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._keys = signature.keys(settings.secret, settings.previous_secret)
        self._reader = Reader(settings.secret, settings.previous_secret)

    @property
    def batch_size(self) -> int:
        return self._settings.identifiers_per_call

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        body = msgspec.json.encode(self._event(batch) if self._is_structured else self._events(batch))
        headers = signature.signed(self._keys, batch.key, batch.at, body)
        headers["content-type"] = _CONTENT_TYPE[self._settings.form]
        reply = await wire.send("POST", self._settings.url, headers=headers, body=body)
        return self._read(batch, expect(reply, batch.at))

    @property
    def _is_structured(self) -> bool:
        return self._settings.form == "structured"

    def _event(self, batch: Batch) -> dict[str, Any]:
        identifiers = [_identifier(order) for order in batch.orders]
        return self._envelope(batch, batch.key, {**_cause(batch), "identifiers": identifiers})

    def _events(self, batch: Batch) -> list[dict[str, Any]]:
        return [
            self._envelope(batch, f"{batch.key}/{order.key}", {**_cause(batch), **_identifier(order)})
            for order in batch.orders
        ]

    def _envelope(self, batch: Batch, event_id: str, data: dict[str, Any]) -> dict[str, Any]:
        # No time of sending: a repeat must be the same bytes.
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": self._settings.source,
            "type": f"imei-gateway.{batch.op.value}",
            "data": data,
        }
        return event | ({"time": batch.since} if batch.since else {})

    def _read(self, batch: Batch, reply: Reply) -> list[Answer]:
        said = _said(reply.body)
        if "results" not in said:
            return [self._reader.answer(Outcome.DONE, reply.status)] * len(batch.orders)
        results = items(said["results"], _Result)
        answers = ((result.identifier, self._answer(result)) for result in results)
        return one_each((order.name for order in batch.orders), answers)

    def _answer(self, result: _Result) -> Answer:
        outcome = _MEANING.get(plain(result.outcome), Outcome.UNKNOWN)
        return self._reader.answer(outcome, result.code, result.message)


def _said(body: bytes) -> dict[str, Any]:
    """The object in an answer; an empty one for plain words. Raises Failing."""
    if not any(sign in body for sign in b"{["):
        return {}
    said = document(body.removeprefix(codecs.BOM_UTF8))
    if not isinstance(said, dict):
        raise Failing("the answer is a list, where it would be an object with results")
    return said


def _cause(batch: Batch) -> dict[str, Any]:
    return {"op": batch.op.value, "reason": batch.reason, "reference": batch.reference}


def _identifier(order: Order) -> dict[str, Any]:
    said = {"identifier": order.name, "kind": order.kind.value, "version": order.version}
    return said | ({"gtin": order.gtin} if order.gtin else {})
