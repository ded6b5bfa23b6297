"""Partners' rows from before an upgrade go on as they were."""

from __future__ import annotations

import shutil

from app.adapters import registry
from app.core.migrate import migrate
from app.core.sql import queries, sql_root

_ADD = (
    "INSERT INTO partner (name, adapter, settings, enrols, kinds, max_inflight, burst, created_at)"
    " VALUES ($1, 'ceir', '{}', false, '{imei}', 8, 10, now()) RETURNING allow_private"
)


async def before(conn, tmp_path, name: str) -> None:
    """A database as it was before a migration."""
    await conn.execute("RESET ROLE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    shutil.copytree(sql_root(), tmp_path / "sql")
    (late,) = (tmp_path / "sql" / "migrations").glob(f"*_{name}.sql")
    for path in late.parent.iterdir():
        if path.name >= late.name:
            path.unlink()
    await migrate(conn, tmp_path / "sql")


async def test_a_partner_from_before_may_be_where_it_was(conn, tmp_path):
    await before(conn, tmp_path, "partner_reach")
    await conn.execute(_ADD.partition(" RETURNING")[0], "before")
    await migrate(conn)
    assert await conn.fetchval("SELECT allow_private FROM partner WHERE name = 'before'") is True
    assert await conn.fetchval(_ADD, "after") is False


async def test_words_that_meant_nothing_keep_no_partner_from_being_told(conn, tmp_path):
    await before(conn, tmp_path, "known_words")
    settings = {
        "url": "https://ceir.example",
        "username": "us",
        "password": "hush-hush",
        "reasons": {"theft": "S", "thft": "X", "loss": ""},
    }
    await conn.execute(
        "INSERT INTO partner (name, adapter, settings, enrols, kinds, max_inflight, burst, created_at, countries)"
        " VALUES ('62', 'ceir', $1, false, '{imei}', 8, 10, now(), '{FR,UK}')",
        settings,
    )
    await migrate(conn)
    row = await conn.fetchrow("SELECT partner_id, countries, settings FROM partner")
    assert row["countries"] == ["FR", "GB"]
    assert row["settings"] == settings | {"reasons": {"theft": "S"}}
    registry.make("ceir", row["settings"])


async def test_what_may_be_a_number_is_one(conn):
    first = await conn.fetchval(_ADD.replace("allow_private", "partner_id"), "some")
    second = await conn.fetchval(_ADD.replace("allow_private", "partner_id"), str(first))
    number = queries("partners").partner_named
    assert await conn.fetchval(number, str(first)) == first
    assert await conn.fetchval(number, str(second)) == second
    assert await conn.fetchval(number, "some") == first
