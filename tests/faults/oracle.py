"""What must hold after each step, and at the end; asked of the database and of the partners' own books."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from app.core import imei
from app.core.db import Pool

from .ledger import Broken, Ledger, Told

_PENDING = """
SELECT l.partner_id, l.lane, l.pending, count(d.chunk_id) AS open
FROM partner_lane AS l
LEFT JOIN delivery AS d ON d.partner_id = l.partner_id AND d.lane = l.lane AND d.state = 0
GROUP BY l.partner_id, l.lane
HAVING l.pending <> count(d.chunk_id)
"""
_COUNTED = """
SELECT g.command_id, g.partner_id, g.left_open AS counted, coalesce(o.open, 0) AS open
FROM (
    SELECT *, wanted - done - already - accepted - refused - superseded - parked - not_ours AS left_open FROM progress
) AS g
LEFT JOIN (
    SELECT d.command_id, d.partner_id,
           sum(coalesce(cardinality(d.open_at), cardinality(c.keys)))::integer AS open
    FROM delivery AS d JOIN chunk AS c USING (chunk_id)
    WHERE d.state = 0
    GROUP BY d.command_id, d.partner_id
) AS o USING (command_id, partner_id)
WHERE g.left_open <> coalesce(o.open, 0)
"""
_ACCEPTED = """
SELECT g.command_id, g.partner_id, g.accepted, count(i.key) AS waiting
FROM progress AS g
LEFT JOIN delivery_item AS i
    ON i.command_id = g.command_id AND i.partner_id = g.partner_id AND i.state = 'accepted'
GROUP BY g.command_id, g.partner_id
HAVING g.accepted <> count(i.key)
"""
_STEP = {
    "pending of a lane is not its open deliveries": _PENDING,
    "the counters of progress do not add up to what is open": _COUNTED,
    "what is accepted is not what waits for a word": _ACCEPTED,
}
_SAID_DONE = """
SELECT g.partner_id, g.command_id, c.op, g.done + g.already AS done,
       array(SELECT unnest(keys) FROM chunk WHERE command_id = g.command_id ORDER BY chunk_id) AS keys,
       array(SELECT unnest(versions) FROM chunk WHERE command_id = g.command_id ORDER BY chunk_id) AS versions
FROM progress AS g JOIN command AS c USING (command_id)
"""
_ORDERED = """
SELECT partner_id, op, key, version, count(*) AS times
FROM chunk JOIN command USING (command_id), unnest(partners) AS partner_id, unnest(keys, versions) AS i (key, version)
GROUP BY partner_id, op, key, version
"""
_FAILED = """
SELECT i.partner_id, i.key FROM delivery_item AS i JOIN listing AS l USING (key)
WHERE i.state IN ('refused', 'parked') AND i.version = l.version
"""


async def check_step(pool: Pool) -> None:
    """The engine's own numbers agree with each other."""
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
        for words, question in _STEP.items():
            rows = await conn.fetch(question)
            if rows:
                raise Broken(f"{words}: {[dict(row) for row in rows]}")


async def check_books(
    pool: Pool, ledgers: Mapping[int, Ledger], blocked: set[str], *, strictly: bool
) -> None:
    """Nothing waits, every partner holds what is wanted, and nothing counts as done that no partner said is. Where
    the engine says that it failed, the partner may hold something else, unless `strictly`."""
    await _check_list(pool, blocked)
    left = await pool.fetchval("SELECT count(*) FROM delivery WHERE state = 0")
    if left:
        raise Broken(f"lost: {left} deliveries never ended")
    failed: defaultdict[int, set[str]] = defaultdict(set)
    for row in [] if strictly else await pool.fetch(_FAILED):
        failed[row["partner_id"]].add(imei.full(row["key"]))
    for partner, ledger in ledgers.items():
        wrong = ledger.wrong(blocked) - failed[partner]
        if wrong:
            raise Broken(f"partner {partner} holds the wrong state of {sorted(wrong)}")
    await _check_keys(pool, ledgers)
    await _check_words(pool, ledgers)


async def _check_words(pool: Pool, ledgers: Mapping[int, Ledger]) -> None:
    for row in await pool.fetch(_SAID_DONE):
        orders = zip(row["keys"], row["versions"], strict=True)
        told = Counter(Told(imei.full(key), version, row["op"]) for key, version in orders)
        said = ledgers[row["partner_id"]].settled_by(told)
        if row["done"] > said:
            raise Broken(
                f"{row['done']} count as done for command {row['command_id']}; the partner said so of {said}"
            )


async def _check_keys(pool: Pool, ledgers: Mapping[int, Ledger]) -> None:
    """The same orders come under one key, however often; under another only where they were ordered again."""
    ordered = {
        (row["partner_id"], Told(imei.full(row["key"]), row["version"], row["op"])): row["times"]
        for row in await pool.fetch(_ORDERED)
    }
    for partner, ledger in ledgers.items():
        for orders, keys in ledger.keys.items():
            if len(keys) > ordered[partner, orders[0]]:
                raise Broken(f"the same orders came under {len(keys)} keys: {orders}")


async def _check_list(pool: Pool, blocked: set[str]) -> None:
    rows = await pool.fetch("SELECT key FROM listing WHERE blocked_by > 0")
    listed = {imei.full(row["key"]) for row in rows}
    if listed != blocked:
        raise Broken(f"the list says {sorted(listed)}, the decisions {sorted(blocked)}")
