"""A partner's own books: what it was told, in the order in which it acted. It knows nothing of the gateway, and
says at once where something older came after something newer, or a call's key meant two things."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
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
    """The books of one partner. `held` is what counts now, `done` what it has given its word on, `others` what it has
    said that somebody else had blocked there; `keys` are those under which the same orders came."""

    def __init__(self) -> None:
        self.book: list[Told] = []
        self.held: dict[str, Told] = {}
        self.done: set[Told] = set()
        self.waiting: dict[Told, None] = {}
        self.others: set[str] = set()
        self.repeats = self.refusals = 0
        self.keys: defaultdict[tuple[Told, ...], set[str]] = defaultdict(set)
        self._contents: dict[str, tuple[Told, ...]] = {}

    def receive(self, key: str, orders: tuple[Told, ...]) -> None:
        """A call came in. One key is one content."""
        if self._contents.setdefault(key, orders) != orders:
            raise Broken(f"key {key} came with two contents: {self._contents[key]} and {orders}")
        self.keys[orders].add(key)

    def act(self, order: Told, verdict: str, *, late: bool = False) -> None:
        """Does, promises or refuses what one order says. `late`: its worker slept through its lease, so that it may
        be an older state than that which is held."""
        held = self.held.get(order.name)
        if held and held.version > order.version and not late:
            raise Broken(f"{order} came after {held}: an older state after a newer one")
        if verdict in (*SAYS_DONE, "accepted"):
            self._take(order, verdict)
        self.refusals += verdict == "refused"
        if verdict in SAYS_DONE:
            self.done.add(order)
        if verdict == "accepted":
            self.waiting[order] = None

    def _take(self, order: Told, verdict: str) -> None:
        held = self.held.get(order.name)
        self.repeats += held == order
        if order.op == "release":
            self.others.discard(order.name)
        elif verdict == "already" and not (held and held.op == "block"):
            self.others.add(order.name)
        self.book.append(order)
        self.held[order.name] = order

    def confirm(self, order: Told) -> None:
        """Gives its word on what it had only accepted."""
        self.waiting.pop(order, None)
        self.done.add(order)

    def wrong(self, blocked: set[str]) -> set[str]:
        """What it holds otherwise than wanted; what somebody else has blocked there may stay so."""
        held = {name for name, told in self.held.items() if told.op == "block"}
        return (blocked - held) | (held - blocked - self.others)

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
