"""Every adapter that we bring keeps the contract; and the suite notices those that do not."""

import json
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest

from app.adapters import conformance, registry
from app.adapters.contract import Answer, Batch, Holding, Kind, Op, Outcome, Reply, Wire
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


async def _is_noticed(subject: conformance.Subject, name: str) -> None:
    case = next(case for case in conformance.cases(subject) if case.name == name)
    with pytest.raises(conformance.Broken):
        await case()


@pytest.mark.parametrize("name", _NOTICED)
async def test_a_careless_adapter_is_noticed(name):
    await _is_noticed(CARELESS, name)


class Trusting(Careless):
    """It believes in references and lists as they come, and in lists that have an end."""

    kind: ClassVar[str] = "trusting"
    batch_size = 1

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        (order,) = batch.orders
        if batch.op is Op.RELEASE:
            await wire.send("DELETE", f"{self._settings.url}/{order.ref}", headers={"x-ref": order.ref})
        return [Answer(Outcome.DONE if order.ref and not batch.tried else Outcome.RETRY)]

    async def holdings(self, wire: Wire, at) -> Sequence[Holding]:
        held, page = [], 0
        while listed := await self._page(wire, page):
            held += [Holding(entry["imei"]) for entry in listed]
            page += 1
        return held

    async def _page(self, wire: Wire, page: int) -> list[dict]:
        headers = {"x-token": self._settings.token}
        return json.loads((await wire.send("GET", f"{self._settings.url}/{page}", headers=headers)).body)


class Meek(Trusting):
    """What it does not understand is nothing to it."""

    kind: ClassVar[str] = "meek"

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        await wire.send("POST", self._settings.url, body=str(batch.orders[0].imei).encode())
        return [Answer(Outcome.DONE, ref="another")]

    async def _page(self, wire: Wire, page: int) -> list[dict]:
        try:
            return [entry for entry in await super()._page(wire, page) if entry["imei"].isprintable()]
        except Exception:
            return []


def _lists(call: conformance.Call) -> Reply:
    listed = [{"imei": "350000000000006"}, {"imei": "350000000000014"}] if call.url.endswith("/0") else []
    return Reply(200, {}, json.dumps(listed if call.method == "GET" else {}).encode())


_LISTING = {"settings": {"url": "https://x.example", "token": "tok-tok-tok"}, "obeys": _lists, "ref": "17"}
TRUSTING = conformance.Subject(Trusting, **_LISTING, held=("350000000000006", "350000000000014"))
MEEK = conformance.Subject(Meek, **_LISTING, held=("350000000000006",))


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        *((TRUSTING, name) for name in ("ref-missing", "ref-hostile", "release-tried-before")),
        (MEEK, "ref-used"),
        (MEEK, "ref-told-by-the-block"),
        *((TRUSTING, f"holdings-{name}") for name in ("bad-status", "values-wrong", "secrets-echoed")),
        *(
            (TRUSTING, f"holdings-{name}")
            for name in ("broken-off", "endless", "body-html", "body-no-members")
        ),
        *((MEEK, f"holdings-{name}") for name in ("obeyed", "bad-status", "unanswered", "broken-off")),
        *((MEEK, f"holdings-body-{name}") for name in ("html", "items-of-nothing", "nan", "compressed")),
    ],
)
async def test_a_careless_reader_is_noticed(subject, name):
    await _is_noticed(subject, name)
