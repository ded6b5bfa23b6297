"""Partners' rows from before an upgrade go on as they were."""

from __future__ import annotations

import shutil

from app.core.migrate import migrate
from app.core.sql import sql_root

_ADD = (
    "INSERT INTO partner (name, adapter, settings, enrols, kinds, max_inflight, burst, created_at)"
    " VALUES ($1, 'ceir', '{}', false, '{imei}', 8, 10, now()) RETURNING allow_private"
)


async def test_a_partner_from_before_may_be_where_it_was(conn, tmp_path):
    await conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    shutil.copytree(sql_root(), tmp_path / "sql")
    (late,) = (tmp_path / "sql" / "migrations").glob("*_partner_reach.sql")
    for path in late.parent.iterdir():
        if path.name >= late.name:
            path.unlink()
    await migrate(conn, tmp_path / "sql")
    await conn.execute(_ADD.partition(" RETURNING")[0], "before")
    await migrate(conn)
    assert await conn.fetchval("SELECT allow_private FROM partner WHERE name = 'before'") is True
    assert await conn.fetchval(_ADD, "after") is False
