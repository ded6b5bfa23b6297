"""What must be so, held against what is: each comparison ends as a line of the summary, with what differs."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from app.demo.goods import Goods, Unit
from app.demo.line import Line

PAGE = 100_000
SHOWN = 3


class Check(msgspec.Struct, frozen=True):
    """One thing that was checked; `fault` says what differs, and is empty where all is right."""

    what: str
    fault: str = ""


class Checks:
    """Everything that was checked, in order."""

    def __init__(self) -> None:
        self.made: list[Check] = []

    @property
    def faults(self) -> list[Check]:
        return [check for check in self.made if check.fault]

    def same(self, what: str, wanted: object, found: object) -> None:
        """Notes whether something is as it must be."""
        self.made.append(Check(what, "" if wanted == found else f"expected {wanted}, found {found}"))

    def same_set(self, what: str, wanted: Iterable[str], found: Iterable[str]) -> None:
        """Notes whether a set is exactly the one that it must be."""
        self.made.append(Check(what, difference(frozenset(wanted), frozenset(found))))


def difference(wanted: frozenset[str], found: frozenset[str]) -> str:
    """What differs between two sets, in a sentence; nothing where they are the same."""
    parts = [
        f"{len(names):,} {verb}, such as {', '.join(sorted(names)[:SHOWN])}"
        for verb, names in (("missing", wanted - found), ("too many", found - wanted))
        if names
    ]
    return "; ".join(parts)


class Held(msgspec.Struct, frozen=True):
    """The sets that one partner must hold in the end."""

    blocked: frozenset[str]
    released: frozenset[str]
    enrolled: frozenset[str] = frozenset()


def wanted(kind: str, goods: Goods) -> Held:
    """What a partner of this kind must hold in the end: the stolen in its scope, less the recovered."""
    stolen = frozenset(name for unit in goods.stolen for name in told(kind, goods, unit))
    released = frozenset(name for unit in goods.recovered for name in told(kind, goods, unit))
    return Held(stolen - released, released, goods.enrolled if kind == "knox_guard" else frozenset())


def told(kind: str, goods: Goods, unit: Unit) -> tuple[str, ...]:
    """The names of a device that a partner of this kind hears of."""
    if kind == "knox_guard":
        return goods.brand.names(unit)
    return unit.names if unit.imeis or kind == "webhook" else ()


async def hold(checks: Checks, kind: str, name: str, partner: Line, goods: Goods) -> None:
    """Asks a practice partner for its sets, and notes whether they are the ones that it must hold."""
    must = wanted(kind, goods)
    counts, faults = [], []
    for state in must.__struct_fields__:
        names: frozenset[str] = getattr(must, state)
        fault = difference(names, await _held(partner, state))
        counts += [f"{len(names):,} {state}"] if names else []
        faults += [f"{state}: {fault}"] if fault else []
    checks.made.append(
        Check(f"{name} itself holds exactly {', '.join(counts) or 'nothing'}", "; ".join(faults))
    )


async def _held(partner: Line, state: str) -> frozenset[str]:
    found: set[str] = set()
    after: str | None = ""
    while after is not None:
        query = f"state={state}&limit={PAGE}&after={quote(after)}"
        page = await partner.told("GET", f"/sandbox/identifiers?{query}")
        found |= set(page["identifiers"])
        after = page["after"]
    return frozenset(found)
