"""Roles are sets of permissions; a principal is a key acting in one role.

The identity behind the two-person rule is the key: who submits an incident and who approves it are
compared by `key_id`, whatever the roles allow.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from app.core.errors import Forbidden


class Permission(StrEnum):
    """What a role may allow. `incidents:write` is to draft, submit and withdraw; `approve` also rejects."""

    RECEIPTS_WRITE = "receipts:write"
    RECEIPTS_READ = "receipts:read"
    DEVICES_READ = "devices:read"
    TACS_WRITE = "tacs:write"
    INCIDENTS_READ = "incidents:read"
    INCIDENTS_WRITE = "incidents:write"
    INCIDENTS_APPROVE = "incidents:approve"
    INCIDENTS_LIFT = "incidents:lift"
    STATUS_READ = "status:read"
    BLOCKLIST_READ = "blocklist:read"
    PARTNERS_READ = "partners:read"
    PARTNERS_WRITE = "partners:write"
    AUDIT_READ = "audit:read"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"


class Role(StrEnum):
    """What a key is for; the database's CHECK on `api_key.role` lists the same."""

    GOODS_IN = "goods-in"
    INCIDENT_MANAGER = "incident-manager"
    APPROVER = "approver"
    CARRIER = "carrier"
    AUDITOR = "auditor"
    ADMIN = "admin"


_OVERVIEW = frozenset(
    {
        Permission.INCIDENTS_READ,
        Permission.DEVICES_READ,
        Permission.RECEIPTS_READ,
        Permission.STATUS_READ,
        Permission.BLOCKLIST_READ,
        Permission.PARTNERS_READ,
    }
)

ALLOWED: dict[Role, frozenset[Permission]] = {
    Role.GOODS_IN: frozenset({Permission.RECEIPTS_WRITE, Permission.RECEIPTS_READ, Permission.DEVICES_READ}),
    Role.INCIDENT_MANAGER: _OVERVIEW | {Permission.INCIDENTS_WRITE, Permission.INCIDENTS_LIFT},
    Role.APPROVER: _OVERVIEW | {Permission.INCIDENTS_APPROVE, Permission.INCIDENTS_LIFT},
    Role.CARRIER: frozenset({Permission.STATUS_READ, Permission.BLOCKLIST_READ}),
    Role.AUDITOR: _OVERVIEW | {Permission.AUDIT_READ, Permission.KEYS_READ},
    Role.ADMIN: frozenset(Permission),
}


class Principal(msgspec.Struct, frozen=True):
    """Who is acting. Two principals are the same person exactly if their `key_id` is the same."""

    key_id: str
    name: str
    role: Role

    @property
    def label(self) -> str:
        """How the audit log and people name this principal: `key:k_mfzwizlt (Night shift)`."""
        return f"key:{self.key_id} ({self.name})"

    def may(self, permission: Permission) -> bool:
        return permission in ALLOWED[self.role]

    def require(self, permission: Permission) -> None:
        """Raises Forbidden (`permission-missing`) unless the role has the permission."""
        if not self.may(permission):
            having = ", ".join(role for role, allowed in ALLOWED.items() if permission in allowed)
            raise Forbidden(
                f"The role {self.role} of {self.label} lacks the permission {permission}. "
                f"Roles that have it: {having}.",
                "permission-missing",
            )
