"""What every adapter must pass, ours and third parties'. Needs no pytest; three lines make it a test module:

    @pytest.mark.parametrize("case", cases(SUBJECT), ids=str)
    def test_contract(case: Case) -> None:
        case.run()

A case raises Broken, which says what the adapter did and what would be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from app.adapters.conformance import calls, holdings, hostile, refs, results
from app.adapters.conformance.subject import Broken, Call, Partner, ScriptedWire, Subject
from app.adapters.contract import Holds

__all__ = ["Broken", "Call", "Case", "Partner", "ScriptedWire", "Subject", "cases"]


class Case:
    """One named check: run it, or call it and await the result."""

    def __init__(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
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
    found = [Case(name, partial(check, subject)) for name, check in (calls.ONCE | refs.ONCE).items()]
    for op in subject.ops:
        for name, check_op in (calls.PER_OP | refs.PER_OP | results.PER_OP).items():
            found.append(Case(f"{op}-{name}", partial(check_op, subject, op)))
        for name, body in hostile.BODIES.items():
            found.append(Case(f"{op}-body-{name}", partial(calls.hostile_body, subject, op, body)))
    return found + (_of_holdings(subject) if isinstance(subject.make(), Holds) else [])


def _of_holdings(subject: Subject) -> list[Case]:
    found = [Case(f"holdings-{name}", partial(check, subject)) for name, check in holdings.ONCE.items()]
    for name, body in hostile.BODIES.items():
        found.append(Case(f"holdings-body-{name}", partial(holdings.hostile_list, subject, name, body)))
    return found
