"""Checks of single calls: what is asked, and what is read from statuses, silence and rubbish."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import msgspec

from app.adapters import settings as forms
from app.adapters.conformance import hostile
from app.adapters.conformance.subject import (
    AT,
    ELSEWHERE,
    Broken,
    Call,
    ScriptedWire,
    Subject,
    batch_of,
    good_news,
    no_good_news,
    orders,
    require,
    says,
    sent,
)
from app.adapters.contract import Denied, NoAnswer, Op, Reply, Throttled
from app.core.errors import Invalid, Unauthorised


async def _declares_itself(subject: Subject) -> None:
    adapter, form = subject.adapter, subject.adapter.settings
    require(adapter.kind.isascii() and adapter.kind.islower(), f"kind {adapter.kind!r} is no lower-case word")
    require(bool(adapter.title and adapter.kinds), "the title or the kinds are empty")
    require(subject.make().batch_size >= 1, "batch_size is under 1")
    shown = json.dumps(forms.public(form, subject.settings))
    held = forms.secrets(msgspec.convert(subject.settings, form))
    require(not any(secret in shown for secret in held), "the public settings show a secret")


async def _block_is_not_release(subject: Subject) -> None:
    told = []
    for op in (Op.BLOCK, Op.RELEASE):
        wire = ScriptedWire(subject.obeys)
        await subject.make().send(batch_of(subject, op), wire)
        told.append([(call.method, call.url, call.body) for call in wire.calls])
    require(told[0] != told[1], "block and release make the same request")


async def _reports_must_be_signed(subject: Subject) -> None:
    read = getattr(subject.make(), "confirmations", None)
    if read is None:
        return
    timestamp = str(int(AT.timestamp()))
    forged = {"webhook-id": "1", "webhook-timestamp": timestamp, "webhook-signature": "v1,AAAA"}
    for body in hostile.BODIES.values():
        for headers in ({}, forged):
            with suppress(Unauthorised, Invalid):
                raise Broken(f"an unsigned report was believed: {read(headers, body, AT)}")


async def obeyed(subject: Subject, op: Op) -> None:
    """A partner that does all it is told is understood, be it one order or many, of one kind or of all."""
    batches = [batch_of(subject, op, 1), batch_of(subject, op, 1000)]
    whole = batches[1]
    for kind in subject.adapter.kinds:
        batches.append(msgspec.structs.replace(whole, orders=orders((kind,), min(5, len(whole.orders)))))
    for batch in batches:
        answers, fault = await sent(subject, batch, subject.obeys)
        understood = fault is None and all(good_news(answers))
        require(understood, f"a partner that obeyed was not understood: {fault}")


async def repeated(subject: Subject, op: Op) -> None:
    """A repeat is the same request, but for what says when it is made."""
    batch = batch_of(subject, op)
    later = msgspec.structs.replace(batch, at=batch.at + timedelta(minutes=20))
    adapter, told = subject.make(), []
    for repeat in (batch, batch, later):
        wire = ScriptedWire(subject.obeys)
        await adapter.send(repeat, wire)
        told.append(wire.calls)
    require(told[0] == told[1], "the same batch made another request the second time")
    essence = [[(call.method, call.url, call.body) for call in calls] for calls in told]
    require(essence[0] == essence[2], "a repeat at a later time has another address or body")


async def _bad_status(subject: Subject, op: Op) -> None:
    called: list[str] = []

    def answers(status: int, call: Call) -> Reply:
        called.append(call.url)
        return Reply(status, {"location": ELSEWHERE}, subject.obeys(call).body)

    for status in (*range(100, 200), *range(300, 600)):
        fault = await no_good_news(subject, batch_of(subject, op), partial(answers, status), f"HTTP {status}")
        if status == 401:
            require(isinstance(fault, Denied), f"HTTP 401 came as {fault!r}; it would be Denied")
    require(ELSEWHERE not in called, "a redirect was followed")


async def _throttled(subject: Subject, op: Op) -> None:
    for value in hostile.RETRY_AFTER:
        slow_down = says(b"", 429, {"retry-after": value})
        fault = await no_good_news(subject, batch_of(subject, op), slow_down, "HTTP 429")
        if not isinstance(fault, Throttled):
            raise Broken(f"HTTP 429 came as {fault!r}; it would be Throttled")
        sane = fault.after is None or fault.after >= 0
        require(sane, f"Retry-After: {value[:40]} was read as {fault.after} seconds")


async def _unanswered(subject: Subject, op: Op) -> None:
    def silent(_: Call) -> Reply:
        raise NoAnswer("timed out after 15 s")

    await no_good_news(subject, batch_of(subject, op), silent, "silence")


async def hostile_body(subject: Subject, op: Op, body: bytes) -> None:
    """A body that means nothing in any protocol, with good statuses and a bad one."""
    for status in (200, 201, 202, 204, 500):
        answers, _ = await sent(subject, batch_of(subject, op), says(body, status))
        forgiven = subject.bare_success and status < 300
        require(forgiven or not any(good_news(answers)), f"good news was read from it with HTTP {status}")


ONCE: dict[str, Callable[[Subject], Awaitable[None]]] = {
    "declares-itself": _declares_itself,
    "block-is-not-release": _block_is_not_release,
    "reports-must-be-signed": _reports_must_be_signed,
}
PER_OP: dict[str, Callable[[Subject, Op], Awaitable[None]]] = {
    "obeyed": obeyed,
    "repeated": repeated,
    "bad-status": _bad_status,
    "throttled": _throttled,
    "unanswered": _unanswered,
}
