"""Checks of an adapter that speaks by files: what it leaves for its partner, and when it says so."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from app.adapters.conformance.calls import obeyed, repeated
from app.adapters.conformance.subject import (
    Call,
    ScriptedWire,
    Subject,
    batch_of,
    good_news,
    require,
    secrets,
    sent_over,
)
from app.adapters.contract import Denied, Failing, NoAnswer, Op, PartnerFault

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_FAULTS = (NoAnswer("timed out after 15 s"), Denied("not accepted"), Failing("there is no such file"))


async def _whole(subject: Subject, op: Op) -> None:
    wire = ScriptedWire()
    answers, fault = await sent_over(subject, batch_of(subject, op), wire)
    require(fault is None and all(good_news(answers)), f"a place that takes all was not understood: {fault}")
    written = [call for call in wire.calls if call.method == "WRITE"]
    require(bool(written), "no file was written")
    require(
        len({call.url for call in written}) == len(written),
        "a file was written and then replaced: half of it was seen",
    )
    for call in written:
        require(_NAME.fullmatch(call.url) is not None, f"{call.url!r} is no name that every machine takes")
        leaked = [secret for secret in secrets(subject) if secret in call.url or secret.encode() in call.body]
        require(not leaked, "a file holds a secret of the settings")
    require(
        all(call.method != "MOVE" for call in wire.calls), "a file that was left for the partner was moved"
    )


async def _one_file_however_often(subject: Subject, op: Op) -> None:
    """Repeats leave the same files, the first time's bytes in each."""
    wire, batch = ScriptedWire(), batch_of(subject, op)
    await sent_over(subject, batch, wire)
    first = dict(wire.shelf)
    await sent_over(subject, batch, wire)
    require(wire.shelf == first, "a repeat of the same batch left other files")


async def _other_batches(subject: Subject, op: Op) -> None:
    """What is left for one batch is not replaced by another's."""
    wire = ScriptedWire()
    for number, key in enumerate(("partner-7:chunk-9:2", "PARTNER/7", "../../7", "7" * 500, "é\n")):
        before = dict(wire.shelf)
        await sent_over(subject, batch_of(subject, op, key=key), wire)
        kept = {name: wire.shelf[name] for name in before if name in wire.shelf}
        require(kept == before, "a file of one batch was replaced by another's")
        require(len(wire.shelf) > number, f"no file was written for the key {key[:20]!r}")
    require(
        all(map(_NAME.fullmatch, wire.shelf)), f"a name that not every machine takes: {sorted(wire.shelf)}"
    )


async def _trouble(subject: Subject, op: Op) -> None:
    for method in ("NAMES", "READ", "WRITE", "MOVE"):
        for fault in _FAULTS:
            met: list[Call] = []
            wire = ScriptedWire(trouble=_raising(fault, method, met))
            answers, _ = await sent_over(subject, batch_of(subject, op), wire)
            require(
                not met or not any(good_news(answers)),
                f"good news although {method} came to {type(fault).__name__}",
            )
            require(method != "WRITE" or bool(met), "no file was written")


def _raising(fault: PartnerFault, method: str, met: list[Call]) -> Callable[[Call], None]:
    def trouble(call: Call) -> None:
        if call.method == method:
            met.append(call)
            raise fault

    return trouble


PER_OP: dict[str, Callable[[Subject, Op], Awaitable[None]]] = {
    "obeyed": obeyed,
    "repeated": repeated,
    "files-whole": _whole,
    "files-once": _one_file_however_often,
    "files-other-batches": _other_batches,
    "files-trouble": _trouble,
}
