"""Approval rules over HTTP: how many people it takes to block, to release, and to change what decides about goods."""

from __future__ import annotations

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency

from app.access import approvals
from app.access.approvals import NewRule, Rule
from app.access.roles import Permission, Principal
from app.api import body
from app.api.doing import Doing
from app.api.notes import Notes
from app.api.once import Once
from app.core.db import Connection, Pool
from app.proposals.proposal import Proposal
from app.proposals.rights import AddRule


class RuleList(msgspec.Struct, frozen=True):
    """The rules in force; all that fit apply together, the strictest of each."""

    rules: list[Rule]


class RuleAdded(msgspec.Struct, frozen=True):
    rule_id: int


@get("/", operation_id="listRules", summary="The approval rules in force")
async def listed(actor: NamedDependency[Principal], pool: NamedDependency[Pool]) -> RuleList:
    actor.require(Permission.RULES_READ)
    async with pool.acquire(timeout=10) as conn:
        return RuleList(await approvals.rules(conn))


@post(
    "/",
    operation_id="addRule",
    summary="Add an approval rule",
    request_max_body_size=body.FEW,
    opt=Notes(needs=Permission.RULES_WRITE, proposes=True).opt,
)
async def add(
    said: NamedDependency[NewRule], doing: NamedDependency[Doing], once: NamedDependency[Once]
) -> Response[RuleAdded | Proposal]:
    """It may demand so many that nothing is blocked any more, so that others approve it too."""

    async def work(conn: Connection) -> RuleAdded | Proposal:
        found = await doing(conn, AddRule(said))
        return found if isinstance(found, Proposal) else RuleAdded(found)

    return await once(work)


router = Router("/v1/rules", route_handlers=[listed, add], tags=["Approvals"])
