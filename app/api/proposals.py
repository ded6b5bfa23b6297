"""Proposals over HTTP: what waits for others to approve it, and what they decide."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.once import Once
from app.api.receipts import Cursor, Limit
from app.core.reach import Sight
from app.proposals import decide, proposal
from app.proposals.deed import Means
from app.proposals.proposal import Proposal

_IN_STATE = "Only those in this state: waiting, done, rejected, withdrawn, or over."
_DECIDED = "It waits no longer, its time is over, it is not what was seen, or it would come to something else by now."


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody has seen who approves: the proposal's `digest`; nothing need be said."""

    digest: Annotated[str, msgspec.Meta(pattern="^([0-9a-fA-F]{64})?$")] = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why; it stays on the record."""

    reason: str


class ProposalPage(msgspec.Struct, frozen=True):
    """The newest proposals first; `next` is the cursor of the next page, null on the last."""

    proposals: list[Proposal]
    next: str | None


@get("/", operation_id="listProposals", summary="What waits for approval, and what became of it")
async def search(
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    now: NamedDependency[datetime],
    in_state: Annotated[str | None, QueryParameter(name="state", description=_IN_STATE)] = None,
    limit: Limit = 100,
    before: Cursor = 0,
) -> ProposalPage:
    async with sight.acquire() as conn:
        found = await proposal.latest(
            conn, actor, before=before or None, state=in_state, limit=limit, now=now
        )
    return ProposalPage(found, str(found[-1].id) if len(found) == limit else None)


@get("/{proposal_id:int}", operation_id="readProposal", summary="Read a proposal")
async def one(
    proposal_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    now: NamedDependency[datetime],
) -> Proposal:
    async with sight.acquire() as conn:
        return await proposal.find(conn, actor, proposal_id, now)


@post(
    "/{proposal_id:int}/approve",
    operation_id="approveProposal",
    status_code=200,
    summary="Approve what somebody else proposed",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_DECIDED, needs=Permission.INCIDENTS_APPROVE, bare=True).opt,
)
async def approve(
    *,
    proposal_id: FromPath[int],
    said: NamedDependency[Approval],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    means: NamedDependency[Means],
    now: NamedDependency[datetime],
) -> Response[Proposal]:
    """With the last approval that it takes it is done, as whoever proposed it and with the rights that he has by then;
    until then it stays `waiting`. 403 for whoever proposed it. The body may be left out."""
    return await once(lambda conn: decide.approve(conn, actor, proposal_id, said.digest, means, now))


@post(
    "/{proposal_id:int}/reject",
    operation_id="rejectProposal",
    status_code=200,
    summary="Reject what somebody else proposed",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_DECIDED, needs=Permission.INCIDENTS_APPROVE).opt,
)
async def reject(
    proposal_id: FromPath[int],
    said: NamedDependency[Why],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Proposal]:
    return await once(lambda conn: decide.reject(conn, actor, proposal_id, said.reason, now))


@post(
    "/{proposal_id:int}/withdraw",
    operation_id="withdrawProposal",
    status_code=200,
    summary="Take back what you proposed",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_DECIDED, needs=Permission.PROPOSALS_READ).opt,
)
async def withdraw(
    proposal_id: FromPath[int],
    said: NamedDependency[Why],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Proposal]:
    return await once(lambda conn: decide.withdraw(conn, actor, proposal_id, said.reason, now))


router = Router("/v1/proposals", route_handlers=[search, one, approve, reject, withdraw], tags=["Approvals"])
