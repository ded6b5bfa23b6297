"""Whoever owns the database and changes the audit log behind our back is found out, and the place named."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from app.audit import merkle
from app.audit.record import Entry, body, record
from app.audit.seal import seal
from app.audit.verify import Report, verify

NOW = datetime(2026, 3, 1, 2, 30, 0, 120, tzinfo=UTC)


def happened(*numbers: int) -> list[Entry]:
    return [
        Entry("incident.approved", "incident:7", "key:k_aaaaaaaa (Ada)", NOW, {"number": n}) for n in numbers
    ]


async def write(conn: Any, *numbers: int) -> None:
    async with conn.transaction():
        await record(conn, happened(*numbers))


async def step(conn: Any, limit: int = 10_000) -> int:
    async with conn.transaction():
        return await seal(conn, NOW, limit)


async def verdict(conn: Any) -> Report:
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return await verify(conn)


@pytest.fixture
async def log(conn: Any) -> Any:
    """Leaves 0 to 11 with checkpoints at 5, 10 and 12, and two entries that are pending."""
    await write(conn, *range(12))
    while await step(conn, limit=5):
        pass
    await write(conn, 12, 13)
    return conn


async def tamper(conn: Any, *statements: str) -> None:
    """As somebody who owns the database and knows his way around triggers."""
    async with conn.transaction():
        await conn.execute("SET LOCAL ROLE NONE")
        await conn.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            await conn.execute(statement)


async def test_a_clean_log_verifies_and_says_how_far_it_is(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.audit.verify._PAGE", 4)
    heard: list[tuple[int, int]] = []
    async with log.transaction(isolation="repeatable_read", readonly=True):
        report = await verify(log, lambda *progress: heard.append(progress))
    hashes = [merkle.leaf_hash(body(entry).encode()) for entry in happened(*range(12))]
    assert report == Report(14, 12, 2, 3, merkle.root(hashes).hex(), None)
    assert heard == [(4, 12), (8, 12), (12, 12)]


async def test_verify_wants_one_snapshot(log: Any) -> None:
    with pytest.raises(RuntimeError, match="repeatable_read"):
        await verify(log)
    async with log.transaction():
        with pytest.raises(RuntimeError, match="repeatable_read"):
            await verify(log)


async def test_a_sealer_at_work_is_no_fault(database: str, log: Any) -> None:
    other = await asyncpg.connect(database)
    async with log.transaction(isolation="repeatable_read"):
        assert (await verify(log)).pending == 2
        assert await step(other) == 2
        report = await verify(log)
        assert (report.sealed, report.pending, report.fault) == (12, 2, None)
    await other.close()


LEAF_3 = "(SELECT entry_id FROM audit_leaf WHERE seq = 3)"
PENDING = "(SELECT min(entry_id) FROM audit_pending)"
OTHER = "decode(repeat('ab', 32), 'hex')"
FORGED = 'INSERT INTO audit_entry (entry_id, body) OVERRIDING SYSTEM VALUE VALUES (99, \'{"kind":"x"}\')'
FORGED_HASH = "sha256('\\x00'::bytea || convert_to('{\"kind\":\"x\"}', 'UTF8'))"

TAMPERING = {
    "a body is edited": (
        [f"UPDATE audit_entry SET body = replace(body, 'Ada', 'Bob') WHERE entry_id = {LEAF_3}"],
        r"Leaf 3 \(entry {3}\) is not the hash of the entry's body",
    ),
    "a body keeps its meaning and changes its bytes": (
        [f"UPDATE audit_entry SET body = body || ' ' WHERE entry_id = {LEAF_3}"],
        r"Leaf 3 \(entry {3}\) is not the hash of the entry's body",
    ),
    "a leaf is edited": (
        [f"UPDATE audit_leaf SET hash = {OTHER} WHERE seq = 3"],
        r"Leaf 3 \(entry {3}\) is not the hash of the entry's body",
    ),
    "an entry is deleted": (
        [f"DELETE FROM audit_entry WHERE entry_id = {LEAF_3}"],
        r"Leaf 3 belongs to entry {3}, which does not exist",
    ),
    "an entry is deleted with its leaf": (
        [f"DELETE FROM audit_entry WHERE entry_id = {LEAF_3}", "DELETE FROM audit_leaf WHERE seq = 3"],
        r"Leaf 3 is missing: leaf 4 \(entry {4}\) stands in its place",
    ),
    "the first leaf is deleted": (
        ["DELETE FROM audit_leaf WHERE seq = 0"],
        r"Leaf 0 is missing: leaf 1 \(entry {1}\)",
    ),
    "the tail leaf is deleted": (
        ["DELETE FROM audit_leaf WHERE seq = 11"],
        r"Entry {11} is neither sealed nor pending",
    ),
    "the tail is deleted with its entry": (
        [
            "DELETE FROM audit_entry WHERE entry_id = (SELECT entry_id FROM audit_leaf WHERE seq = 11)",
            "DELETE FROM audit_leaf WHERE seq = 11",
        ],
        r"Leaf 10 \(entry {10}\) lies beyond the last checkpoint, whose size is 10",
    ),
    "a whole batch at the end is deleted with its entries": (
        [
            "DELETE FROM audit_entry WHERE entry_id IN (SELECT entry_id FROM audit_leaf WHERE seq > 9)",
            "DELETE FROM audit_leaf WHERE seq > 9",
        ],
        r"The checkpoint of size 12 has no leaves to stand on: the log has 10",
    ),
    "a whole batch and its checkpoint are deleted": (
        [
            "DELETE FROM audit_entry WHERE entry_id IN (SELECT entry_id FROM audit_leaf WHERE seq > 9)",
            "DELETE FROM audit_leaf WHERE seq > 9",
            "DELETE FROM audit_checkpoint WHERE size = 12",
        ],
        r"The sealer's head \(size 12\) does not fit the 10 leaves",
    ),
    "two leaves are swapped": (
        [
            "UPDATE audit_leaf SET seq = -1 WHERE seq = 6",
            "UPDATE audit_leaf SET seq = 6 WHERE seq = 8",
            "UPDATE audit_leaf SET seq = 8 WHERE seq = -1",
        ],
        r"The checkpoint of size 10 \(last leaf 9, entry {9}\) does not fit .* the leaves 5 to 9 was moved",
    ),
    "two leaves swap their hashes": (
        [
            "UPDATE audit_leaf AS l SET hash = o.hash FROM audit_leaf AS o "
            "WHERE (l.seq, o.seq) IN ((6, 8), (8, 6))"
        ],
        r"Leaf 6 \(entry {6}\) is not the hash",
    ),
    "a leaf is forged for an entry that does not exist": (
        [f"INSERT INTO audit_leaf VALUES (12, 99, {FORGED_HASH})"],
        r"Leaf 12 belongs to entry 99, which does not exist",
    ),
    "an entry and its leaf are forged at the end": (
        [FORGED, f"INSERT INTO audit_leaf VALUES (12, 99, {FORGED_HASH})"],
        r"Leaf 12 \(entry 99\) lies beyond the last checkpoint, whose size is 12",
    ),
    "an entry and its leaf are forged in an old place": (
        [
            FORGED,
            "UPDATE audit_leaf SET seq = 12 WHERE seq = 7",
            f"INSERT INTO audit_leaf VALUES (7, 99, {FORGED_HASH})",
        ],
        r"The checkpoint of size 10 .* the leaves 5 to 9 was moved, added or replaced",
    ),
    "a leaf is forged before the first": (
        [FORGED, f"INSERT INTO audit_leaf VALUES (-1, 99, {FORGED_HASH})"],
        r"Leaf 0 is missing: leaf -1 \(entry 99\) stands in its place",
    ),
    "an entry is forged and kept from the sealer": ([FORGED], r"Entry 99 is neither sealed nor pending"),
    "a checkpoint's root is changed": (
        [f"UPDATE audit_checkpoint SET root = {OTHER} WHERE size = 5"],
        r"The checkpoint of size 5 .* its root is (ab)+ and they give .* the checkpoint was changed",
    ),
    "a checkpoint's size is changed": (
        ["UPDATE audit_checkpoint SET size = 11 WHERE size = 12"],
        r"The checkpoint of size 11 .* does not fit",
    ),
    "the last checkpoint is deleted": (
        ["DELETE FROM audit_checkpoint WHERE size = 12"],
        r"Leaf 10 \(entry {10}\) lies beyond the last checkpoint, whose size is 10",
    ),
    "a checkpoint is forged beyond the end": (
        [f"INSERT INTO audit_checkpoint VALUES (40, {OTHER}, now())"],
        r"The checkpoint of size 40 has no leaves to stand on: the log has 12",
    ),
    "a checkpoint is forged before the beginning": (
        [f"INSERT INTO audit_checkpoint VALUES (0, {OTHER}, now())"],
        r"The checkpoint of size 0 has no leaves to stand on",
    ),
    "the sealer's head is changed": (
        [f"UPDATE audit_head SET frontier[1] = {OTHER}"],
        r"The sealer's head \(size 12\) does not fit the 12 leaves",
    ),
    "the sealer's head is deleted": (["DELETE FROM audit_head"], r"The sealer's head is gone"),
    "a pending entry is kept from the sealer": (
        [f"DELETE FROM audit_pending WHERE entry_id = {PENDING}"],
        r"Entry {12} is neither sealed nor pending",
    ),
    "a pending entry is deleted": (
        [f"DELETE FROM audit_entry WHERE entry_id = {PENDING}"],
        r"Entry {12} waits to be sealed and does not exist",
    ),
    "a sealed entry is queued again": (
        [f"INSERT INTO audit_pending VALUES ({LEAF_3})"],
        r"Entry {3} is pending although it is sealed as leaf 3",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_named(log: Any, what: str) -> None:
    statements, fault = TAMPERING[what]
    ids = [row["entry_id"] for row in await log.fetch("SELECT entry_id FROM audit_entry ORDER BY entry_id")]
    await tamper(log, *statements)
    named = re.sub(r"\{(\d+)\}", lambda place: str(ids[int(place[1])]), fault)
    assert re.match(named, (await verdict(log)).fault or "clean")


async def test_an_entry_sealed_twice_under_a_true_checkpoint_is_named(log: Any) -> None:
    await tamper(
        log,
        "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_entry_id_key",
        "INSERT INTO audit_leaf SELECT 12, entry_id, hash FROM audit_leaf WHERE seq = 3",
    )
    hashes = [row["hash"] for row in await log.fetch("SELECT hash FROM audit_leaf ORDER BY seq")]
    frontier = merkle.Frontier()
    for leaf in hashes:
        frontier.append(leaf)
    await log.execute("INSERT INTO audit_checkpoint VALUES (13, $1, now())", merkle.root(hashes))
    await log.execute("UPDATE audit_head SET size = 13, frontier = $1", frontier.roots)
    assert re.match(r"Entry \d+ is sealed twice, as the leaves 3 and 12", (await verdict(log)).fault or "")


async def test_a_deleted_pending_entry_does_not_stop_the_sealer(log: Any) -> None:
    await tamper(log, f"DELETE FROM audit_entry WHERE entry_id = {PENDING}")
    assert [await step(log, limit=1) for _ in range(2)] == [1, 0]
    assert "waits to be sealed and does not exist" in ((await verdict(log)).fault or "")
