"""The roles that processes act as in the database, and what each may do there. Whoever migrates gives it to them.

Who may make no role that bypasses row-level security goes without, unless somebody made both of them: processes then
act as whoever they log in as, nothing in the database keeps the memory from them, and nobody is let in whose sight is
narrow.
"""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from app.core.db import Connection
from app.core.sql import queries

_SQL = queries("grants")
_MADE_BY_OTHERS = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.DuplicateObjectError,
    asyncpg.UniqueViolationError,
    asyncpg.InvalidGrantOperationError,
    asyncpg.UndefinedObjectError,
)


async def grant(conn: Connection) -> None:
    """Gives both roles what they need, where anything has been added."""
    for statement in (_SQL.create_service, _SQL.create_narrow, _SQL.join_service, _SQL.join_narrow):
        with suppress(*_MADE_BY_OTHERS):
            async with conn.transaction():
                await conn.execute(statement)
    if await conn.fetchval(_SQL.are_wanted):
        async with conn.transaction():
            await conn.execute(_SQL.serve)
            await conn.execute(_SQL.narrow)
