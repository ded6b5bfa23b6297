"""Whose sight is narrow is let in where the database guards it, and nowhere else."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from app.core.db import Pool, open_pool
from app.core.errors import Unavailable
from app.core.reach import Reach, Sight

from ..conftest import administer

REACH = Reach(owners=("Retailer",))


async def test_where_the_role_may_not_be_had_nobody_of_it_is_let_in(database: str, cluster: str) -> None:
    name = f"login_{uuid4().hex[:8]}"
    await administer(cluster, f"CREATE ROLE {name} LOGIN IN ROLE imei_gateway_service")
    try:
        async with await open_pool(database.replace("//gateway@", f"//{name}@")) as pool:
            with pytest.raises(Unavailable) as caught:
                async with Sight(pool, REACH).acquire():
                    pass
            assert caught.value.code == "reach-unguarded"
    finally:
        await administer(cluster, f"DROP ROLE {name}")


async def test_a_connection_is_as_it_was_afterwards(database: str) -> None:
    async with await open_pool(database, size=1) as pool:
        async with Sight(pool, REACH).acquire() as conn:
            assert await conn.fetchval("SELECT current_user") == "imei_gateway_narrow"
        assert await pool.fetchval("SELECT current_user") == "imei_gateway_service"


async def test_without_a_word_of_reach_nothing_is_in_reach(pool: Pool) -> None:
    """Also on a connection on which somebody has had one before."""
    async with Sight(pool, REACH).acquire() as conn:
        await conn.fetch("SELECT FROM device")
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SET LOCAL ROLE imei_gateway_narrow")
        assert await conn.fetchval("SELECT in_reach('Retailer', 'PAR-1')") is not True


@pytest.mark.parametrize("table", ["api_key", "access_token", "audit_leaf", "audit_checkpoint"])
async def test_who_is_narrow_reads_nothing_of_keys_and_of_the_log(pool: Pool, table: str) -> None:
    async with Sight(pool, REACH).acquire() as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with conn.transaction():
                await conn.fetch(f"SELECT * FROM {table}")
