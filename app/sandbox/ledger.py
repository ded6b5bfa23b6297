"""What a practice partner was told, in memory: each identifier's state, how it came to it, and repeats.

The oracle of tests: it believes nothing that the gateway says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from app.core.imei import asked


class State(StrEnum):
    ENROLLED = "enrolled"
    BLOCKED = "blocked"
    RELEASED = "released"


def entry_name(identifier: str) -> str:
    """How an identifier stands in the ledger: an IMEI by its first 14 digits, a serial as it is."""
    key = asked(identifier)
    return identifier if key is None else f"{key:014d}"


class Ledger:
    """`states` holds blocked and released; `enrolled` only grows, for a locked device stays enrolled."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.calls = 0
        self.duplicates = 0
        self.states: dict[str, State] = {}
        self.enrolled: set[str] = set()
        self._history: dict[str, list[str]] = {}

    def tell(self, identifier: str, state: State, call: str = "") -> bool:
        """Write that an identifier has a state; whether it had it before. `call` is the caller's key."""
        name = entry_name(identifier)
        known = name in self.enrolled if state is State.ENROLLED else self.states.get(name) is state
        self.duplicates += known
        self._history.setdefault(name, []).append(f"{state} {call}".strip())
        if state is State.ENROLLED:
            self.enrolled.add(name)
        else:
            self.states[name] = state
        return known

    def state(self, identifier: str) -> State | None:
        return self.states.get(entry_name(identifier))

    def is_enrolled(self, identifier: str) -> bool:
        return entry_name(identifier) in self.enrolled

    def history(self, identifier: str) -> list[str]:
        """What was said about an identifier, oldest first: a state, and the key of the call."""
        return self._history.get(entry_name(identifier), [])

    def counts(self) -> dict[str, int]:
        states = list(self.states.values())
        return {
            "blocked": states.count(State.BLOCKED),
            "released": states.count(State.RELEASED),
            "enrolled": len(self.enrolled),
            "calls": self.calls,
            "duplicates": self.duplicates,
        }

    def page(self, state: State, after: str, limit: int) -> list[str]:
        """The first `limit` names of a state that sort after `after`."""
        return sorted(name for name in self._of(state) if name > after)[:limit]

    def _of(self, state: State) -> Iterable[str]:
        if state is State.ENROLLED:
            return self.enrolled
        return [name for name, held in self.states.items() if held is state]
