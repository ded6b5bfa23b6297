"""What every adapter must pass, ours and third parties'. Needs no pytest; three lines make it a test module:

    @pytest.mark.parametrize("case", cases(SUBJECT), ids=str)
    def test_contract(case: Case) -> None:
        case.run()

A case raises Broken, which says what the adapter did and what would be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from app.adapters.conformance import acks, calls, files, holdings, hostile, refs, results
from app.adapters.conformance.subject import Broken, Call, Leaves, Partner, ScriptedWire, Subject
from app.adapters.contract import Holds, Op

__all__ = ["Broken", "Call", "Case", "Leaves", "Partner", "ScriptedWire", "Subject", "cases"]

Check = Callable[[], Awaitable[None]]


class Case:
    """One named check: run it, or call it and await the result."""

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self._check = check

    def __str__(self) -> str:
        return self.name

    async def __call__(self) -> None:
        """Raises Broken."""
        await self._check()

    def run(self) -> None:
        """The same, in an event loop of its own. Raises Broken."""
        asyncio.run(self())


def cases(subject: Subject) -> list[Case]:
    """Every check, named, for one adapter."""
    found = [Case(name, partial(check, subject)) for name, check in calls.ONCE.items()]
    if subject.leaves is None:
        found += [Case(name, partial(check, subject)) for name, check in refs.ONCE.items()]
        found += [Case(*named) for op in subject.ops for named in _by_calls(subject, op)]
    else:
        found += [Case(*named) for op in subject.ops for named in _by_files(subject, op)]
    return found + (_of_holdings(subject) if isinstance(subject.make(), Holds) else [])


def _of_holdings(subject: Subject) -> list[Case]:
    found = [Case(f"holdings-{name}", partial(check, subject)) for name, check in holdings.ONCE.items()]
    for name, body in hostile.BODIES.items():
        found.append(Case(f"holdings-body-{name}", partial(holdings.hostile_list, subject, name, body)))
    return found


def _by_calls(subject: Subject, op: Op) -> Iterator[tuple[str, Check]]:
    for name, check in (calls.PER_OP | refs.PER_OP | results.PER_OP).items():
        yield f"{op}-{name}", partial(check, subject, op)
    for name, body in hostile.BODIES.items():
        yield f"{op}-body-{name}", partial(calls.hostile_body, subject, op, body)


def _by_files(subject: Subject, op: Op) -> Iterator[tuple[str, Check]]:
    for name, check in files.PER_OP.items():
        yield f"{op}-{name}", partial(check, subject, op)
    if acks.expected(subject):
        for name, check in acks.PER_OP.items():
            yield f"{op}-{name}", partial(check, subject, op)
        for name, body in hostile.BODIES.items():
            yield f"{op}-acks-body-{name}", partial(acks.hostile_body, subject, op, body)
