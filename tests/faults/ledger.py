"""A partner's own books: what it was told, in the order in which it acted. It knows nothing of the gateway, and
says at once where something older came after something newer, or a call came again under another key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

SAYS_DONE = ("done", "already")


class Broken(AssertionError):
    """A promise of the engine was broken, as somebody outside would notice."""


class Told(NamedTuple):
    """One identifier's wanted state, as a call names it."""

    name: str
    version: int
    op: str


class Ledger:
    """The books of one partner. `held` is what counts now, `done` what it has given its word on."""

    def __init__(self) -> None:
        self.book: list[Told] = []
        self.held: dict[str, Told] = {}
        self.done: set[Told] = set()
        self.waiting: dict[Told, None] = {}
        self.refused: dict[str, Told] = {}
        self.repeats = 0
        self._contents: dict[str, tuple[Told, ...]] = {}
        self._keys: dict[tuple[Told, ...], str] = {}

    def receive(self, key: str, orders: tuple[Told, ...]) -> None:
        """A call came in. One key is one content, and the other way round."""
        if self._contents.setdefault(key, orders) != orders:
            raise Broken(f"key {key} came with two contents: {self._contents[key]} and {orders}")
        if self._keys.setdefault(orders, key) != key:
            raise Broken(f"the same orders came under two keys: {orders}")

    def act(self, order: Told, verdict: str) -> None:
        """Does, promises or refuses what one order says."""
        held = self.held.get(order.name)
        if held and held.version > order.version:
            raise Broken(f"{order} came after {held}: an older state after a newer one")
        if verdict == "refused":
            self.refused[order.name] = order
        if verdict in (*SAYS_DONE, "accepted"):
            self.repeats += held == order
            self.book.append(order)
            self.held[order.name] = order
            self.refused.pop(order.name, None)
        if verdict in SAYS_DONE:
            self.done.add(order)
        if verdict == "accepted":
            self.waiting[order] = None

    def confirm(self, order: Told) -> None:
        """Gives its word on what it had only accepted."""
        self.waiting.pop(order, None)
        self.done.add(order)

    def blocked(self) -> set[str]:
        return {name for name, told in self.held.items() if told.op == "block"}

    def settled_by(self, orders: Counter[Told]) -> int:
        """Of how many of these orders it has ever said that they are done."""
        return sum(1 for order in orders if order in self.done)


def read_event(body: bytes) -> tuple[Told, ...]:
    """The orders in a CloudEvent of ours."""
    data = json.loads(body)["data"]
    return tuple(Told(entry["identifier"], entry["version"], data["op"]) for entry in data["identifiers"])


def answer(said: Mapping[str, str]) -> bytes:
    """The body of an answer that names an outcome for each identifier."""
    results = [{"identifier": name, "outcome": outcome} for name, outcome in said.items()]
    return json.dumps({"results": results}).encode()
