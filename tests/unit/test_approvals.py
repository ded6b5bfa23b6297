"""How many people it takes: rules come together to the strictest, and people stand for groups."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.access.approvals import Demand, Given, Matter, Rule, Subject, demand, lacking

NOW = datetime(2026, 12, 22, 2, 0, tzinfo=UTC)
GROUPS = ("law", "security", "stock")


def people(*groups: str) -> list[Given]:
    """One person for each word, of the groups that it names by their first letters."""
    of = {name[0]: name for name in GROUPS}
    return [
        Given(f"key:k_{n}", f"key:k_{n} (x)", tuple(sorted(of[letter] for letter in word)), NOW)
        for n, word in enumerate(groups)
    ]


@pytest.mark.parametrize(
    ("demand", "given", "missing"),
    [
        (Demand(1), people(), "1 person more"),
        (Demand(1), people(""), ""),
        (Demand(3), people("", ""), "1 person more"),
        (Demand(3), people(""), "2 people more"),
        (Demand(1, groups=("security",)), people("l"), "somebody of security"),
        (Demand(1, groups=("security",)), people("l", "s"), ""),
        (Demand(2, distinct_groups=True), people("s", "s"), "1 person more of another group"),
        (Demand(2, distinct_groups=True), people("s", ""), "1 person more of another group"),
        (Demand(2, distinct_groups=True), people("s", "l"), ""),
        # The first could stand for both, and must for one.
        (Demand(2, groups=("law", "security")), people("ls", "l"), ""),
        (Demand(1, groups=("law", "security")), people("ls"), "somebody of security"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(demand, given, missing):
    given = [
        Given(one.identity, one.label, tuple("security" if g == "stock" else g for g in one.groups), NOW)
        for one in given
    ]
    assert lacking(demand, given) == missing


several = some.lists(some.sets(some.sampled_from(GROUPS)), max_size=5)
demands = some.builds(
    Demand,
    approvers=some.integers(0, 3),
    groups=some.sets(some.sampled_from(GROUPS)).map(lambda found: tuple(sorted(found))),
    distinct_groups=some.booleans(),
)


@given(demands, several)
def test_it_is_enough_exactly_where_people_can_be_told_apart(demand, groups):
    """Beside every way to give each group a person of its own."""
    found = [Given(f"key:k_{n}", "x", tuple(sorted(of)), NOW) for n, of in enumerate(groups)]
    assert (lacking(demand, found) == "") is enough(demand, found)


def enough(demand: Demand, found: list[Given]) -> bool:
    others = [one for one in GROUPS if one not in demand.groups] if demand.distinct_groups else []
    for count in range(len(others) + 1):
        for more in permutations(others, count):
            wanted = [*demand.groups, *more]
            for chosen in permutations(found, len(wanted)):
                fits = all(group in one.groups for group, one in zip(wanted, chosen, strict=True))
                told = len(wanted) if demand.distinct_groups else len(found)
                if fits and told >= demand.people:
                    return True
    return False


@given(demands, demands, several)
def test_two_rules_together_are_as_strict_as_each(one, other, groups):
    found = [Given(f"key:k_{n}", "x", tuple(sorted(of)), NOW) for n, of in enumerate(groups)]
    if not lacking(one.and_(other), found):
        assert not lacking(one, found)
        assert not lacking(other, found)


def a_rule(number: int, **said: object) -> Rule:
    return Rule(
        **{"subject": Subject.BLOCK, "approvers": 1, **said}, rule_id=number, made_by="x", made_at=NOW
    )


@pytest.mark.parametrize(
    ("matter", "rules"),
    [
        (Matter(Subject.BLOCK), (1,)),
        (Matter(Subject.LIFT), ()),
        (Matter(Subject.BLOCK, devices=9), (1,)),
        (Matter(Subject.BLOCK, devices=10), (1, 2)),
        (Matter(Subject.BLOCK, sites=("NCE-9", "PAR-1")), (1, 3)),
        (Matter(Subject.BLOCK, kinds=("fraud",)), (1, 4)),
        (Matter(Subject.BLOCK, worth={"EUR": Decimal("99.99")}), (1,)),
        (Matter(Subject.BLOCK, worth={"EUR": Decimal(100)}), (1, 5)),
        (Matter(Subject.BLOCK, worth={"USD": Decimal(10_000)}), (1,)),
        # What nobody knows may be any amount.
        (Matter(Subject.BLOCK, worth={"": None}), (1, 5)),
    ],
)
def test_rules_apply_together(matter, rules):
    held = [
        a_rule(1),
        a_rule(2, least_devices=10, approvers=2, hours=24),
        a_rule(3, sites=("PAR-1", "LYS-2"), groups=("security",)),
        a_rule(4, kinds=("fraud",), people_only=True),
        a_rule(5, least_value=Decimal(100), currency="EUR", approvers=3),
    ]
    found = demand(held, matter)
    assert found.rules == rules
    assert (found.approvers, found.hours) == (
        3 if 5 in rules else 2 if 2 in rules else min(1, len(rules)),
        720 if not rules else 24 if 2 in rules else 72,
    )
    assert (found.groups, found.people_only) == (("security",) if 3 in rules else (), 4 in rules)
