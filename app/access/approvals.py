"""How many people it takes, and who they must be. Owns the tables approval_rule and approval.

Every rule that fits applies, and of what they demand the strictest counts. An approval is of one content, by its
digest: of another content it is none. Who asks is never one of those who approve, which the caller sees to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import Annotated

import msgspec

from app.access.roles import ALLOWED, Permission, Principal
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Forbidden, Invalid, Missing
from app.core.sql import queries

_SQL = queries("approvals")
_LIMIT = 100
_MOST = 10**12
_Few = Annotated[tuple[str, ...], msgspec.Meta(max_length=_LIMIT)]


class Subject(StrEnum):
    """What takes several people."""

    BLOCK = "block"
    LIFT = "lift"
    PARTNER = "partner"
    KEY = "key"
    RULE = "rule"


class Matter(msgspec.Struct, frozen=True):
    """What is to be decided. `worth`: amounts by currency; None under '' where nobody knows it, and it may be any.
    `sites`: all that it concerns."""

    subject: Subject
    devices: int = 0
    worth: Mapping[str, Decimal | None] = {}
    sites: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


class Demand(msgspec.Struct, frozen=True):
    """So many others, within so many hours; one at least of each of `groups`, with `distinct_groups` no two for the
    same group, with `people_only` no machine's key. `rules`: which say so."""

    approvers: int = 0
    groups: tuple[str, ...] = ()
    distinct_groups: bool = False
    people_only: bool = False
    hours: int = 720
    rules: tuple[int, ...] = ()

    def and_(self, other: Demand) -> Demand:
        """The stricter of each."""
        return Demand(
            max(self.approvers, other.approvers),
            tuple(sorted({*self.groups, *other.groups})),
            self.distinct_groups or other.distinct_groups,
            self.people_only or other.people_only,
            min(self.hours, other.hours),
            tuple(sorted({*self.rules, *other.rules})),
        )

    @property
    def people(self) -> int:
        """How many others it takes."""
        return max(self.approvers, len(self.groups))


class Given(msgspec.Struct, frozen=True):
    """An approval: whose, of which groups he is, and when."""

    identity: str
    label: str
    groups: tuple[str, ...]
    at: datetime

    @property
    def is_person(self) -> bool:
        return self.identity.startswith("person:")


class NewRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `least_devices` devices and `least_value` money on, at these sites and of these kinds of incident (for
    `key` these roles; null: all), `subject` takes so many `approvers` within `hours`: one at least of each of `groups`,
    with `distinct_groups` no two for the same group, with `people_only` no machine's key."""

    subject: Subject
    approvers: Annotated[int, msgspec.Meta(ge=0, le=3)]
    least_devices: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    least_value: Decimal = Decimal(0)
    currency: Annotated[str, msgspec.Meta(pattern="^([A-Z]{3})?$")] = ""
    sites: _Few | None = None
    kinds: _Few | None = None
    groups: Annotated[tuple[str, ...], msgspec.Meta(max_length=3)] = ()
    distinct_groups: bool = False
    people_only: bool = False
    hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 72


class Rule(NewRule, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A rule in force."""

    rule_id: int
    made_by: str
    made_at: datetime


async def demanded(conn: Connection, matter: Matter) -> Demand:
    """What the rules in force demand now."""
    return demand(await rules(conn), matter)


def demand(rules: Collection[Rule], matter: Matter) -> Demand:
    """What these rules demand: all of those that fit, the strictest of each."""
    return reduce(Demand.and_, (_demand(rule) for rule in rules if _fits(rule, matter)), Demand())


def _fits(rule: Rule, matter: Matter) -> bool:
    return (
        rule.subject is matter.subject
        and rule.least_devices <= matter.devices
        and (rule.sites is None or not {*rule.sites}.isdisjoint(matter.sites))
        and (rule.kinds is None or not {*rule.kinds}.isdisjoint(matter.kinds))
        and (not rule.currency or _is_worth(rule, matter))
    )


def _is_worth(rule: Rule, matter: Matter) -> bool:
    """An amount that nobody knows reaches any."""
    amount = matter.worth.get(rule.currency)
    return "" in matter.worth or (amount is not None and amount >= rule.least_value)


def _demand(rule: Rule) -> Demand:
    return Demand(
        rule.approvers, rule.groups, rule.distinct_groups, rule.people_only, rule.hours, (rule.rule_id,)
    )


def lacking(demand: Demand, given: Sequence[Given]) -> str:
    """What is missing; '' where it is enough. People stand for one group each (a matching of both)."""
    given = [one for one in given if one.is_person or not demand.people_only]
    taken: dict[str, Given] = {}
    missing = [group for group in demand.groups if not _stands_for(group, given, taken, set())]
    if missing:
        return f"somebody of {' and somebody of '.join(missing)}"
    if demand.distinct_groups:
        for group in sorted({group for one in given for group in one.groups} - {*demand.groups}):
            _stands_for(group, given, taken, set())
        count, of = len(taken), " of another group"
    else:
        count, of = len(given), ""
    left = demand.people - count
    return f"{left} {'people' if left > 1 else 'person'} more{of}" if left > 0 else ""


def _stands_for(group: str, given: Sequence[Given], taken: dict[str, Given], tried: set[str]) -> bool:
    """Whether somebody can stand for this group, where need be by letting another stand for his former one."""
    for one in given:
        if group not in one.groups or one.identity in tried:
            continue
        tried.add(one.identity)
        former = next((name for name, who in taken.items() if who.identity == one.identity), None)
        if former is None or _stands_for(former, given, taken, tried):
            taken[group] = one
            return True
    return False


def stored(demand: Demand) -> object:
    """As a column holds it."""
    return msgspec.to_builtins(demand)


async def endorse(
    conn: Connection, subject: str, number: int, round_: int, actor: Principal, digest: bytes, now: datetime
) -> bool:
    """His approval of what has this digest; False if he had approved it before."""
    row = (subject, number, round_, actor.identity, actor.label, actor.groups, digest, now)
    return bool(await conn.fetchval(_SQL.endorse, *row))


async def given(conn: Connection, subject: str, number: int, round_: int, digest: bytes) -> list[Given]:
    """The approvals of what has this digest, in their order."""
    return [
        msgspec.convert(dict(row), Given)
        for row in await conn.fetch(_SQL.given, subject, number, round_, digest)
    ]


async def unmet(conn: Connection, said: NewRule) -> str:
    """What nobody can meet of a rule as things are; '' where nothing is known to stand against it."""
    roles = [role for role, allowed in ALLOWED.items() if Permission.INCIDENTS_APPROVE in allowed]
    teams = {row["team"] for row in await conn.fetch(_SQL.teams, roles)}
    if missing := sorted({*said.groups} - teams):
        return f"Nobody who may approve is of {', '.join(missing)}"
    if said.distinct_groups and len(teams) < said.approvers:
        return f"Those who may approve are of {len(teams)} teams, and it takes {said.approvers}"
    return ""


async def forget(conn: Connection, identity: str) -> None:
    """Approvals of what still waits, by somebody who is let in no longer or may do something else, count no more."""
    await conn.execute(_SQL.forget, identity)


def must_be_a_person(actor: Principal, demand: Demand) -> None:
    """Raises Forbidden (`people-only`) for a machine's key where the demand is of people."""
    if demand.people_only and actor.session is None:
        raise Forbidden(
            f"This takes people who sign in, by rule {', '.join(map(str, demand.rules))}; {actor.label} is a key.",
            "people-only",
        )


async def rules(conn: Connection) -> list[Rule]:
    """Those in force, by subject."""
    return [msgspec.convert(dict(row), Rule, strict=False) for row in await conn.fetch(_SQL.rules)]


async def add_rule(conn: Connection, said: NewRule, by: str, now: datetime) -> int:
    """Raises Invalid."""
    if flaws := _flaws(said):
        raise Invalid(f"This is no rule: {flaws[0].detail}.", "rule-wrong", flaws)
    fields = (
        getattr(said, name) for name in NewRule.__struct_fields__ if name not in ("subject", "approvers")
    )
    devices, value, currency, sites, kinds, groups, distinct, people, hours = fields
    number: int = await conn.fetchval(
        _SQL.add_rule, said.subject, devices, value, currency, sites, kinds, said.approvers, groups, distinct, people,
        hours, by, now,
    )  # fmt: skip
    return number


def _flaws(said: NewRule) -> tuple[Flaw, ...]:
    found = []
    if said.subject is Subject.BLOCK and said.approvers < 1:
        found.append(Flaw("a block takes one person more at least", "/approvers"))
    if not said.least_value.is_finite() or not 0 <= said.least_value < _MOST:
        found.append(Flaw("it would be an amount of 0 or more, below 10^12", "/least_value"))
    elif (said.least_value > 0) != bool(said.currency):
        found.append(Flaw("a value has its currency, as EUR, and no other rule has one", "/currency"))
    for field in ("sites", "kinds", "groups"):
        names: Collection[str] | None = getattr(said, field)
        if names is not None and (
            not all(_is_name(one) for one in names) or (not names and field != "groups")
        ):
            found.append(
                Flaw("it would name at least one, each of 1 to 200 printable characters", f"/{field}")
            )
    return tuple(found)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 200 and text.isprintable()


async def end_rule(conn: Connection, rule_id: int, by: str, now: datetime) -> Rule:
    """The rule that ended. Raises Missing, and Conflict (`last-rule`) where nothing would be left to say how many a
    block takes."""
    await conn.fetch(_SQL.lock_rules, Subject.BLOCK)
    ended = await conn.fetchrow(_SQL.end_rule, rule_id, by, now)
    if ended is None:
        raise Missing(f"There is no rule {rule_id} in force.", "rule-missing")
    left = await demanded(conn, Matter(Subject.BLOCK))
    if left.approvers < 1:
        raise Conflict(
            "This is the last rule that every block falls under; add another one first.", "last-rule"
        )
    return msgspec.convert(dict(ended), Rule, strict=False)


async def are_there_others(
    conn: Connection, actor: Principal, permission: Permission, since: datetime
) -> bool:
    """Whether anybody else has, or had at that moment or since, a right that concerns everybody's goods."""
    roles = [role for role, allowed in ALLOWED.items() if permission in allowed]
    return bool(await conn.fetchval(_SQL.are_there_others, actor.key_id, roles, since))
