"""Proposals as they are kept. Owns the table proposal."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg
import msgspec

from app.access import approvals
from app.access.approvals import Demand, Matter
from app.access.roles import Permission, Principal
from app.core.db import Connection
from app.core.errors import Conflict, Missing
from app.core.keyring import Keyring
from app.core.sql import queries
from app.proposals.deed import Deed, Means
from app.proposals.goods import Lift, Withdraw
from app.proposals.partners import AddPartner, ChangePartner, RemovePartner
from app.proposals.rights import (
    AddPerson,
    AddRule,
    ChangeKey,
    ChangePerson,
    CreateKey,
    EndRule,
    ResetFactor,
    RotateKey,
)

_SQL = queries("proposals")
_SALTED = b"\n"
_Any = (
    Lift | Withdraw | AddPartner | ChangePartner | RemovePartner | AddPerson | ChangePerson | ResetFactor
    | CreateKey | RotateKey | ChangeKey | AddRule | EndRule
)  # fmt: skip


class Proposal(msgspec.Struct, frozen=True):
    """What somebody wants done, and others must approve first. `would` is what it comes to, without secrets;
    `digest` the SHA-256 of all that is done, in hex; `place` is what it is done to, or what it has made; `state` is
    `waiting`, `done`, `rejected`, `withdrawn`, or `over`, where nobody approved it in time."""

    id: int
    deed: str
    place: str
    would: dict[str, Any]
    digest: str
    state: str
    proposed_by: str
    proposed_at: datetime
    demand: Demand
    approve_until: datetime
    assents: list[str]
    lacking: str
    ended_by: str | None
    ended_at: datetime | None
    reason: str


class Held(msgspec.Struct, frozen=True):
    """A proposal, and what is not shown of it."""

    proposal: Proposal
    content: str
    matter: Matter
    incident: int | None

    def deed(self, keyring: Keyring) -> Deed:
        """What is to be done. Raises keyring.Locked."""
        is_open = self.content.startswith("{")
        held = self.content.encode() if is_open else keyring.open(self.content, _place(self.proposal.digest))
        found: Deed = msgspec.json.decode(held.rpartition(_SALTED)[2], type=_forms())
        return found


@cache
def _forms() -> Any:
    return _Any


def _place(digest: str) -> str:
    return f"proposal:{digest}"


async def add(
    conn: Connection,
    actor: Principal,
    deed: Deed,
    would: dict[str, Any],
    matter: Matter,
    demand: Demand,
    means: Means,
    until: datetime,
    now: datetime,
) -> Proposal:
    """A new one, which waits. With secrets goes a salt, or whoever reads the digest could guess them by it."""
    salt = means.random(16).hex().encode() + _SALTED if deed.has_secrets else b""
    content = salt + msgspec.json.encode(deed)
    digest = hashlib.sha256(content).digest()
    kept = (msgspec.to_builtins(would), msgspec.to_builtins(matter), approvals.stored(demand))
    sealed = means.keyring.seal(content, _place(digest.hex())) if deed.has_secrets else content.decode()
    number = await conn.fetchval(
        _SQL.add,
        deed.name,
        deed.place,
        deed.incident,
        sealed,
        digest,
        *kept,
        until,
        actor.label,
        now,
        approvals.lacking(demand, []),
    )
    return (await hold(conn, number, now)).proposal


async def hold(conn: Connection, number: int, now: datetime) -> Held:
    """One, locked for a decision. Raises Missing."""
    return _held(await conn.fetchrow(_SQL.hold, number), number, now)


async def find(conn: Connection, actor: Principal, number: int, now: datetime) -> Proposal:
    """Raises Missing."""
    actor.require(Permission.PROPOSALS_READ)
    return _held(await conn.fetchrow(_SQL.find, number), number, now).proposal


async def latest(
    conn: Connection, actor: Principal, *, before: int | None, state: str | None, limit: int, now: datetime
) -> list[Proposal]:
    """The newest first."""
    actor.require(Permission.PROPOSALS_READ)
    rows = await conn.fetch(_SQL.latest, before, state, limit, now)
    return [_held(row, row["proposal_id"], now).proposal for row in rows]


async def assented(conn: Connection, number: int, labels: list[str], demand: Demand, lacking: str) -> None:
    """Who has approved it by now, what it takes, and whom it still takes."""
    await conn.execute(_SQL.assented, number, labels, approvals.stored(demand), lacking)


async def finish(
    conn: Connection, number: int, state: str, by: str, reason: str, now: datetime, place: str = ""
) -> Proposal:
    """It waits no longer, and what was to be done is forgotten. `place`: what was made."""
    await conn.execute(_SQL.finish, number, state, by, now, reason, place)
    return (await hold(conn, number, now)).proposal


async def reseal(conn: Connection, keyring: Keyring) -> int:
    """Seals what waits with the key that seals now; how much was sealed with another one. Raises keyring.Locked."""
    changed = 0
    for number, digest, content in await conn.fetch(_SQL.sealed):
        sealed = keyring.resealed(content, _place(digest.hex()))
        await conn.execute(_SQL.reseal, number, sealed)
        changed += sealed != content
    return changed


async def late(conn: Connection, now: datetime) -> list[dict[str, Any]]:
    """Those whose time is over, or soon, and of which nobody was told so."""
    return [dict(row) for row in await conn.fetch(_SQL.remind, now)]


def over(found: Proposal) -> Conflict:
    """Its time is over."""
    return Conflict(f"The time to approve proposal {found.id} is over. Propose it again.", "approval-over")


def must_wait(found: Proposal) -> None:
    """Raises Conflict (`proposal-state`, `approval-over`)."""
    if found.state == "over":
        raise over(found)
    if found.state != "waiting":
        raise Conflict(
            f"Proposal {found.id} is {found.state}, since {found.ended_at}; nobody decides on it any more.",
            "proposal-state",
        )


def _held(row: asyncpg.Record | None, number: int, now: datetime) -> Held:
    if row is None:
        raise Missing(f"There is no proposal {number}.")
    state = "over" if row["state"] == "waiting" and now > row["approve_until"] else row["state"]
    own = {"id": number, "digest": row["digest"].hex(), "state": state, "assents": list(row["assents"])}
    proposal = msgspec.convert({**dict(row), **own}, Proposal, strict=False)
    matter = msgspec.convert(row["matter"], Matter, strict=False)
    return Held(proposal, row["content"], matter, row["incident_id"])
