"""What every measurement stands on: a database full of devices, some of them blocked, and the web process on it."""

from __future__ import annotations

import asyncio
import json
import secrets
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

import asyncpg

from app.access.roles import Role
from app.cli import service
from app.core import gs1, imei, keyring
from app.core.config import Settings
from app.core.db import Connection

from .. import goods_in

ROOT = Path(__file__).resolve().parents[3]
# Devices of one pallet, and of one theft.
PALLET = 1_000
# IMEIs are spread over each TAC: the stride is coprime to a million.
FIRST, STRIDE = 35_000000, 611_953
# Identifiers a minute: counted as anybody's, and never used up.
QUOTA = 10**9
_NAME = count()


class Plan(NamedTuple):
    """What is asked for: on which server, in which folder, how often each figure is measured and for how long, how
    many devices, and how many of them are blocked."""

    cluster: str
    folder: Path
    repeat: int
    seconds: float
    registered: int
    blocked: int

    @property
    def postmaster(self) -> int:
        """The first process of the database server."""
        return int((self.folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()[0])


class Stock(NamedTuple):
    """A database with so many devices of one IMEI each, the first of which are blocked; and numbers of pallets that
    have not come yet."""

    dsn: str
    registered: int
    blocked: int
    free: Iterator[int]


class Gateway(NamedTuple):
    """A running web process, and a key for each role."""

    url: str
    pid: int
    stock: Stock
    keys: dict[Role, str]


def key(number: int) -> int:
    """The first 14 digits of the IMEI of a device, by its number."""
    return (FIRST + number // 10**6) * 10**6 + number * STRIDE % 10**6


def pallet(number: int) -> str:
    body = f"3{number:016d}"
    return f"{body}{gs1.check_digit(body)}"


def drawn(random: Random, stock: Stock, size: int) -> list[str]:
    """As many IMEIs of its devices, in no order."""
    return [imei.full(key(random.randrange(stock.registered))) for _ in range(size)]


_STOCKS: dict[tuple[int, int], Stock] = {}


async def stocked(plan: Plan, registered: int, blocked: int) -> Stock:
    """A database of this size; one that a measurement before has filled is used again."""
    if (registered, blocked) not in _STOCKS:
        dsn = await goods_in.database(plan.cluster, f"lookup_{next(_NAME)}")
        conn = await asyncpg.connect(dsn)
        try:
            await register(conn, range(registered // PALLET), stock=blocked // PALLET)
            await _block(conn, [pallet(number) for number in range(blocked // PALLET)])
            # As the server itself does after a while.
            await conn.execute("VACUUM (ANALYZE)")
            await conn.execute("CHECKPOINT")
        finally:
            await conn.close()
        free = count(registered // PALLET)
        _STOCKS[registered, blocked] = Stock(dsn, registered, blocked, free)
    return _STOCKS[registered, blocked]


async def register(conn: Connection, pallets: Sequence[int], stock: int) -> None:
    """The devices of these pallets, which stand in a row. So many of the pallets are in stock, or were until they were
    stolen; the others have left, and their devices are what carriers meet."""
    for start in range(0, len(pallets), 1_000):
        part = pallets[start : start + 1_000]
        named = [pallet(number) for number in part]
        there = (pallets[0] + stock) * PALLET
        await conn.execute(_REGISTER, named, part[0] * PALLET, PALLET, FIRST, STRIDE, there, timeout=600)


async def delivered(stock: Stock, devices: int) -> list[int]:
    """Registers as many devices more, which nobody has declared; gives the numbers of their pallets."""
    numbers = [next(stock.free) for _ in range(devices // PALLET)]
    conn = await asyncpg.connect(stock.dsn)
    try:
        await register(conn, numbers, stock=len(numbers))
    finally:
        await conn.close()
    return numbers


async def _block(conn: Connection, pallets: Sequence[str]) -> None:
    """A theft for each of these pallets, submitted and approved."""
    async with conn.transaction():
        for statement in (_DECIDE, _CLAIM, _LIST, _PUBLISH):
            await conn.execute(statement, *([pallets] if statement is _DECIDE else []), timeout=600)


@asynccontextmanager
async def serving(plan: Plan, stock: Stock) -> AsyncIterator[Gateway]:
    """The web process alone, as `imei-gateway serve` starts it."""
    settings = Settings(
        data_dir=plan.folder / f"gateway-{next(_NAME)}",
        database_url=stock.dsn,
        port=0,
        secrets_key=keyring.new_key(secrets.token_bytes),
        quota=QUOTA,
        log_level="error",
    )
    roles = (Role.CARRIER, Role.INCIDENT_MANAGER, Role.APPROVER)
    keys = {role: await goods_in.key(stock.dsn, role) for role in roles}
    async with service.running(settings, ("web",)) as running:
        gateway = Gateway(running.url, running.pids("web")[0], stock, keys)
        await asyncio.to_thread(_must_answer, gateway)
        yield gateway


def _must_answer(gateway: Gateway) -> None:
    """As the database was filled: the first device is blocked, and the last one is if all are."""
    last = gateway.stock.registered - 1
    for number in (0, last):
        url = f"{gateway.url}/v1/status/{imei.full(key(number))}"
        asked = urllib.request.Request(url, headers={"authorization": f"Bearer {gateway.keys[Role.CARRIER]}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            status = json.load(answer)["status"]
        assert status == ("blocked" if number < gateway.stock.blocked else "clear"), (number, status)


# $1 pallets that stand in a row, $2 the number of the first device, $3 devices of a pallet, $4 first TAC, $5 stride,
# $6 the number of the first device that has left.
_REGISTER = """
WITH receipt AS (
    INSERT INTO receipt (source, received_at, received_by, digest, rows, registered)
    VALUES ('load', now(), 'load', '', cardinality($1::text []) * $3, cardinality($1::text []) * $3)
    RETURNING receipt_id
),
made AS (
    INSERT INTO device (
        keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at, arrived_in,
        left_at
    )
    SELECT
        ARRAY[($4::bigint + d.number / 1000000) * 1000000 + d.number * $5 % 1000000],
        'L' || d.number,
        '08806090000003',
        d.pallet,
        'PAR-1',
        'Retailer',
        'Phone X',
        499.90,
        'EUR',
        receipt_id,
        now(),
        receipt_id,
        CASE WHEN d.number >= $6::bigint THEN now() END
    FROM receipt
    CROSS JOIN (
        SELECT p.pallet, $2::bigint + (p.place - 1) * $3::bigint + n AS number
        FROM unnest($1::text []) WITH ORDINALITY AS p (pallet, place)
        CROSS JOIN generate_series(0, $3::bigint - 1) AS n
    ) AS d
    RETURNING device_id, keys
)
INSERT INTO device_imei (key, device_id) SELECT keys[1], device_id FROM made
"""
_DECIDE = """
INSERT INTO incident (
    title, kind, site, police_reference, scope, state, drafted_by, drafted_at, submitted_by, submitted_at,
    approved_by, approved_at, assents
)
SELECT
    'Load', (ARRAY['theft', 'robbery', 'loss', 'fraud'])[1 + place % 4], '', '',
    jsonb_build_object('pallets', ARRAY[pallet]), 'approved', 'one', now(), 'one', now(), 'another', now(), '{another}'
FROM unnest($1::text []) WITH ORDINALITY AS p (pallet, place)
"""
_CLAIM = """
WITH claimed AS (
    INSERT INTO claim (incident_id, key, device_id, state)
    SELECT i.incident_id, d.keys[1], d.device_id, 1
    FROM incident AS i
    JOIN device AS d ON d.pallet = i.scope -> 'pallets' ->> 0
    RETURNING incident_id
)
UPDATE incident AS i SET identifiers = c.claims, devices = c.claims
FROM (SELECT incident_id, count(*) AS claims FROM claimed GROUP BY incident_id) AS c
WHERE c.incident_id = i.incident_id
"""
_LIST = """
INSERT INTO listing (key, blocked_by, suspected_by, held_by, version, since)
SELECT key, 1, 0, ARRAY[incident_id], 1, now() FROM claim ORDER BY key
"""
_PUBLISH = """
WITH told AS (
    INSERT INTO blocklist_change (first, at, status, before, incident_id, keys, versions)
    SELECT
        1 + sum(count(*)) OVER (ORDER BY incident_id) - count(*), now(), 2, 1, incident_id,
        array_agg(key ORDER BY key), array_agg(1::bigint)
    FROM claim
    GROUP BY incident_id
    RETURNING cardinality(keys) AS changes
)
UPDATE blocklist_head SET position = told.changes, at = now()
FROM (SELECT coalesce(sum(changes), 0) AS changes FROM told) AS told
"""
