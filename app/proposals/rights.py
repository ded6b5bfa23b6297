"""Deeds that decide who may do what: people, keys of others, and the rules themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from app.access import approvals, keys, people
from app.access.approvals import Matter, NewRule, Rule, Subject
from app.access.ends import Ends
from app.access.keys import Written
from app.access.people import NewPerson, PersonChanges
from app.access.roles import Permission, Principal
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.errors import Forbidden
from app.core.reach import Reach
from app.proposals.deed import Deed, Done, Means


def _matter(*roles: str) -> Matter:
    """Rules name the roles that they are about as kinds."""
    return Matter(Subject.KEY, kinds=roles)


class AddPerson(Deed, frozen=True, tag="person-add"):
    """Let somebody in. Where others approve it, the invitation is asked for afterwards."""

    needs: ClassVar[Permission] = Permission.PEOPLE_WRITE

    said: NewPerson

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        made = await people.add(conn, self.said, by=actor.label, now=now, random=means.random)
        told = ("role", "groups", "owners", "sites")
        detail = {name: getattr(self.said, name) for name in told}
        place = f"person:{made.person_id}"
        await record(conn, [Entry("person.added", place, actor.label, now, detail)])
        return Done(made, msgspec.to_builtins(self.said), _matter(self.said.role), place)


class _OfPerson(Deed, frozen=True):
    needs: ClassVar[Permission] = Permission.PEOPLE_WRITE

    person_id: str

    @property
    def place(self) -> str:
        return f"person:{self.person_id}"


class ChangePerson(_OfPerson, frozen=True, tag="person-change"):
    """Let somebody do something else."""

    said: PersonChanges

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        before = await people.held(conn, self.person_id)
        after = await people.change(conn, actor, self.person_id, self.said)
        was, becomes = (PersonChanges(one.role, one.groups, one.owners, one.sites) for one in (before, after))
        detail = msgspec.to_builtins(becomes)
        await record(conn, [Entry("person.changed", self.place, actor.label, now, detail)])
        return Done(
            becomes, {"was": msgspec.to_builtins(was), "becomes": detail}, _matter(before.role, after.role)
        )


class ResetFactor(_OfPerson, frozen=True, tag="person-reset-factor"):
    """Take away a lost second factor; who holds the invitation then can be that person."""

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        if self.person_id == actor.key_id:
            raise Forbidden("Nobody gives himself an invitation; another admin can.", "own-rights")
        who = await people.held(conn, self.person_id)
        made = await people.reset(conn, self.person_id, now, means.random)
        await record(conn, [Entry("person.reset", self.place, actor.label, now)])
        return Done(made, {"person": self.person_id}, _matter(who.role))


class CreateKey(Deed, frozen=True, tag="key-create"):
    """Let a machine in. Its secret was shown to whoever proposes it, and is good once this is done."""

    needs: ClassVar[Permission] = Permission.KEYS_WRITE

    written: Written
    key_name: str
    role: str
    quota: int | None = None
    owners: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    expires_at: datetime | None = None

    @property
    def place(self) -> str:
        return f"key:{self.written.key_id}"

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        ends = Ends(Reach.of(self.owners, self.sites), self.networks, self.expires_at)
        await keys.add(
            conn, self.written, name=self.key_name, role=self.role, by=actor.label, now=now, ends=ends
        )
        detail: dict[str, Any] = {"name": self.key_name, "role": self.role}
        if self.quota is not None:
            await keys.set_quota(conn, self.written.key_id, self.quota)
            detail["quota"] = self.quota
        named = ("owners", "sites", "networks", "expires_at")
        detail |= {name: value for name in named if (value := getattr(self, name)) is not None}
        await record(conn, [Entry("key.created", self.place, actor.label, now, detail)])
        return Done(self.written.key_id, msgspec.to_builtins(detail), _matter(self.role))


class RotateKey(Deed, frozen=True, tag="key-rotate"):
    """Give a key another secret; one's own takes nobody else."""

    needs: ClassVar[Permission] = Permission.KEYS_WRITE

    written: Written
    overlap_hours: float

    @property
    def place(self) -> str:
        return f"key:{self.written.key_id}"

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        role = await keys.role(conn, self.written.key_id)
        await keys.rewrite(conn, self.written, timedelta(hours=self.overlap_hours))
        detail = {"overlap_hours": self.overlap_hours}
        await record(conn, [Entry("key.rotated", self.place, actor.label, now, detail)])
        is_own = self.written.key_id == actor.key_id
        return Done(self.written.key_id, detail, None if is_own else _matter(role))


class ChangeKey(Deed, frozen=True, tag="key-change"):
    """Other ends of a key, or other teams; what is left out stays. A null end: when it is revoked; networks null: from
    anywhere."""

    needs: ClassVar[Permission] = Permission.KEYS_WRITE

    key_id: str
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    networks: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    groups: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def place(self) -> str:
        return f"key:{self.key_id}"

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        role = await keys.role(conn, self.key_id)
        if self.expires_at is not msgspec.UNSET:
            await keys.set_end(conn, self.key_id, self.expires_at, now)
        if self.networks is not msgspec.UNSET:
            await keys.set_networks(conn, self.key_id, self.networks)
        if self.groups is not msgspec.UNSET:
            await keys.set_groups(conn, self.key_id, self.groups)
        named = ("expires_at", "networks", "groups")
        detail = {name: value for name in named if (value := getattr(self, name)) is not msgspec.UNSET}
        await record(conn, [Entry("key.limited", self.place, actor.label, now, detail)])
        return Done(self.key_id, msgspec.to_builtins(detail), _matter(role))


class AddRule(Deed, frozen=True, tag="rule-add"):
    """Let it take more people from now on: so many, maybe, that nothing is blocked any more."""

    needs: ClassVar[Permission] = Permission.RULES_WRITE

    said: NewRule

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        number = await approvals.add_rule(conn, self.said, actor.label, now)
        told, place = msgspec.to_builtins(self.said), f"rule:{number}"
        await record(conn, [Entry("rule.added", place, actor.label, now, told)])
        return Done(number, told, Matter(Subject.RULE), place)


class EndRule(Deed, frozen=True, tag="rule-end"):
    """Let it take fewer people from now on."""

    needs: ClassVar[Permission] = Permission.RULES_WRITE

    rule_id: int

    @property
    def place(self) -> str:
        return f"rule:{self.rule_id}"

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        ended = await end_rule(conn, self.rule_id, actor.label, now)
        return Done(self.rule_id, msgspec.to_builtins(ended), Matter(Subject.RULE))


async def end_rule(conn: Connection, rule_id: int, by: str, now: datetime) -> Rule:
    """Ends it, loudly. Raises what `approvals.end_rule` does."""
    ended, place = await approvals.end_rule(conn, rule_id, by, now), f"rule:{rule_id}"
    await record(conn, [Entry("rule.ended", place, by, now)])
    await raise_(conn, [Raised(AlertKind.RULE_ENDED, place, {"by": by})], by, now)
    return ended
