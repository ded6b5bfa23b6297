"""Roles are sets of permissions; a principal is a key, or a person who is signed in, acting in one role.

The identity behind the two-person rule is the key or the person: who submits an incident and who approves it are
compared by `identity`, whatever the roles allow.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from app.core.errors import Forbidden
from app.core.reach import Reach


class Permission(StrEnum):
    """What a role may allow, and a scope of a token narrow it to. `incidents:write` is to draft, submit and withdraw;
    `approve` also rejects; `devices:erase` forgets whose a sold device is. Two bear the names that their
    standards give the scopes: TS 29.511's and CAMARA's."""

    RECEIPTS_WRITE = "receipts:write"
    RECEIPTS_READ = "receipts:read"
    DEVICES_READ = "devices:read"
    DEVICES_ERASE = "devices:erase"
    TACS_WRITE = "tacs:write"
    INCIDENTS_READ = "incidents:read"
    INCIDENTS_WRITE = "incidents:write"
    INCIDENTS_APPROVE = "incidents:approve"
    INCIDENTS_LIFT = "incidents:lift"
    INCIDENTS_BREAK_GLASS = "incidents:break-glass"
    CHANGES_APPROVE = "changes:approve"
    PROPOSALS_READ = "proposals:read"
    RULES_READ = "rules:read"
    RULES_WRITE = "rules:write"
    GOLDEN_WRITE = "golden:write"
    STATUS_READ = "status:read"
    N5G_EIR = "n5g-eir-eic"
    DEVICE_AUTHENTICITY = "device-authenticity:check-status"
    BLOCKLIST_READ = "blocklist:read"
    SIGHTINGS_WRITE = "sightings:write"
    ALERTS_WRITE = "alerts:write"
    PARTNERS_READ = "partners:read"
    PARTNERS_WRITE = "partners:write"
    EVIDENCE_READ = "evidence:read"
    AUDIT_READ = "audit:read"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"


class Role(StrEnum):
    """What a key or a person is for; the database's CHECKs on `api_key.role` and `person.role` list the same."""

    GOODS_IN = "goods-in"
    INCIDENT_MANAGER = "incident-manager"
    APPROVER = "approver"
    CARRIER = "carrier"
    AUDITOR = "auditor"
    ADMIN = "admin"


_ASKING = frozenset(
    {
        Permission.STATUS_READ,
        Permission.N5G_EIR,
        Permission.DEVICE_AUTHENTICITY,
        Permission.BLOCKLIST_READ,
    }
)
_OVERVIEW = _ASKING | {
    Permission.INCIDENTS_READ,
    Permission.DEVICES_READ,
    Permission.RECEIPTS_READ,
    Permission.PARTNERS_READ,
    Permission.RULES_READ,
    Permission.PROPOSALS_READ,
}
_DECIDING = _OVERVIEW | {
    Permission.INCIDENTS_LIFT,
    Permission.ALERTS_WRITE,
    Permission.SIGHTINGS_WRITE,
    Permission.EVIDENCE_READ,
}

ALLOWED: dict[Role, frozenset[Permission]] = {
    Role.GOODS_IN: frozenset({Permission.RECEIPTS_WRITE, Permission.RECEIPTS_READ, Permission.DEVICES_READ}),
    Role.INCIDENT_MANAGER: _DECIDING | {Permission.INCIDENTS_WRITE, Permission.INCIDENTS_BREAK_GLASS},
    Role.APPROVER: _DECIDING | {Permission.INCIDENTS_APPROVE, Permission.CHANGES_APPROVE},
    Role.CARRIER: _ASKING | {Permission.SIGHTINGS_WRITE},
    Role.AUDITOR: _OVERVIEW
    | {Permission.EVIDENCE_READ, Permission.AUDIT_READ, Permission.KEYS_READ, Permission.PEOPLE_READ},
    Role.ADMIN: frozenset(Permission),
}


# What concerns everybody's goods: nobody has it whose reach has an end.
_OF_ALL = frozenset(
    {
        Permission.TACS_WRITE,
        Permission.DEVICES_ERASE,
        Permission.GOLDEN_WRITE,
        Permission.BLOCKLIST_READ,
        Permission.PARTNERS_READ,
        Permission.PARTNERS_WRITE,
        Permission.EVIDENCE_READ,
        Permission.AUDIT_READ,
        Permission.KEYS_READ,
        Permission.KEYS_WRITE,
        Permission.PEOPLE_READ,
        Permission.PEOPLE_WRITE,
        Permission.RULES_READ,
        Permission.RULES_WRITE,
        Permission.CHANGES_APPROVE,
    }
)


class Principal(msgspec.Struct, frozen=True):
    """Who is acting: `key_id` is the id of a key (`k_…`) or of a person (`p_…`). Two principals are the same exactly if
    it is the same. One who came with a token may do no more than its `scopes`. `quota`: identifiers a minute; 0: any
    number, None: as many as is usual. `reach`: whose goods it may see and touch; `networks`: from where it is good, as
    CIDR; None: all. Of a person: `groups` are his teams, `session` is where he is signed in, and `fresh` whether he has
    shown the second factor just now; for a machine's key that has no meaning, and is None."""

    key_id: str
    name: str
    role: Role
    scopes: frozenset[Permission] | None = None
    quota: int | None = None
    reach: Reach | None = None
    networks: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    fresh: bool | None = None
    session: str | None = None

    @property
    def identity(self) -> str:
        """Who it is, whatever he is called: `key:k_mfzwizlt`, `person:p_ojqxe2lb`."""
        return f"{'person' if self.key_id.startswith('p_') else 'key'}:{self.key_id}"

    @property
    def label(self) -> str:
        """How the audit log and people name this principal: `key:k_mfzwizlt (Night shift)`."""
        return f"{self.identity} ({self.name})"

    def is_named(self, label: str | None) -> bool:
        """Whether a label names this principal."""
        return label is not None and label.partition(" ")[0] == self.identity

    def require_fresh(self) -> None:
        """Raises Forbidden (`step-up-needed`) for a person who has not shown the second factor just now."""
        if self.fresh is False:
            raise Forbidden(
                "This wants the second factor anew: send a code to POST /v1/sessions/current/step-up, and then this"
                " again.",
                "step-up-needed",
            )

    def may(self, permission: Permission) -> bool:
        if self.reach is not None and permission in _OF_ALL:
            return False
        return permission in ALLOWED[self.role] and (self.scopes is None or permission in self.scopes)

    def require(self, permission: Permission) -> None:
        """Raises Forbidden (`permission-missing`) unless the role has the permission, and ScopeMissing where only the
        token lacks it."""
        if self.may(permission):
            return
        if self.reach is not None and permission in _OF_ALL:
            alone = f"{self.label} may act on the goods of some owners or sites alone"
            raise Forbidden(
                f"{alone}, and {permission} concerns everybody's.",
                "out-of-reach",
            )
        if permission in ALLOWED[self.role]:
            raise ScopeMissing(self, permission)
        having = ", ".join(role for role, allowed in ALLOWED.items() if permission in allowed)
        raise Forbidden(
            f"The role {self.role} of {self.label} lacks the permission {permission}. "
            f"Roles that have it: {having}.",
            "permission-missing",
        )


class ScopeMissing(Forbidden):
    """The role has the permission, and the token does not."""

    def __init__(self, who: Principal, scope: Permission) -> None:
        text = f"This token of {who.label} lacks the scope {scope}; a new token may have it."
        super().__init__(text, "scope-missing")
        self.scope = scope
