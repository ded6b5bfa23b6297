"""The adapter under examination: how it is made, what it is told, and the form in which it must answer."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from app.adapters import settings as forms
from app.adapters.contract import (
    Adapter,
    Answer,
    Batch,
    Failing,
    Kind,
    NoAnswer,
    Op,
    Order,
    Outcome,
    PartnerFault,
    Place,
    Reply,
)
from app.core.imei import full

AT = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
WORDS_LIMIT = 250
ELSEWHERE = "http://169.254.169.254/elsewhere"

_GOOD_NEWS = frozenset({Outcome.DONE, Outcome.ALREADY, Outcome.ACCEPTED})


class Broken(AssertionError):
    """The adapter does not keep the contract."""


class Call(msgspec.Struct, frozen=True):
    """One request of the adapter; what it does with a file is one too (`WRITE`, and the file's name for an address)."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


Partner = Callable[[Call], Reply]
Leaves = Callable[[str, bytes], Mapping[str, bytes]]


def nobody(_: Call) -> Reply:
    raise NoAnswer("this partner speaks by files")


class Subject(msgspec.Struct, frozen=True):
    """An adapter to examine. `obeys` answers a call as a partner that does all it is told.

    `bare_success` says that in this protocol any 2xx means done, whatever stands in its body. Where answers refer to
    a block, `ref` is the reference that the obeying partner gives; `held` are the names that it lists as blocked. An
    adapter that speaks by files has `leaves` in place of `obeys`: the acknowledgement files, by their names, of a
    partner that does all that a file of orders says, given its name and content; none where it acknowledges nothing.
    """

    adapter: type[Adapter]
    settings: Mapping[str, Any]
    obeys: Partner = nobody
    bare_success: bool = False
    ref: str = ""
    held: tuple[str, ...] = ()
    leaves: Leaves | None = None

    def make(self) -> Adapter:
        return self.adapter(forms.checked(self.adapter.settings, self.settings))

    @property
    def ops(self) -> tuple[Op, ...]:
        return (Op.BLOCK, Op.RELEASE, Op.ENROL) if self.adapter.enrols else (Op.BLOCK, Op.RELEASE)


class ScriptedWire:
    """A wire to a partner in memory; keeps the calls. All places for files are one `shelf`, where files stand by their
    names; `trouble` is asked before each call for a file, and may raise."""

    def __init__(
        self, partner: Partner = nobody, shelf: dict[str, bytes] | None = None,
        trouble: Callable[[Call], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._partner = partner
        self._trouble = trouble
        self.shelf: dict[str, bytes] = {} if shelf is None else shelf
        self.calls: list[Call] = []

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        call = Call(method, url, dict(headers or {}), body)
        self.calls.append(call)
        return self._partner(call)

    def files(self, place: Place) -> ScriptedFiles:
        return ScriptedFiles(self)

    def handled(self, method: str, name: str, body: bytes = b"") -> None:
        call = Call(method, name, {}, body)
        self.calls.append(call)
        self._trouble(call)


class ScriptedFiles:
    """The files on a wire's shelf."""

    def __init__(self, wire: ScriptedWire) -> None:
        self._wire = wire

    async def names(self) -> Sequence[str]:
        self._wire.handled("NAMES", "")
        return sorted(name for name in self._wire.shelf if "/" not in name)

    async def read(self, name: str) -> bytes:
        self._wire.handled("READ", name)
        return self._there(name)

    async def write(self, name: str, body: bytes) -> None:
        self._wire.handled("WRITE", name, body)
        self._wire.shelf[name] = body

    async def move(self, name: str, to: str) -> None:
        self._wire.handled("MOVE", name)
        self._wire.shelf[to] = self._there(name)
        del self._wire.shelf[name]

    def _there(self, name: str) -> bytes:
        if name not in self._wire.shelf:
            raise Failing("there is no such file")
        return self._wire.shelf[name]


def orders(kinds: Sequence[Kind], count: int) -> tuple[Order, ...]:
    """Orders for as many identifiers, of each kind in turn."""
    return tuple(_order(kinds[place % len(kinds)], place) for place in range(count))


def _order(kind: Kind, place: int) -> Order:
    if kind is Kind.IMEI:
        key = 35_000_000_000_017 + place * 977
        return Order(key, version=place + 1, imei=full(key))
    return Order(place + 1, version=place + 1, serial=f"R58M{place:05d}XY", gtin="04012345123456")


def batch_of(subject: Subject, op: Op, count: int = 5, key: str = "partner-7:chunk-9:1") -> Batch:
    size = min(count, subject.make().batch_size)
    told = orders(sorted(subject.adapter.kinds), size)
    if op is Op.RELEASE:
        told = tuple(msgspec.structs.replace(order, ref=subject.ref) for order in told)
    return Batch(key, op, told, AT, reference="INC-2031-7", since=AT - timedelta(hours=2), number=9)


async def sent(
    subject: Subject, batch: Batch, partner: Partner
) -> tuple[Sequence[Answer], PartnerFault | None]:
    """What the adapter makes of a partner; whatever it says keeps the form and repeats no secret."""
    return await sent_over(subject, batch, ScriptedWire(partner))


async def sent_over(
    subject: Subject, batch: Batch, wire: ScriptedWire
) -> tuple[Sequence[Answer], PartnerFault | None]:
    """The same over a wire of the caller's."""
    try:
        answers = await subject.make().send(batch, wire)
    except PartnerFault as fault:
        hushed(subject, wire, "".join(traceback.format_exception(fault)), str(fault), repr(fault))
        return (), fault
    except Exception as error:
        raise Broken(f"send raised {error!r}; it may raise PartnerFault only") from error
    require(len(answers) == len(batch.orders), f"{len(batch.orders)} orders got {len(answers)} answers")
    for answer in answers:
        require(isinstance(answer, Answer), f"{answer!r} is no Answer")
        hushed(subject, wire, answer.code, answer.words, answer.ref)
        legible(answer.code, answer.words, answer.ref)
    return answers, None


def legible(*said: str) -> None:
    """Holds texts of a partner against what may be stored and shown."""
    for text in said:
        good = text.isprintable() and len(text) <= WORDS_LIMIT
        require(good, f"{text[:300]!r} is too long, or not printable")


def secrets(subject: Subject) -> tuple[str, ...]:
    return forms.secrets(msgspec.convert(subject.settings, subject.adapter.settings))


def hushed(subject: Subject, wire: ScriptedWire, *said: str) -> None:
    """Holds texts against the secrets of the settings, and of the calls that were made with them."""
    hidden = set(secrets(subject))
    for call in wire.calls:
        hidden.update(call.headers.get("authorization", "").split(" ")[1:])
    leaked = [text for text in said if any(secret in text for secret in hidden if secret)]
    require(not leaked, "a text repeats a secret of the settings")


def require(kept: bool, sentence: str) -> None:
    if not kept:
        raise Broken(sentence)


def good_news(answers: Sequence[Answer]) -> list[bool]:
    return [answer.outcome in _GOOD_NEWS for answer in answers]


async def no_good_news(subject: Subject, batch: Batch, partner: Partner, why: str) -> PartnerFault | None:
    answers, fault = await sent(subject, batch, partner)
    require(not any(good_news(answers)), f"good news was read from {why}: {answers[:2]}")
    return fault


def says(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Partner:
    """A partner that gives one answer to everything."""
    return lambda _: Reply(status, headers or {}, body)
