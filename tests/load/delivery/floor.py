"""The floor of the drain, in processes of its own: each delivery read, judged and settled by two statements, as fast
as we can write it by hand. Nothing is leased, nobody is called, and one entry is written of each delivery.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import asyncpg
import msgspec
import uvloop

from app.core.db import Pool, open_pool

from . import ground
from .ground import Plan

# What a worker has.
CONNECTIONS = 12

_NEXT = """
SELECT
    d.chunk_id,
    d.command_id,
    c.keys,
    c.versions,
    ARRAY(
        SELECT i.place
        FROM unnest(c.keys, c.versions) WITH ORDINALITY AS i (key, version, place)
        LEFT JOIN listing AS l USING (key)
        WHERE l.version IS DISTINCT FROM i.version
    ) AS superseded
FROM delivery AS d
JOIN chunk AS c USING (chunk_id)
WHERE d.partner_id = $1 AND d.lane = $2 AND d.state = 0
ORDER BY d.chunk_id
LIMIT 1
"""

_SETTLE = """
WITH lane AS (
    UPDATE partner_lane SET pending = pending - 1 WHERE partner_id = $1 AND lane = $2 RETURNING partner_id
),
closed AS (
    UPDATE delivery AS d SET state = 1, open_at = '{}'
    FROM lane
    WHERE d.partner_id = lane.partner_id AND d.lane = $2 AND d.chunk_id = $3 AND d.state = 0
    RETURNING d.partner_id
),
counted AS (
    UPDATE progress AS p SET done = done + $5, calls = calls + 1, first_at = coalesce(first_at, now()), last_at = now()
    FROM closed
    WHERE p.command_id = $4 AND p.partner_id = closed.partner_id
),
written AS (
    INSERT INTO audit_entry (body) SELECT $6 FROM closed RETURNING entry_id
)
INSERT INTO audit_pending (entry_id) SELECT entry_id FROM written
"""


async def drained(plan: Plan, dsn: str) -> float:
    """Seconds in which as many processes as there would be workers settle all that is queued."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", __name__, dsn, str(part), str(plan.workers),
            stdout=subprocess.PIPE, env=ground.environ(plan),
        )
        for part in range(plan.workers)
    ]  # fmt: skip
    said = [(await process.communicate())[0] for process in started]
    began, ended = zip(*(map(float, one.split()) for one in said), strict=True)
    return float(max(ended) - min(began))


async def _main(dsn: str, part: int, parts: int) -> None:
    async with await open_pool(dsn, size=CONNECTIONS, min_size=CONNECTIONS) as pool:
        lanes = await pool.fetch(
            "SELECT partner_id, lane FROM partner_lane WHERE partner_id % $1 = $2 ORDER BY lane, partner_id",
            parts,
            part,
        )
        began = time.monotonic()
        await asyncio.gather(*(_work(pool, lanes) for _ in range(CONNECTIONS)))
        print(began, time.monotonic())


async def _work(pool: Pool, lanes: list[asyncpg.Record]) -> None:
    async with pool.acquire() as conn:
        while lanes:
            partner, lane = lanes.pop()
            while row := await conn.fetchrow(_NEXT, partner, lane):
                told = len(row["keys"]) - len(row["superseded"])
                detail = {"chunk": row["chunk_id"], "command": row["command_id"], "outcomes": {"done": told}}
                entry = {"v": 1, "kind": "floor", "subject": f"partner:{partner}", "detail": detail}
                body = msgspec.json.encode(entry).decode()
                await conn.execute(_SETTLE, partner, lane, row["chunk_id"], row["command_id"], told, body)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
