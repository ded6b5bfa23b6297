"""Every adapter that we bring keeps the contract; and the suite notices those that do not."""

import json
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest

from app.adapters import conformance, registry
from app.adapters.contract import Answer, Batch, Kind, Outcome, Reply, Wire
from app.adapters.settings import Secret, Url

from .subjects import SUBJECTS

EVERY_CASE = [
    pytest.param(case, id=f"{name}-{case}")
    for name, subject in SUBJECTS.items()
    for case in conformance.cases(subject)
]


@pytest.mark.parametrize("case", EVERY_CASE)
async def test_ours(case):
    await case()


def test_every_kind_of_ours_is_examined():
    assert {subject.adapter.kind for subject in SUBJECTS.values()} >= set(registry.adapters())


class _Settings(msgspec.Struct):
    url: Url
    token: Secret


class Careless:
    """An adapter with every fault that is easily made: each of its methods invites one."""

    kind: ClassVar[str] = "careless"
    title: ClassVar[str] = "Careless"
    settings: ClassVar[type[msgspec.Struct]] = _Settings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.IMEI})
    enrols: ClassVar[bool] = False
    batch_size = 10

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        body = json.dumps([order.imei for order in batch.orders]).encode()
        reply = await wire.send(
            "POST", self._settings.url, headers={"x-token": self._settings.token}, body=body
        )
        said = {entry["imei"]: entry for entry in json.loads(reply.body)}
        return [
            Answer(Outcome.DONE, words=str(said.get(order.imei, {}).get("words"))) for order in batch.orders
        ]


def _obeys(call: conformance.Call) -> Reply:
    listed = [{"imei": imei, "words": "ok"} for imei in json.loads(call.body)]
    return Reply(200, {}, json.dumps(listed).encode())


CARELESS = conformance.Subject(Careless, {"url": "https://x.example", "token": "tok-tok-tok"}, _obeys)

_NOTICED = [
    "block-is-not-release",
    "block-bad-status",
    "block-throttled",
    "block-body-no-items",
    "block-body-html",
    "block-body-deep-lists",
    "block-body-invalid-utf8",
    "block-broken-body",
    "block-secrets-echoed",
    "block-result-left-out",
    "block-results-contradict",
    "block-values-wrong",
    "block-members-twice",
]


@pytest.mark.parametrize("name", _NOTICED)
async def test_a_careless_adapter_is_noticed(name):
    case = next(case for case in conformance.cases(CARELESS) if case.name == name)
    with pytest.raises(conformance.Broken):
        await case()
