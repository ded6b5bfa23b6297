"""How long after something happened a signed checkpoint stands over its entry, while partners are being told."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..figures import Figure
from . import ground
from .ground import Plan
from .null import KIND

PARTNERS = 4


async def lag(plan: Plan) -> AsyncIterator[Figure]:
    late, entries = [], []
    async with ground.database(plan) as (pool, dsn):
        for number in range(PARTNERS):
            await ground.partner(pool, f"null {number}", KIND, {})
        async with ground.workers(plan, pool, dsn, plan.workers):
            for _ in range(plan.repeat):
                since = await pool.fetchval("SELECT coalesce(max(entry_id), 0) FROM audit_entry")
                spent = await ground.block(pool, ground.keys(plan.devices * 10))
                await ground.settled(pool, spent.command)
                row = await pool.fetchrow(_LAG, since)
                assert row is not None
                late.append(row["late"])
                entries.append(row["entries"])
    what = f"{plan.devices * 10:,} devices × {PARTNERS} partners"
    yield Figure(f"{what}, entries", entries)
    yield Figure(f"{what}, p99 from event to checkpoint, s", late, at_most=5)


# Of what is sealed by now; the last call is, for what came before it was settled.
_LAG = """
SELECT
    count(*) AS entries,
    percentile_cont(0.99) WITHIN GROUP (
        ORDER BY extract(EPOCH FROM c.sealed_at - (e.body::jsonb ->> 'at')::timestamptz)
    ) AS late
FROM audit_entry AS e
JOIN audit_leaf AS l USING (entry_id)
CROSS JOIN LATERAL (
    SELECT sealed_at, note FROM audit_checkpoint AS c WHERE c.size > l.seq ORDER BY c.size LIMIT 1
) AS c
WHERE e.entry_id > $1 AND c.note IS NOT NULL
"""
