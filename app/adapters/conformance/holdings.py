"""Checks of inventories: what an adapter reads, page by page, of what a partner holds. A list that was not read whole
and understood is a fault, and never a shorter list: what is missing from it would count as not blocked."""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from app.adapters.conformance import hostile
from app.adapters.conformance.subject import (
    AT,
    ELSEWHERE,
    Broken,
    Call,
    Partner,
    ScriptedWire,
    Subject,
    hushed,
    legible,
    require,
    says,
)
from app.adapters.contract import Denied, Holding, Holds, NoAnswer, PartnerFault, Reply, Throttled

CALLS_LIMIT = 5_000

# In some protocol each of these may say that nothing is held.
_MAY_BE_NOTHING = frozenset({"empty", "blank", "null", "no-items", "no-members"})


class _Endless(Exception):
    """Raised out of the wire, past what an adapter may catch of it."""


async def listed(subject: Subject, partner: Partner) -> tuple[Sequence[Holding], PartnerFault | None]:
    """What the adapter reads of a partner's holdings; it keeps the form, repeats no secret and ends."""
    adapter = subject.make()
    if not isinstance(adapter, Holds):
        raise Broken("the adapter has no holdings")
    wire = ScriptedWire(_bounded(partner))
    try:
        held = await adapter.holdings(wire, AT)
    except PartnerFault as fault:
        hushed(subject, wire, "".join(traceback.format_exception(fault)), str(fault), repr(fault))
        return (), fault
    except _Endless:
        raise Broken(f"after {CALLS_LIMIT} calls it was still reading") from None
    except Exception as error:
        raise Broken(f"holdings raised {error!r}; it may raise PartnerFault only") from error
    for holding in held:
        require(isinstance(holding, Holding) and bool(holding.name), f"{holding!r} is no Holding with a name")
        hushed(subject, wire, holding.name, holding.ref)
        legible(holding.name, holding.ref)
    return held, None


def _bounded(partner: Partner) -> Partner:
    calls = 0

    def answers(call: Call) -> Reply:
        nonlocal calls
        calls += 1
        if calls > CALLS_LIMIT:
            raise _Endless
        return partner(call)

    return answers


async def _fault(subject: Subject, partner: Partner, why: str) -> PartnerFault:
    held, fault = await listed(subject, partner)
    if fault is None:
        raise Broken(f"{why} was read as a list of {len(held)} holdings; it would be a PartnerFault")
    return fault


async def _obeyed(subject: Subject) -> None:
    held, fault = await listed(subject, subject.obeys)
    require(fault is None, f"a partner that obeyed was not understood: {fault}")
    names = sorted(holding.name for holding in held)
    require(
        names == sorted(subject.held), f"{names[:5]} was read; the partner holds {list(subject.held)[:5]}"
    )


async def _bad_status(subject: Subject) -> None:
    called: list[str] = []

    def answers(status: int, call: Call) -> Reply:
        called.append(call.url)
        return Reply(status, {"location": ELSEWHERE}, subject.obeys(call).body)

    for status in (*range(100, 200), *range(300, 600)):
        fault = await _fault(subject, partial(answers, status), f"HTTP {status}")
        if status == 401:
            require(isinstance(fault, Denied), f"HTTP 401 came as {fault!r}; it would be Denied")
        if status == 429:
            require(isinstance(fault, Throttled), f"HTTP 429 came as {fault!r}; it would be Throttled")
    require(ELSEWHERE not in called, "a redirect was followed")


async def _unanswered(subject: Subject) -> None:
    def silent(_: Call) -> Reply:
        raise NoAnswer("timed out after 15 s")

    await _fault(subject, silent, "silence")


async def _broken_off(subject: Subject) -> None:
    """A list that breaks off after its first answer, if there is more than one, or within it."""
    answers = 0

    def breaks(call: Call) -> Reply:
        nonlocal answers
        answers += 1
        return subject.obeys(call) if answers == 1 else Reply(500, {}, b"")

    held, fault = await listed(subject, breaks)
    require(fault is not None or answers == 1, f"{len(held)} holdings were read from a list that broke off")

    def cut(how: str, call: Call) -> Reply:
        good = subject.obeys(call)
        return Reply(good.status, good.headers, dict(hostile.broken(good.body))[how])

    for how in ("cut", "cut-by-one", "followed"):
        await _fault(subject, partial(cut, how), f"a list that is {how}")


async def _values_wrong(subject: Subject) -> None:
    for value in hostile.VALUES:
        for changed in (_everywhere, _in_one_entry):
            await listed(subject, lambda call, v=value, c=changed: _respoken(subject, call, c, v))  # type: ignore[misc]


async def _secrets_echoed(subject: Subject) -> None:
    def echoes(call: Call) -> Reply:
        return _respoken(subject, call, _everywhere, " ".join(call.headers.values()))

    await listed(subject, echoes)


async def _endless(subject: Subject) -> None:
    """Every page is the first one again; and every page is another one."""
    first: list[Reply] = []
    turns = 0

    def again(call: Call) -> Reply:
        first.append(subject.obeys(call))
        return first[0]

    def another(call: Call) -> Reply:
        nonlocal turns
        turns += 1
        again(call)
        return Reply(200, {}, _renumbered(first[0].body, turns))

    for partner in (again, another):
        await listed(subject, partner)


def _renumbered(body: bytes, turn: int) -> bytes:
    """The list with other identifiers and numbers in it, as if it went on."""

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: other(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [other(inner) for inner in value]
        if isinstance(value, str) and value[-4:].isdigit():
            return f"{value[:-4]}{(int(value[-4:]) + turn) % 10_000:04d}"
        return value + turn if isinstance(value, int) and value > 1 else value

    try:
        return json.dumps(other(json.loads(body))).encode()
    except ValueError:
        return body


def _respoken(subject: Subject, call: Call, changed: Callable[[Any, Any], Any], value: Any) -> Reply:
    good = subject.obeys(call)
    try:
        document = json.loads(good.body)
    except ValueError:
        return msgspec.structs.replace(good, body=str(value).encode(errors="replace"))
    return Reply(good.status, good.headers, json.dumps(changed(document, value)).encode())


def _everywhere(document: Any, value: Any) -> Any:
    return hostile.spoiled(document, lambda _: False, value)


def _in_one_entry(document: Any, value: Any) -> Any:
    return hostile.relisted(document, lambda entries: [_everywhere(entries[0], value), *entries[1:]])


async def hostile_list(subject: Subject, name: str, body: bytes) -> None:
    """A body that means nothing in any protocol, with good statuses and a bad one."""
    for status in (200, 201, 204):
        held, fault = await listed(subject, says(body, status))
        understood = fault is not None or (name in _MAY_BE_NOTHING and not held)
        require(understood, f"{len(held)} holdings were read from it with HTTP {status}")
    await _fault(subject, says(body, 500), "HTTP 500")


ONCE: dict[str, Callable[[Subject], Awaitable[None]]] = {
    "obeyed": _obeyed,
    "bad-status": _bad_status,
    "unanswered": _unanswered,
    "broken-off": _broken_off,
    "values-wrong": _values_wrong,
    "secrets-echoed": _secrets_echoed,
    "endless": _endless,
}
