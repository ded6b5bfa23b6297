"""The audit log against a real database: recorded with the deed, sealed once, read in pages."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from app.audit import merkle, read
from app.audit.record import Entry, body, record
from app.audit.seal import seal
from app.audit.verify import Report, verify
from app.core.errors import Invalid

NOW = datetime(2026, 3, 1, 2, 30, 0, 120, tzinfo=UTC)


def happened(*numbers: int, kind: str = "incident.approved", subject: str = "incident:7") -> list[Entry]:
    return [Entry(kind, subject, "key:k_aaaaaaaa (Ada)", NOW, {"number": n}) for n in numbers]


async def write(conn: Any, *numbers: int) -> None:
    async with conn.transaction():
        await record(conn, happened(*numbers))


async def step(conn: Any, limit: int = 10_000) -> int:
    async with asyncio.timeout(10), conn.transaction():
        return await seal(conn, NOW, limit)


async def verdict(conn: Any) -> Report:
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return await verify(conn)


async def sealed_numbers(conn: Any) -> list[int]:
    rows = await conn.fetch("SELECT body FROM audit_leaf JOIN audit_entry USING (entry_id) ORDER BY seq")
    return [json.loads(row["body"])["detail"]["number"] for row in rows]


@asynccontextmanager
async def connections(database: str, count: int) -> AsyncIterator[list[Any]]:
    conns = [await asyncpg.connect(database) for _ in range(count)]
    try:
        yield conns
    finally:
        for conn in conns:
            await conn.close()


# --- recording


async def test_what_the_log_cannot_hold_is_known_by_its_hash(conn: Any) -> None:
    entry = Entry("incident.approved", "incident:7", "ada", NOW, {"words": "\u00e4" * 40_000})
    async with conn.transaction():
        await record(conn, [entry])
    (said,) = [json.loads(row["body"]) for row in await conn.fetch("SELECT body FROM audit_entry")]
    whole = body(entry).encode()
    assert said["detail"] == {"too_large": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    assert said["kind"] == "incident.approved"


def test_a_body_is_canonical() -> None:
    paris = timezone(timedelta(hours=1))
    entry = Entry(
        "k", "s", "a", datetime(2026, 3, 1, 3, 30, tzinfo=paris), {"z": 1, "a": {"y": "é", "b": []}}
    )
    assert body(entry) == (
        '{"actor":"a","at":"2026-03-01T02:30:00.000000Z",'
        '"detail":{"a":{"b":[],"y":"é"},"z":1},"kind":"k","subject":"s","v":1}'
    )


def test_a_body_wants_a_time_with_a_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        body(Entry("k", "s", "a", datetime(2026, 3, 1)))  # noqa: DTZ001


def test_a_text_with_nul_is_refused_and_one_that_only_looks_so_is_not() -> None:
    with pytest.raises(Invalid, match="holds the character NUL"):
        body(Entry("k", "s", "a", NOW, {"reason": "x\\\x00"}))
    assert r"\\u0000" in body(Entry("k", "s", "a", NOW, {"reason": r"\u0000"}))


async def test_entries_stand_in_the_order_given_with_what_they_say(conn: Any) -> None:
    await record(conn, [])
    await write(conn, *range(500))
    rows = await conn.fetch("SELECT * FROM audit_entry JOIN audit_pending USING (entry_id) ORDER BY entry_id")
    assert [row["body"] for row in rows] == [body(entry) for entry in happened(*range(500))]
    assert {(row["kind"], row["subject"]) for row in rows} == {("incident.approved", "incident:7")}


async def test_an_entry_shares_the_fate_of_the_deed(conn: Any) -> None:
    begun = conn.transaction()
    await begun.start()
    await conn.execute("CREATE TEMPORARY TABLE deed ()")
    await record(conn, happened(1))
    await begun.rollback()
    assert await conn.fetchval("SELECT to_regclass('deed')") is None
    assert await verdict(conn) == Report(0, 0, 0, 0, merkle.EMPTY_ROOT.hex(), None)


MEMORY = {
    "audit_entry": "body", "audit_leaf": "hash", "audit_checkpoint": "root", "audit_node": "hash",
    "audit_cosignature": "line", "audit_verifier": "verifier",
}  # fmt: skip
DEEDS = ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"]


@pytest.mark.parametrize("table", MEMORY)
@pytest.mark.parametrize("deed", DEEDS)
async def test_the_log_is_append_only(owner: Any, conn: Any, table: str, deed: str) -> None:
    """To whoever owns it by mistake, and to the service, whatever gets hold of it, without a way round."""
    await write(conn, 1)
    await step(conn)
    changes = deed.format(table, MEMORY[table], MEMORY[table])
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await owner.execute(changes)
    for tried in (
        changes,
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"permission denied|must be owner"):
            await conn.execute(tried)
    assert (await verdict(conn)).fault is None


async def test_the_service_owns_nothing_and_makes_nothing(conn: Any) -> None:
    assert await conn.fetchval("SELECT current_user") == "imei_gateway_service"
    deeds = (
        "CREATE TABLE mine ()",
        "CREATE SCHEMA mine",
        "DROP TABLE device",
        "DELETE FROM schema_migration",
    )
    for deed in deeds:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(deed)


# --- sealing


async def test_sealing_goes_in_steps_and_agrees_with_the_definition(conn: Any) -> None:
    await write(conn, *range(7))
    assert [await step(conn, limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert await sealed_numbers(conn) == list(range(7))
    hashes = [merkle.leaf_hash(body(entry).encode()) for entry in happened(*range(7))]
    rows = await conn.fetch("SELECT size, root FROM audit_checkpoint ORDER BY size")
    assert [tuple(row) for row in rows] == [(size, merkle.root(hashes[:size])) for size in (3, 6, 7)]
    assert await verdict(conn) == Report(7, 7, 0, 3, merkle.root(hashes).hex(), None)


async def test_a_late_committer_with_a_lower_id_is_sealed_later(database: str) -> None:
    async with connections(database, 2) as (late, prompt):
        begun = late.transaction()
        await begun.start()
        await record(late, happened(1))
        await write(prompt, 2)
        assert await step(prompt) == 1
        await begun.commit()
        await write(prompt, 3)
        assert await step(prompt) == 2
        assert await sealed_numbers(prompt) == [2, 1, 3]
        assert (await verdict(prompt)).fault is None


async def test_a_second_sealer_does_nothing_while_one_works(database: str) -> None:
    async with connections(database, 2) as (one, other):
        await write(one, *range(5))
        begun = one.transaction()
        await begun.start()
        assert await seal(one, NOW, limit=3) == 3
        assert await step(other) == 0
        await begun.commit()
        assert await step(other) == 2
        assert await sealed_numbers(one) == list(range(5))


async def test_a_sealer_that_dies_leaves_everything_as_it_was(database: str) -> None:
    async with connections(database, 1) as (conn,):
        await write(conn, *range(5))
        dying = await asyncpg.connect(database)
        await dying.transaction().start()
        assert await seal(dying, NOW) == 5
        dying.terminate()
        report = await verdict(conn)
        assert (report.sealed, report.pending, report.fault) == (0, 5, None)
        async with asyncio.timeout(10):
            while await step(conn) == 0:
                await asyncio.sleep(0.01)
        assert (await verdict(conn)).sealed == 5


async def test_many_writers_and_two_sealers_lose_nothing_and_seal_nothing_twice(database: str) -> None:
    async with connections(database, 7) as conns:
        *writers, one, other = conns
        done = asyncio.Event()

        async def writes(conn: Any, first: int) -> None:
            for number in range(first, first + 40, 2):
                async with conn.transaction():
                    await record(conn, happened(number))
                    await asyncio.sleep(0.002 * (number % 5))
                    await record(conn, happened(number + 1))

        async def seals(conn: Any) -> int:
            count = 0
            while not done.is_set():
                count += await step(conn, limit=7)
                await asyncio.sleep(0)
            return count

        sealers = [asyncio.create_task(seals(conn)) for conn in (one, other)]
        await asyncio.gather(*(writes(conn, 100 * n) for n, conn in enumerate(writers)))
        done.set()
        count = sum(await asyncio.gather(*sealers))
        while last := await step(one):
            count += last
        wanted = [100 * n + number for n in range(len(writers)) for number in range(40)]
        assert count == len(wanted)
        assert sorted(await sealed_numbers(one)) == wanted
        assert (await verdict(one)).fault is None


# --- reading


@pytest.fixture
async def log(conn: Any) -> Any:
    """Twelve sealed entries and two that are pending."""
    await write(conn, *range(12))
    await step(conn)
    await write(conn, 12, 13)
    return conn


async def test_entries_are_read_in_pages(log: Any) -> None:
    first = await read.entries(log, after=0, limit=8)
    rest = await read.entries(log, after=first[-1].entry_id, limit=8)
    assert [entry.body["detail"]["number"] for entry in first + rest] == list(range(14))
    assert [entry.seq for entry in first + rest] == [*range(12), None, None]
    assert first[3].leaf == merkle.leaf_hash(body(happened(3)[0]).encode()).hex()
    assert rest[-1].leaf is None


async def test_entries_are_read_by_subject_and_kind(log: Any) -> None:
    await record(log, happened(50, kind="key.created", subject="key:k_a"))
    await record(log, happened(51, kind="key.revoked", subject="key:k_a"))

    async def numbers(**chosen: Any) -> list[int]:
        found = await read.entries(log, after=0, limit=3, **chosen)
        return [entry.body["detail"]["number"] for entry in found]

    assert await numbers(subject="incident:7") == [0, 1, 2]
    assert await numbers(subject="key:k_a") == [50, 51]
    assert await numbers(kind="key.revoked") == [51]
    assert await numbers(kind="key.created", subject="key:k_a") == [50]
    assert await numbers(kind="key.created", subject="incident:7") == []


async def test_the_newest_checkpoint_is_read(conn: Any) -> None:
    assert await read.checkpoint(conn) is None
    await write(conn, *range(3))
    await step(conn, limit=2)
    await step(conn)
    root = (await verdict(conn)).root
    assert await read.checkpoint(conn) == read.Checkpoint(3, root, NOW, None)
