"""An evidence pack of a large incident against its floor, side by side in one run: the pack as it is made, and the same
rows by a bare COPY and the same bytes into a bare zip.

    python -m tests.load.evidence --devices 50000 --partners 4
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import resource
import secrets
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from app.access.roles import Principal, Role
from app.audit import record, seal, signing
from app.audit.note import Kind, Signer
from app.audit.record import Entry
from app.core.db import open_pool
from app.core.postgres import running
from app.evidence import make, verify
from app.evidence.asked import Asked, For
from app.incidents import decide

from . import goods_in

CHUNK = 500
STOCK = """
INSERT INTO device (keys, serial, gtin, pallet, site, owner, model, unit_value, currency, receipt_id, registered_at)
SELECT
    CASE
        WHEN n % 50 < 43 THEN ARRAY[35209900000000 + 2 * n, 35209900000001 + 2 * n]
        ELSE ARRAY[35209900000000 + 2 * n]
    END,
    'SN' || lpad(n::text, 8, '0'), '08806090000003', lpad((n % 30)::text, 18, '3'), 'PAR-1', 'Retailer',
    'Phone ' || n % 7, 499.90, 'EUR', 1, now()
FROM generate_series(1::bigint, $1) AS n
"""
PARTNER = """
INSERT INTO partner (name, adapter, settings, enrols, kinds, max_inflight, burst, created_at)
SELECT 'Partner ' || n, 'ceir', '{}', false, '{imei}', 1, 1, now() FROM generate_series(1, $1::integer) AS n
"""
COMMAND = """
INSERT INTO command (op, incident_id, identifiers, ordered_at, ordered_by)
SELECT 'block', $1, count(*), now(), 'x' FROM claim WHERE incident_id = $1 RETURNING command_id
"""
CHUNKS = """
INSERT INTO chunk (command_id, lane, partners, keys, versions)
SELECT $1, 0, '{1}', array_agg(key ORDER BY key), array_agg(1)
FROM (SELECT key, (row_number() OVER (ORDER BY key) - 1) / 500 AS part FROM claim WHERE incident_id = $2) AS c
GROUP BY part RETURNING chunk_id, cardinality(keys) AS keys
"""


async def told(conn: asyncpg.Connection, incident: int, partners: int) -> None:
    """As if all partners had been told, call by call."""
    await conn.execute(PARTNER, partners)
    command = await conn.fetchval(COMMAND, incident)
    chunks = await conn.fetch(CHUNKS, command, incident)
    hashed = hashlib.sha256(b"x").hexdigest()
    for partner in range(1, partners + 1):
        entries = []
        for chunk in chunks:
            call = {
                "chunk": chunk["chunk_id"], "places": f"1-{chunk['keys']}", "key": hashed[:32], "ms": 12.5,
                "at": datetime.now(UTC), "outcomes": {"done": chunk["keys"]}, "exceptions": [],
                "exchanges": [{"request_sha256": hashed, "reply_sha256": hashed, "status": 200}],
            }  # fmt: skip
            detail = {"op": "block", "command": command, "incident": incident, "calls": [call]}
            entries.append(
                Entry("delivery.attempted", f"partner:{partner}", "worker", datetime.now(UTC), detail)
            )
        await record.record(conn, entries)
    await conn.execute(
        "INSERT INTO progress (command_id, partner_id, wanted, done)"
        " SELECT $1, n, $2, $2 FROM generate_series(1, $3::int) n",
        command, sum(chunk["keys"] for chunk in chunks), partners,
    )  # fmt: skip


async def floor(dsn: str, pack: Path) -> tuple[float, float]:
    """Seconds for the rows by COPY, and for the bytes into a zip."""
    conn, out = await asyncpg.connect(dsn), io.BytesIO()
    began = time.perf_counter()
    await conn.copy_from_query(
        "SELECT d.*, c.key FROM claim AS c JOIN device AS d USING (device_id)", output=out
    )
    await conn.copy_from_query("SELECT * FROM chunk", output=out)
    await conn.copy_from_query("SELECT * FROM audit_entry", output=out)
    copied = time.perf_counter() - began
    await conn.close()
    with zipfile.ZipFile(pack) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    began = time.perf_counter()
    with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return copied, time.perf_counter() - began


async def pressed(
    dsn: str, incident: int, auditor: Principal, signer: Signer, folder: str, devices: int, partners: int
) -> None:
    """Makes the pack, checks it, and prints the figures."""
    order = make.Order(dsn, Asked(incident, For.POLICE), auditor, signer.written(), folder)
    began = time.perf_counter()
    made = await make._in_a_process(order)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    path = Path(folder) / "pack.zip"
    began = time.perf_counter()
    with path.open("rb") as file:
        verify.verify(file, [signer.verifier.written()])
    checked = time.perf_counter() - began
    copied, zipped = await floor(dsn, path)
    figures = {
        "devices": devices, "partners": partners, "seconds": round(seconds, 2),
        "peak_mib": peak, "pack_mib": round(made.size / 2**20, 2), "verify_seconds": round(checked, 2),
        "floor_copy_seconds": round(copied, 2), "floor_zip_seconds": round(zipped, 2),
    }  # fmt: skip
    print(json.dumps(figures))


async def measure(devices: int, partners: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as cluster:
            dsn = await goods_in.database(cluster, "evidence")
            signer = signing.new("load.example/audit", Kind.NOTE, secrets.token_bytes)
            async with await open_pool(dsn, command_timeout=600) as pool:
                manager, approver, auditor = (
                    Principal(f"k_{role}", role, role)
                    for role in (Role.INCIDENT_MANAGER, Role.APPROVER, Role.AUDITOR)
                )
                async with pool.acquire() as conn, conn.transaction():
                    await conn.execute(STOCK, devices)
                    await conn.execute("INSERT INTO device_imei SELECT unnest(keys), device_id FROM device")
                async with pool.acquire() as conn:
                    await conn.execute("ANALYZE")
                now = datetime.now(UTC)
                async with pool.acquire() as conn, conn.transaction():
                    incident = await conn.fetchval(
                        "INSERT INTO incident"
                        " (title, kind, site, police_reference, scope, state, drafted_by, drafted_at)"
                        " VALUES ('Load', 'theft', 'PAR-1', '', '{}', 'draft', 'x', now()) RETURNING incident_id"
                    )
                    await conn.execute(
                        "INSERT INTO claim SELECT $1, unnest(keys), device_id, 1 FROM device", incident
                    )
                    keys = [row["key"] for row in await conn.fetch("SELECT key FROM claim ORDER BY key")]
                    frozen = decide.digest(keys)
                    await conn.execute(
                        "UPDATE incident SET frozen = $2, state = 'approved', submitted_by = 'a', submitted_at = now(),"
                        " approved_by = 'b', assents = '{b}', approved_at = now(), identifiers = $3, devices = $4"
                        " WHERE incident_id = $1",
                        incident, frozen, len(keys), devices,
                    )  # fmt: skip
                    subject, said = f"incident:{incident}", {"frozen": frozen.hex(), "identifiers": len(keys)}
                    await record.record(
                        conn, [Entry("incident.submitted", subject, manager.label, now, said)]
                    )
                    await record.record(
                        conn,
                        [
                            Entry(
                                "incident.approved", subject, approver.label, now, {"identifiers": len(keys)}
                            )
                        ],
                    )
                    await told(conn, incident, partners)
                    while await seal.seal(conn, now, signers=[signer]):
                        pass
                await pressed(dsn, incident, auditor, signer, folder, devices, partners)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=50_000)
    parser.add_argument("--partners", type=int, default=4)
    given = parser.parse_args()
    asyncio.run(measure(given.devices, given.partners))


if __name__ == "__main__":
    main()
