"""A deed is done at once, where it takes nobody else; or it is proposed, and done with the last approval that it takes.

To propose, it is done and taken back: so whoever proposes it hears at once what would be refused, and others are shown
what it comes to. Done with their approval it comes to the same, or it is not done.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.access import approvals, keys, people
from app.access.approvals import Demand, Matter
from app.access.roles import Permission, Principal
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.core.db import Connection
from app.core.errors import Conflict, Forbidden
from app.core.reach import Reach
from app.proposals import proposal
from app.proposals.deed import Deed, Done, Means
from app.proposals.proposal import Held, Proposal

OF = "proposal"
ALONE_AFTER = timedelta(hours=72)
"""After so long without anybody else who could approve, an administrator acts alone; nobody gets there at once by
ending the others."""


async def do_or_propose(
    conn: Connection, actor: Principal, deed: Deed, means: Means, now: datetime
) -> Any | Proposal:
    """What the deed gives, or its proposal. Raises what the deed does."""
    actor.require(deed.needs)
    actor.require_fresh()
    # As they are before it is done, for it may change them.
    rules = await approvals.rules(conn)
    others = deed.incident is not None or await approvals.are_there_others(
        conn, actor, deed.approved_with, now - ALONE_AFTER
    )
    trial = conn.transaction()
    await trial.start()
    try:
        done = await deed.do(conn, actor, means, now)
    except BaseException:
        await trial.rollback()
        raise
    wanted = approvals.demand(rules, done.matter) if done.matter else Demand()
    if done.matter and wanted.people and others:
        await trial.rollback()
        return await _propose(conn, actor, deed, done.becomes, done.matter, wanted, means, now)
    await trial.commit()
    if wanted.people:
        detail = {"deed": deed.name, "rules": wanted.rules}
        await record(conn, [Entry("approval.waived", deed.place or deed.name, actor.label, now, detail)])
    return done.result


async def _propose(
    conn: Connection,
    actor: Principal,
    deed: Deed,
    becomes: dict[str, Any],
    matter: Matter,
    wanted: Demand,
    means: Means,
    now: datetime,
) -> Proposal:
    until = now + timedelta(hours=wanted.hours)
    made = await proposal.add(conn, actor, deed, becomes, matter, wanted, means, until, now)
    detail = {"deed": made.deed, "digest": made.digest, "approvers": wanted.people, "until": until}
    await _remember(conn, "proposed", made, actor, now, detail)
    return made


async def approve(
    conn: Connection, actor: Principal, number: int, digest: str, means: Means, now: datetime
) -> Proposal:
    """Another person's word; with the last one that it takes it is done. `digest` is what he has seen, if he says so.
    Raises Forbidden (`second-person`, `people-only`), Conflict (`proposal-state`, `approval-over`, `digest-differs`,
    `changed-meanwhile`) and what the deed does: then nothing was done, and it waits still."""
    held = await _for(conn, actor, number, now)
    found = held.proposal
    if found.state == "done" and any(map(actor.is_named, found.assents)):
        return found
    proposal.must_wait(found)
    if digest and digest.lower() != found.digest:
        raise Conflict(
            f"You would approve {digest}, and proposal {number} is {found.digest}: it is not what you have seen.",
            "digest-differs",
        )
    if lacking := await _assent(conn, actor, held, now):
        await _remember(conn, "assented", found, actor, now, {"digest": found.digest, "lacking": lacking})
        return (await proposal.hold(conn, number, now)).proposal
    place = (await _carry_out(conn, held, means, now)).place
    done = await proposal.finish(conn, number, "done", actor.label, "", now, place)
    detail = {"deed": done.deed, "digest": done.digest, "assents": done.assents}
    await _remember(conn, "carried-out", done, actor, now, detail)
    return done


async def _for(conn: Connection, actor: Principal, number: int, now: datetime) -> Held:
    """The proposal, for somebody who may decide on it."""
    actor.require(Permission.INCIDENTS_APPROVE)
    actor.require_fresh()
    held = await proposal.hold(conn, number, now)
    if held.incident is None:
        actor.require(Permission.CHANGES_APPROVE)
    if actor.is_named(held.proposal.proposed_by):
        raise Forbidden(
            f"You made proposal {number}, so somebody else must decide on it.",
            "second-person",
        )
    return held


async def _assent(conn: Connection, actor: Principal, held: Held, now: datetime) -> str:
    """His approval; what is still lacking then. The rules of today count as well as those of the proposal's day."""
    found = held.proposal
    wanted = found.demand.and_(await approvals.demanded(conn, held.matter))
    if now > found.proposed_at + timedelta(hours=wanted.hours):
        raise proposal.over(found)
    approvals.must_be_a_person(actor, wanted)
    digest = bytes.fromhex(found.digest)
    await approvals.endorse(conn, OF, found.id, 0, actor, digest, now)
    given = await approvals.given(conn, OF, found.id, 0, digest)
    lacking = approvals.lacking(wanted, given)
    await proposal.assented(conn, found.id, [one.label for one in given], wanted, lacking)
    return lacking


async def _carry_out(conn: Connection, held: Held, means: Means, now: datetime) -> Done:
    """As whoever proposed it, with the rights that he has now."""
    found, deed = held.proposal, held.deed(means.keyring)
    proposer = await _present(conn, found)
    proposer.require(deed.needs)
    done = await deed.do(conn, proposer, means, now)
    if msgspec.json.decode(msgspec.json.encode(done.becomes)) != found.would:
        raise Conflict(
            f"Proposal {found.id} would come to something else by now; nothing was done. Propose it again, and look"
            " at it anew.",
            "changed-meanwhile",
        )
    return done


async def _present(conn: Connection, found: Proposal) -> Principal:
    identity = found.proposed_by.partition(" ")[0].partition(":")[2]
    if key := (await keys.acting(conn, [identity])).get(identity):
        return key
    if who := await people.by_id(conn, identity):
        reach = Reach.of(who.owners, who.sites)
        return Principal(who.person_id, who.name, who.role, reach=reach, groups=who.groups)
    raise Conflict(
        f"{found.proposed_by} is let in no longer, so nothing is done for him. Somebody else would propose it.",
        "proposer-gone",
    )


async def reject(conn: Connection, actor: Principal, number: int, reason: str, now: datetime) -> Proposal:
    """Another person says no. Raises Forbidden (`second-person`), Conflict (`proposal-state`)."""
    found = (await _for(conn, actor, number, now)).proposal
    return await _end(conn, actor, found, "rejected", checked_reason(reason), now)


async def withdraw(conn: Connection, actor: Principal, number: int, reason: str, now: datetime) -> Proposal:
    """Whoever made it takes it back. Raises Forbidden (`not-yours`), Conflict (`proposal-state`)."""
    found = (await proposal.hold(conn, number, now)).proposal
    if not actor.is_named(found.proposed_by):
        raise Forbidden(f"Proposal {number} is not yours; who may approve it may reject it.", "not-yours")
    return await _end(conn, actor, found, "withdrawn", checked_reason(reason), now)


async def _end(
    conn: Connection, actor: Principal, found: Proposal, state: str, reason: str, now: datetime
) -> Proposal:
    if found.state != "over":
        proposal.must_wait(found)
    ended = await proposal.finish(conn, found.id, state, actor.label, reason, now)
    await _remember(conn, state, ended, actor, now, {"reason": reason})
    return ended


async def remind(conn: Connection, now: datetime) -> int:
    """Alerts for what waits too long, before its time is over and when it is. How many."""
    alerts = [
        Raised(
            AlertKind.APPROVAL_WAITS if row["stage"] == 1 else AlertKind.APPROVAL_OVER,
            f"incident:{row['incident_id']}" if row["incident_id"] else f"proposal:{row['proposal_id']}",
            {"proposal": row["proposal_id"], "deed": row["deed"], "until": row["approve_until"].isoformat()},
            row["proposed_by"],
        )
        for row in await proposal.late(conn, now)
    ]
    await raise_(conn, alerts, "worker", now)
    return len(alerts)


async def _remember(
    conn: Connection, what: str, of: Proposal, actor: Principal, now: datetime, detail: dict[str, Any]
) -> None:
    place = of.place or f"proposal:{of.id}"
    entry = Entry(f"proposal.{what}", place, actor.label, now, {"proposal": of.id, **detail})
    await record(conn, [entry])
