"""The table of who may do what, written out once more by hand."""

from __future__ import annotations

import pytest

from app.access.roles import ALLOWED, Permission, Principal, Role
from app.core.errors import Forbidden

ASKING = "status:read n5g-eir-eic device-authenticity:check-status blocklist:read"
OVERVIEW = f"{ASKING} receipts:read devices:read incidents:read partners:read rules:read proposals:read"
TABLE = {
    "goods-in": "receipts:write receipts:read devices:read",
    "incident-manager": (
        f"{OVERVIEW} evidence:read incidents:write incidents:break-glass incidents:lift alerts:write sightings:write"
    ),
    "approver": (
        f"{OVERVIEW} evidence:read incidents:approve changes:approve incidents:lift alerts:write sightings:write"
    ),
    "carrier": f"{ASKING} sightings:write",
    "auditor": f"{OVERVIEW} audit:read evidence:read keys:read people:read",
    "admin": (
        f"{OVERVIEW} receipts:write incidents:write incidents:approve incidents:lift alerts:write sightings:write "
        "golden:write devices:erase evidence:read incidents:break-glass rules:write changes:approve "
        "tacs:write partners:write audit:read keys:read keys:write people:read people:write"
    ),
}


def somebody(role: Role) -> Principal:
    return Principal("k_mfzwizlt", "Night shift", role)


@pytest.mark.parametrize("role", Role)
def test_each_role_allows_exactly_what_the_table_says(role: Role) -> None:
    allowed = {permission for permission in Permission if somebody(role).may(permission)}
    assert allowed == set(TABLE[role].split())


def test_every_permission_is_in_somebodys_hands_and_admin_has_all() -> None:
    assert set(ALLOWED) == set(Role)
    assert ALLOWED[Role.ADMIN] == set(Permission)


def test_an_auditor_reads_everything_and_writes_nothing() -> None:
    assert ALLOWED[Role.AUDITOR] == {p for p in Permission if p.endswith((":read", *ASKING.split()))}


def test_one_role_short_of_admin_never_both_submits_and_approves() -> None:
    both = {Permission.INCIDENTS_WRITE, Permission.INCIDENTS_APPROVE}
    assert [role for role, allowed in ALLOWED.items() if both <= allowed] == [Role.ADMIN]


def test_the_refusal_says_who_lacks_what_and_who_has_it() -> None:
    with pytest.raises(Forbidden) as refusal:
        somebody(Role.GOODS_IN).require(Permission.INCIDENTS_APPROVE)
    assert refusal.value.detail == (
        "The role goods-in of key:k_mfzwizlt (Night shift) lacks the permission incidents:approve. "
        "Roles that have it: approver, admin."
    )
    assert refusal.value.code == "permission-missing"


def test_what_is_allowed_passes() -> None:
    somebody(Role.APPROVER).require(Permission.INCIDENTS_APPROVE)


def test_a_token_allows_no_more_than_its_scopes_and_no_more_than_the_role() -> None:
    scopes = frozenset({Permission.STATUS_READ, Permission.INCIDENTS_APPROVE})
    asker = Principal("k_mfzwizlt", "Night shift", Role.CARRIER, scopes)
    assert [p for p in Permission if asker.may(p)] == [Permission.STATUS_READ]
    with pytest.raises(Forbidden) as refusal:
        asker.require(Permission.BLOCKLIST_READ)
    assert refusal.value.code == "scope-missing"
    assert "lacks the scope blocklist:read" in refusal.value.detail
    with pytest.raises(Forbidden) as refusal:
        asker.require(Permission.INCIDENTS_APPROVE)
    assert refusal.value.code == "permission-missing"


def test_a_person_is_known_by_his_id_whatever_he_is_called() -> None:
    marie = Principal("p_mfzwizlt", "Marie (night)", Role.APPROVER, fresh=False)
    assert marie.label == "person:p_mfzwizlt (Marie (night))"
    assert marie.is_named("person:p_mfzwizlt (Somebody else)")
    assert not marie.is_named("key:p_mfzwizlt (Marie (night))")
    assert not marie.is_named(None)
    with pytest.raises(Forbidden) as refusal:
        marie.require_fresh()
    assert refusal.value.code == "step-up-needed"
    somebody(Role.APPROVER).require_fresh()
