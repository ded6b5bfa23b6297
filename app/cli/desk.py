"""Where commands meet the rooms: the database is opened, the actor is known, a change is one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from app.access.roles import Principal
from app.cli import ending, ground, options
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Connection, Pool
from app.core.errors import Missing
from app.core.keyring import Keyring
from app.core.reach import Sight, narrow

T = TypeVar("T")


def settings() -> Settings:
    """The settings of a short command, on a gateway that exists: a typing error makes no new database."""
    found = options.settings(log_level="warning")
    if not found.database_url and not (found.data_dir / "postgres").exists():
        raise Missing(
            f"There is no gateway in {found.data_dir} yet. 'imei-gateway up' makes one there; --data-dir or"
            " --database-url name another.",
            "no-gateway",
        )
    return found


def keyring() -> Keyring:
    """The keys for partners' secrets."""
    return ground.opened_keyring(settings())


def on_pool(work: Callable[[Pool, Principal], Awaitable[T]]) -> T:
    """What `work` gives, with a pool and whoever acts."""
    found, key = settings(), options.key()

    async def run() -> T:
        async with ground.opened(found) as pool:
            async with pool.acquire() as conn:
                actor = await ground.principal(conn, found, key)
            return await work(pool, actor)

    return ending.run(run())


def change(work: Callable[[Connection, Principal, datetime], Awaitable[T]]) -> T:
    """What `work` gives, in a transaction."""
    return on_pool(
        lambda pool, actor: Sight(pool, actor.reach).transaction(lambda conn: work(conn, actor, utc_now()))
    )


def read(work: Callable[[Connection, Principal], Awaitable[T]]) -> T:
    """What `work` finds in one snapshot of the database: what is written meanwhile does not show."""

    async def on_connection(pool: Pool, actor: Principal) -> T:
        async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
            await narrow(conn, actor.reach)
            return await work(conn, actor)

    return on_pool(on_connection)
