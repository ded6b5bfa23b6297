"""What a partner was told before: which orders follow a block of ours, and which releases would end somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from app.adapters.contract import Op, Order
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.lanes import Lane, Work

_SQL = queries("delivery")


class Told(msgspec.Struct, frozen=True):
    """The last that a partner was told of an identifier. `is_foreign`: it answered that somebody had blocked it
    before. `ref`: its own reference of the block."""

    op: Op
    is_foreign: bool
    ref: str


async def told_before(
    conn: Connection, lane: Lane, orders: Sequence[Order], *, itself: bool = False
) -> dict[int, Told]:
    """The last that the partner of this lane was told of each of these identifiers, before these orders (or by them:
    `itself`), and did not refuse; by key. It knows of those that are missing only what others told it."""
    if not orders:
        return {}
    keys, versions = [order.key for order in orders], [order.version + itself for order in orders]
    rows = await conn.fetch(_SQL.told_before, lane.partner_id, lane.lane, keys, versions)
    return {row["key"]: Told(Op(row["op"]), row["is_foreign"], row["ref"]) for row in rows}


def is_ours(told: Told | None) -> bool:
    """Whether what the partner was told last is a block, which nobody else had set before."""
    return told is not None and told.op is Op.BLOCK and not told.is_foreign


def follows(work: Work) -> list[Order]:
    """The orders before which the partner may have been told of the same identifier."""
    if work.op is Op.BLOCK:
        # The first block of all can follow none; one that is told again may follow itself.
        return [order for order in work.orders.values() if order.version > 1 or work.doubtful]
    return list(work.orders.values()) if work.op is Op.RELEASE else []


async def known(conn: Connection, lane: Lane, works: Sequence[Work]) -> list[Work]:
    """The same deliveries, of one command: each order with the partner's reference of our block, where it holds one,
    and without the releases that end none."""
    asked = [order for work in works for order in follows(work)]
    if not asked:
        return list(works)
    itself = works[0].op is Op.BLOCK and works[0].doubtful
    told = await told_before(conn, lane, asked, itself=itself)
    refs = {key: one.ref for key, one in told.items() if is_ours(one)}
    return [_with(work, refs) for work in works]


def _with(work: Work, refs: Mapping[int, str]) -> Work:
    not_ours = {
        place for place, order in work.orders.items() if work.op is Op.RELEASE and order.key not in refs
    }
    orders = {
        place: msgspec.structs.replace(order, ref=refs[order.key]) if refs.get(order.key) else order
        for place, order in work.orders.items()
        if place not in not_ours
    }
    untried = [place for place in work.untried if place in orders]
    return msgspec.structs.replace(work, orders=orders, untried=untried, not_ours=tuple(sorted(not_ours)))
