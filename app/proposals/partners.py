"""Deeds that decide whom the gateway tells, and how."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from app.access.approvals import Matter, Subject
from app.access.roles import Permission, Principal
from app.core.db import Connection
from app.delivery import again, partners, tls
from app.delivery.partners import Limits, LimitsChange, Partner
from app.delivery.scope import PartnerScope, ScopeChange
from app.delivery.tls import Tls, TlsChange
from app.proposals.deed import Deed, Done, Means

_TOLD = ("name", "adapter", "scope", "limits", "allow_private")


class NewPartner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation to tell: adapter kind, its settings, what it is told of, how hard it may be called, whether
    its address may be a private one, and how TLS is spoken with it."""

    name: str
    adapter: str
    settings: dict[str, Any]
    scope: PartnerScope = PartnerScope()
    limits: Limits = Limits()
    allow_private: bool = False
    tls: Tls = Tls()


class PartnerChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays, also of the settings, the scope, the limits and TLS. To pause takes
    a reason."""

    settings: dict[str, Any] | None = None
    scope: ScopeChange | None = None
    limits: LimitsChange | None = None
    allow_private: bool | None = None
    tls: TlsChange | None = None
    paused: bool | None = None
    reason: str = ""


class _OfPartner(Deed, frozen=True):
    needs: ClassVar[Permission] = Permission.PARTNERS_WRITE
    has_secrets: ClassVar[bool] = True


class AddPartner(_OfPartner, frozen=True, tag="partner-add"):
    """Tell somebody else too."""

    said: NewPartner

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        given = {**msgspec.structs.asdict(self.said), "tls": msgspec.to_builtins(self.said.tls)}
        number = await partners.add(conn, **given, keyring=means.keyring, now=now)
        added = await partners.remember(conn, "partner.added", number, actor, now)
        return Done(added, _shown(added), Matter(Subject.PARTNER), f"partner:{added.id}")


class ChangePartner(_OfPartner, frozen=True, tag="partner-change"):
    """Tell it otherwise. To pause it, or to go on, takes nobody else."""

    partner_id: int
    said: PartnerChange

    @property
    def place(self) -> str:
        return f"partner:{self.partner_id}"

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        found = await partners.hold(conn, self.partner_id)
        partners.must_be_there(found)
        named = {name: getattr(self.said, name) for name in ("settings", "scope", "limits", "allow_private")}
        named["tls"] = self.said.tls and msgspec.to_builtins(self.said.tls)
        if is_more := any(value is not None for value in named.values()):
            await partners.change(conn, found, **named, keyring=means.keyring, now=now)
        if self.said.paused is not None:
            await self._pause_or_resume(conn)
        after = await partners.find(conn, self.partner_id)
        if self.said.paused is not None or _decided(after) != _decided(found):
            after = await partners.remember(conn, "partner.changed", self.partner_id, actor, now)
        becomes = {"was": _shown(found), "becomes": _shown(after)}
        return Done(after, becomes, Matter(Subject.PARTNER) if is_more else None)

    async def _pause_or_resume(self, conn: Connection) -> None:
        if self.said.paused:
            await partners.pause(conn, self.partner_id, self.said.reason)
        else:
            await partners.resume(conn, self.partner_id)


class RemovePartner(_OfPartner, frozen=True, tag="partner-remove"):
    """Tell it nothing any more."""

    partner_id: int
    leave_blocks: bool

    @property
    def place(self) -> str:
        return f"partner:{self.partner_id}"

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        found = await partners.find(conn, self.partner_id)
        await again.remove(conn, actor, self.partner_id, leave_blocks=self.leave_blocks, now=now)
        becomes = {"name": found.name, "leave_blocks": self.leave_blocks}
        return Done(None, becomes, Matter(Subject.PARTNER))


def _decided(partner: Partner) -> tuple[Any, ...]:
    """What a person decides of a partner; its health changes by itself."""
    return partner.settings, partner.scope, partner.limits, partner.allow_private, partner.tls


def _shown(partner: Partner) -> dict[str, Any]:
    """As those may see it who approve: without its secrets."""
    told = {name: msgspec.to_builtins(getattr(partner, name)) for name in _TOLD}
    return {**told, "settings": partner.public, "tls": tls.public(partner.tls)}
