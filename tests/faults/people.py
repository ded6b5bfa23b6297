"""What people do, in the fewest words: add a partner, declare, take it back. Each in one transaction, as the gateway
does it: claims, the block list, the orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from app.access.roles import Principal, Role
from app.adapters.contract import Op
from app.blocklist import listing
from app.core import keyring
from app.core.config import Settings
from app.core.db import Connection, Pool
from app.delivery import commands, partners
from app.delivery.partners import Limits
from app.delivery.scope import PartnerScope

ADMIN = Principal("k_0", "admin", Role.ADMIN)
# Workers in processes of their own open what the tests have sealed.
SECRETS_KEY = keyring.new_key(Random(5).randbytes)
KEYRING = keyring.load(Settings(data_dir=Path(), secrets_key=SECRETS_KEY), Random(3).randbytes)

_INCIDENT = """
INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)
VALUES ('t', 'theft', '', '', '{}', 'draft', 'x', now()) RETURNING incident_id
"""
_CLAIM = """
INSERT INTO claim (incident_id, key, state) SELECT $1, key, 1 FROM unnest($2::bigint []) AS key
ON CONFLICT (incident_id, key) DO UPDATE SET state = 1
"""
_LIFT = "UPDATE claim SET state = 2 WHERE incident_id = $1 AND key = ANY ($2::bigint [])"


def utc_now() -> datetime:
    return datetime.now(UTC)


async def add_partner(
    pool: Pool,
    name: str,
    adapter: str,
    settings: Mapping[str, Any],
    *,
    scope: PartnerScope | None = None,
    limits: Limits | None = None,
) -> int:
    async with pool.acquire() as conn, conn.transaction():
        return await partners.add(
            conn, keyring=KEYRING, name=name, adapter=adapter, settings=settings, scope=scope or PartnerScope(),
            limits=limits or Limits(), now=utc_now(), allow_private=True,
        )  # fmt: skip


async def new_incident(pool: Pool) -> int:
    number: int = await pool.fetchval(_INCIDENT)
    return number


async def block(conn: Connection, incident: int, keys: list[int]) -> None:
    now = utc_now()
    await conn.execute(_CLAIM, incident, keys)
    await listing.suspect(conn, incident, keys, now)
    turned = await listing.block(conn, incident, keys, now)
    await _order(conn, Op.BLOCK, incident, turned, now)


async def release(conn: Connection, incident: int, keys: list[int]) -> None:
    now = utc_now()
    await conn.execute(_LIFT, incident, keys)
    await _order(conn, Op.RELEASE, incident, await listing.release(conn, incident, keys, now), now)


async def _order(conn: Connection, op: Op, incident: int, turned: listing.Turned, now: datetime) -> None:
    command = commands.Command(op, now, "tests", incident_id=incident)
    await commands.order(conn, command, turned.keys, turned.versions)
