"""Migrations: applied once, in order, together with their record; anything that does not fit is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app.core.db import Connection, Pool, open_pool, transaction
from app.core.errors import Conflict
from app.core.migrate import migrate, pending, statements
from app.core.sql import sql_root

from ..conftest import administer

SITE = "CREATE TABLE test_site (id int PRIMARY KEY);"
AISLE = "CREATE TABLE test_aisle (site int REFERENCES test_site); INSERT INTO test_site VALUES (1);"


@pytest.fixture
async def conn(owner: Pool) -> AsyncIterator[Connection]:
    """A database that has not been migrated yet."""
    async with owner.acquire() as conn:
        await conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield conn


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    write(tmp_path, "0001_site", SITE)
    write(tmp_path, "0002_aisle", AISLE)
    return tmp_path


def write(root: Path, name: str, text: str) -> Path:
    path = root / "migrations" / f"{name}.sql"
    path.write_text(text)
    return path


async def has(conn: Connection, table: str) -> bool:
    return bool(await conn.fetchval("SELECT to_regclass($1) IS NOT NULL", table))


async def test_applies_in_order_and_once(conn: Connection, root: Path) -> None:
    assert await pending(conn, root) == ["0001_site", "0002_aisle"]
    assert await migrate(conn, root) == ["0001_site", "0002_aisle"]
    assert await migrate(conn, root) == []
    assert await pending(conn, root) == []
    assert await conn.fetchval("SELECT count(*) FROM test_site") == 1
    assert await conn.fetchval("SELECT string_agg(name, ' ') FROM schema_migration") == "0001_site 0002_aisle"


async def test_no_migrations_are_fine(conn: Connection, tmp_path: Path) -> None:
    assert await migrate(conn, tmp_path) == []
    assert await pending(conn, tmp_path) == []


async def test_our_own_migrations_fit(conn: Connection) -> None:
    assert await migrate(conn) == await _names(conn)
    assert await pending(conn) == []


async def test_the_service_may_log_in_as_somebody_who_owns_nothing(database: str, cluster: str) -> None:
    """Then no stolen password of the service undoes what it may not do."""
    name = f"login_{uuid4().hex[:8]}"
    await administer(cluster, f"CREATE ROLE {name} LOGIN IN ROLE imei_gateway_service")
    try:
        async with await open_pool(database.replace("//gateway@", f"//{name}@"), as_owner=True) as pool:
            assert await transaction(pool, migrate) == []
            assert await pool.fetchval("SELECT count(*) FROM device") == 0
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute("RESET ROLE; DELETE FROM audit_entry")
    finally:
        await administer(cluster, f"DROP ROLE {name}")


async def _names(conn: Connection) -> list[str]:
    return [row["name"] for row in await conn.fetch("SELECT name FROM schema_migration ORDER BY number")]


async def test_two_at_once_apply_once(conn: Connection, root: Path, database: str) -> None:
    write(root, "0003_index", "-- no-transaction\nCREATE INDEX CONCURRENTLY test_index ON test_aisle (site);")
    other = await asyncpg.connect(database)
    applied = await asyncio.gather(migrate(conn, root), migrate(other, root))
    assert sorted(applied) == [[], ["0001_site", "0002_aisle", "0003_index"]]
    await other.close()


async def test_changed_file_is_refused(conn: Connection, root: Path) -> None:
    await migrate(conn, root)
    write(root, "0001_site", SITE + " ")
    with pytest.raises(Conflict, match="0001_site was changed after it was applied"):
        await migrate(conn, root)


async def test_line_ends_are_no_change(conn: Connection, root: Path) -> None:
    path = write(root, "0003_level", "CREATE TABLE test_level (\nid int\n);")
    await migrate(conn, root)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(conn, root) == []


async def test_missing_file_is_refused(conn: Connection, root: Path) -> None:
    await migrate(conn, root)
    (root / "migrations" / "0001_site.sql").unlink()
    with pytest.raises(Conflict, match="0001_site was applied to this database, and its file is missing"):
        await migrate(conn, root)


async def test_newer_database_is_refused_but_serves(conn: Connection, root: Path) -> None:
    await migrate(conn, root)
    (root / "migrations" / "0002_aisle.sql").unlink()
    with pytest.raises(Conflict, match="newer than this code, which knows no 0002_aisle"):
        await migrate(conn, root)
    assert await pending(conn, root) == []


async def test_late_comer_with_a_lower_number_is_refused(conn: Connection, root: Path) -> None:
    write(root, "0004_door", "CREATE TABLE test_door (id int);")
    await migrate(conn, root)
    write(root, "0003_gate", "CREATE TABLE test_gate (id int);")
    with pytest.raises(Conflict, match="0003_gate is new, and 0004_door is applied already"):
        await migrate(conn, root)


@pytest.mark.parametrize("name", ["3_gate", "0003-gate", "gate"])
async def test_odd_names_are_refused(conn: Connection, root: Path, name: str) -> None:
    write(root, name, SITE)
    with pytest.raises(Conflict, match=r"must look like 0012_noun\.sql"):
        await migrate(conn, root)


async def test_one_number_for_two_files_is_refused(conn: Connection, root: Path) -> None:
    write(root, "0002_gate", SITE)
    with pytest.raises(Conflict, match="0002_aisle and 0002_gate"):
        await migrate(conn, root)


async def test_failing_migration_leaves_nothing_and_is_named(conn: Connection, root: Path) -> None:
    write(root, "0003_bad", "CREATE TABLE test_bad (id int); SELECT 1 / 0;")
    with pytest.raises(Conflict, match="Migration 0003_bad failed, nothing of it is kept: division by zero"):
        await migrate(conn, root)
    assert await _names(conn) == ["0001_site", "0002_aisle"]
    assert not await has(conn, "test_bad")
    write(root, "0003_bad", "CREATE TABLE test_bad (id int);")
    assert await migrate(conn, root) == ["0003_bad"]


async def test_failing_statement_by_statement_runs_again(conn: Connection, root: Path) -> None:
    first = "-- no-transaction\nCREATE TABLE IF NOT EXISTS test_half (id int);\n"
    write(root, "0003_half", first + "SELECT 1 / 0;")
    with pytest.raises(Conflict, match="what stands before it in the file is kept"):
        await migrate(conn, root)
    assert await has(conn, "test_half")
    write(root, "0003_half", first + "SELECT 1;")
    assert await migrate(conn, root) == ["0003_half"]


def test_statements_are_cut_at_their_ends_only() -> None:
    text = """-- a; b
        SELECT ';', "x;y" /* ; */; CREATE FUNCTION f() RETURNS int AS $b$ SELECT 1; $b$ LANGUAGE sql;
        SELECT 'it''s;' -- the end;
    """
    assert [statement.split()[-1] for statement in statements(text)] == ["*/;", "sql;", "end;"]
    assert list(statements("SELECT 1;\n-- the end\n")) == ["SELECT 1;"]


async def test_a_database_that_forgets_is_refused(conn: Connection, root: Path) -> None:
    await conn.execute("SET synchronous_commit = off")
    with pytest.raises(Conflict, match="synchronous_commit is off") as refused:
        await migrate(conn, root)
    assert refused.value.code == "database-forgets"
    assert not await has(conn, "schema_migration")


async def migrated_until(conn: Connection, folder: Path, name: str) -> None:
    """A database as it was before the migration that begins so."""
    (folder / "migrations").mkdir()
    for file in sorted((sql_root() / "migrations").glob("*.sql")):
        if file.name < name:
            write(folder, file.stem, file.read_text())
    await migrate(conn, folder)


async def test_a_list_of_before_learns_who_holds_it(conn: Connection, tmp_path: Path) -> None:
    """0035, on a database in which one phone is blocked by two incidents, one suspect, and one free again."""
    await migrated_until(conn, tmp_path, "0035")
    await conn.execute(
        "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at,"
        " submitted_by, approved_by, approved_at)"
        " SELECT 't', 'theft', '', '', '{}', 'approved', 'x', now(), 'x', 'y', now() - at * interval '1 hour'"
        " FROM generate_series(1, 3) AS at"
    )
    await conn.execute(
        "INSERT INTO claim (incident_id, key, state) VALUES (1, 7, 1), (2, 7, 1), (3, 7, 0), (3, 8, 0), (1, 9, 2)"
    )
    await conn.execute(
        "INSERT INTO listing (key, blocked_by, suspected_by, version, since)"
        " VALUES (7, 2, 1, 1, now()), (8, 0, 1, 0, now()), (9, 0, 0, 2, now())"
    )
    await migrate(conn)
    held = await conn.fetch("SELECT key, held_by FROM listing ORDER BY key")
    assert [tuple(row) for row in held] == [(7, [2, 1, 3]), (8, [3]), (9, [])]
    assert (
        await conn.fetchval("SELECT count(DISTINCT reference) FROM incident WHERE reference LIKE 'IG-%'") == 3
    )


async def test_claims_of_before_were_lifted_at_some_time(conn: Connection, tmp_path: Path) -> None:
    """0040, with an incident that was closed, one that has let go of a part, and what is held or only suspected."""
    await migrated_until(conn, tmp_path, "0040")
    await conn.execute(
        "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at,"
        " submitted_by, approved_by, approved_at, ended_at)"
        " SELECT 't', 'theft', '', '', '{}', state, 'x', at, 'x', 'y', at, ended_at"
        " FROM (VALUES ('closed', '2026-01-01'::timestamptz, '2026-01-03'::timestamptz),"
        " ('approved', '2026-01-01', NULL)) AS t (state, at, ended_at)"
    )
    await conn.execute("INSERT INTO claim (incident_id, key, state) VALUES (1, 7, 2), (2, 8, 2), (2, 9, 1)")
    await conn.execute(
        "INSERT INTO listing (key, blocked_by, suspected_by, version, since, held_by) VALUES"
        " (7, 0, 0, 2, '2026-01-03', '{}'), (8, 0, 0, 2, '2026-01-02', '{}'), (9, 1, 0, 1, '2026-01-01', '{2}')"
    )
    await migrate(conn)
    lifted = await conn.fetch("SELECT key, extract(day FROM lifted_at)::integer FROM claim ORDER BY key")
    assert [tuple(row) for row in lifted] == [(7, 3), (8, 2), (9, None)]
