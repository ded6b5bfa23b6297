"""Approval rules over HTTP: how many people it takes to block, to release, and to change what decides about goods."""

from __future__ import annotations

from datetime import datetime

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency

from app.access import approvals
from app.access.approvals import NewRule, Rule
from app.access.roles import Permission, Principal
from app.api import body
from app.api.notes import Notes
from app.api.once import Once
from app.audit.record import Entry, record
from app.core.db import Connection, Pool


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
    opt=Notes(needs=Permission.RULES_WRITE).opt,
)
async def add(
    said: NamedDependency[NewRule],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[RuleAdded]:
    """A rule only ever demands more, so one person adds it."""
    actor.require_fresh()

    async def work(conn: Connection) -> RuleAdded:
        number = await approvals.add_rule(conn, said, actor.label, now)
        await record(
            conn, [Entry("rule.added", f"rule:{number}", actor.label, now, msgspec.to_builtins(said))]
        )
        return RuleAdded(number)

    return await once(work)


router = Router("/v1/rules", route_handlers=[listed, add], tags=["Approvals"])
