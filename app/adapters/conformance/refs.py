"""Checks of references: what a partner calls a block goes back to it at the release, and is hostile text until then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec

from app.adapters.conformance.subject import (
    AT,
    Call,
    Subject,
    batch_of,
    good_news,
    orders,
    require,
    sent,
)
from app.adapters.contract import Answer, Batch, Op, Order, Reply

_HOSTILE = (
    "../elsewhere",
    "1/../../elsewhere",
    "1/elsewhere",
    "..",
    "%2e%2e%2felsewhere",
    "1%0d%0ax-evil: 1",
    "1?all=true",
    "1#top",
    "1&all=true",
    "1;all=true",
    "1 2",
    "1\r\nx-evil: 1",
    "1\x00",
    "\\\\elsewhere\\",
    "@169.254.169.254/",
    "//169.254.169.254/",
    "\u0661\u0662",
    "\uff11\uff12",
    "\ud800",
    "1" * 5000,
)


async def _used(subject: Subject) -> None:
    """Whatever the identifier: the reference alone says which block is meant."""
    for order in orders(sorted(subject.adapter.kinds), 3) if subject.ref else ():
        named = (msgspec.structs.replace(order, ref=subject.ref),)
        answers, calls = await _heard(
            subject, msgspec.structs.replace(batch_of(subject, Op.RELEASE), orders=named)
        )
        understood = bool(answers) and all(good_news(answers))
        require(understood, "a release by its reference was not understood")
        said = " ".join(f"{call.url} {call.body!r}" for call in calls).replace(order.name, "")
        require(subject.ref in said, f"the release does not name the partner's reference {subject.ref!r}")


async def _told_by_the_block(subject: Subject) -> None:
    if not subject.ref:
        return
    answers, _ = await sent(subject, batch_of(subject, Op.BLOCK, 1), subject.obeys)
    refs = [answer.ref for answer in answers]
    require(refs == [subject.ref], f"the block's answer refers to {refs}; the partner said {subject.ref!r}")


async def _missing(subject: Subject) -> None:
    answers, fault = await sent(subject, _with_ref(subject, ""), subject.obeys)
    understood = fault is None and all(good_news(answers))
    require(understood, f"a release without a reference was not understood: {fault}")


async def _hostile(subject: Subject) -> None:
    for ref in _HOSTILE:
        for call in (await _heard(subject, _with_ref(subject, ref)))[1]:
            require(ref not in call.url, f"the reference {ref[:40]!r} stands in an address as it came")
            legal = call.url.isascii() and call.url.isprintable() and len(call.url) < 4000
            require(legal, f"the reference {ref[:40]!r} makes an address that is none")
            require(
                all(map(_is_header, call.headers.values())), f"the reference {ref[:40]!r} breaks a header"
            )


async def _heard(subject: Subject, batch: Batch) -> tuple[Sequence[Answer], list[Call]]:
    """The answers, and what an obeying partner was asked."""
    calls: list[Call] = []

    def obeys(call: Call) -> Reply:
        calls.append(call)
        return subject.obeys(call)

    answers, _ = await sent(subject, batch, obeys)
    return answers, calls


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _with_ref(subject: Subject, ref: str) -> Batch:
    batch = batch_of(subject, Op.RELEASE)
    named: tuple[Order, ...] = tuple(msgspec.structs.replace(order, ref=ref) for order in batch.orders)
    return msgspec.structs.replace(batch, orders=named)


async def _tried_before(subject: Subject, op: Op) -> None:
    """What may have been told before is told again, or found: no difference to who asks."""
    for ago in (timedelta(0), timedelta(minutes=20), timedelta(days=3)):
        batch = msgspec.structs.replace(batch_of(subject, op), tried=AT - ago)
        answers, fault = await sent(subject, batch, subject.obeys)
        understood = fault is None and all(good_news(answers))
        require(understood, f"what was tried {ago} before was not understood: {fault}")


ONCE: dict[str, Callable[[Subject], Awaitable[None]]] = {
    "ref-told-by-the-block": _told_by_the_block,
    "ref-used": _used,
    "ref-missing": _missing,
    "ref-hostile": _hostile,
}
PER_OP: dict[str, Callable[[Subject, Op], Awaitable[None]]] = {"tried-before": _tried_before}
