"""Checks of results: a good answer of the partner, cut, jumbled, contradicted, or repeating our secrets."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from app.adapters import settings as forms
from app.adapters.conformance import hostile
from app.adapters.conformance.subject import (
    Call,
    ScriptedWire,
    Subject,
    batch_of,
    good_news,
    no_good_news,
    require,
    says,
    sent,
)
from app.adapters.contract import Op, Reply


async def _broken_body(subject: Subject, op: Op) -> None:
    def answers(name: str, call: Call) -> Reply:
        good = subject.obeys(call)
        return Reply(good.status, good.headers, dict(hostile.broken(good.body))[name])

    told = await _told(subject, op)
    forgiven = subject.bare_success and told.document is None
    for name, _ in () if forgiven else hostile.broken(told.body):
        await no_good_news(subject, batch_of(subject, op), partial(answers, name), f"a body that is {name}")


async def _secrets_echoed(subject: Subject, op: Op) -> None:
    hidden = " ".join(forms.secrets(msgspec.convert(subject.settings, subject.adapter.settings)))
    told = await _told(subject, op)

    def echoes(status: int, call: Call) -> Reply:
        said = f"{hidden} {' '.join(call.headers.values())}"
        body = said.encode() if told.document is None else _dumped(told.spoiled(said))
        return Reply(status, {"location": said, "retry-after": said}, body)

    for status in (200, 201, 302, 400, 401, 429, 500):
        await sent(subject, batch_of(subject, op), partial(echoes, status))


class _Told(msgspec.Struct, frozen=True):
    """A good answer, and what can be changed in it: lists of results that name identifiers."""

    body: bytes
    document: Any
    names: frozenset[str]

    @property
    def has_results(self) -> bool:
        shorter = self.listed_after(lambda listed: listed[1:])
        named = all(name.encode() in self.body for name in self.names)
        return named and self.document not in (None, shorter, self.spoiled("zz"))

    def spoiled(self, value: Any) -> Any:
        return hostile.spoiled(self.document, self._is_name, value)

    def listed_after(self, change: hostile.Lists) -> Any:
        return hostile.relisted(self.document, change)

    def contradicted(self, listed: list[Any]) -> list[Any]:
        return list(hostile.spoiled(listed, self._is_name, "zz"))

    def about_another(self, listed: list[Any]) -> list[Any]:
        return list(hostile.spoiled(listed, lambda value: not self._is_name(value), "990000000000001"))

    def _is_name(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.names


async def _told(subject: Subject, op: Op) -> _Told:
    batch, bodies = batch_of(subject, op), []

    def kept(call: Call) -> Reply:
        reply = subject.obeys(call)
        bodies.append(reply.body)
        return reply

    await subject.make().send(batch, ScriptedWire(kept))
    return _Told(bodies[-1], _document(bodies[-1]), frozenset(order.name for order in batch.orders))


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


async def _result_left_out(subject: Subject, op: Op) -> None:
    told = await _told(subject, op)
    if told.has_results:
        rest = says(_dumped(told.listed_after(lambda listed: listed[1:])))
        answers, _ = await sent(subject, batch_of(subject, op), rest)
        require(not any(good_news(answers[:1])), "an identifier that the answer leaves out got good news")
        require(
            all(good_news(answers[1:])), "an identifier that is left out spoiled what was said of the others"
        )


async def _results_jumbled(subject: Subject, op: Op) -> None:
    told = await _told(subject, op)
    if told.has_results:
        jumbled = told.listed_after(lambda listed: [*told.about_another(listed[:1]), *reversed(listed)])
        answers, fault = await sent(subject, batch_of(subject, op), says(_dumped(jumbled)))
        require(
            fault is None and all(good_news(answers)), "another order, or one result more, was not understood"
        )


async def _results_contradict(subject: Subject, op: Op) -> None:
    told = await _told(subject, op)
    if told.has_results:
        after = told.listed_after(lambda listed: [*listed, *told.contradicted(listed)])
        before = told.listed_after(lambda listed: [*told.contradicted(listed), *listed])
        for document in (after, before):
            why = "results that contradict each other"
            await no_good_news(subject, batch_of(subject, op), says(_dumped(document)), why)


async def _values_wrong(subject: Subject, op: Op) -> None:
    told = await _told(subject, op)
    for value in hostile.VALUES if told.has_results else ():
        body = _dumped(told.spoiled(value))
        await no_good_news(subject, batch_of(subject, op), says(body), f"the value {str(value)[:40]!r}")


async def _members_twice(subject: Subject, op: Op) -> None:
    told = await _told(subject, op)
    if told.has_results:
        real, spoiled = told.document, told.spoiled("zz")
        for body in (hostile.doubled(real, spoiled), hostile.doubled(spoiled, real)):
            why = "members that are given twice"
            await no_good_news(subject, batch_of(subject, op), says(body.encode()), why)


PER_OP: dict[str, Callable[[Subject, Op], Awaitable[None]]] = {
    "broken-body": _broken_body,
    "secrets-echoed": _secrets_echoed,
    "result-left-out": _result_left_out,
    "results-jumbled": _results_jumbled,
    "results-contradict": _results_contradict,
    "values-wrong": _values_wrong,
    "members-twice": _members_twice,
}
