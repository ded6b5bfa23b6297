"""Whose goods somebody may see and touch, where those are not all; and the way to the database for him.

What is out of reach does not exist for him: his transactions act as a role of the database that row-level security
holds to it (sql/queries/grants.sql). No query knows of it, and none can forget it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
import msgspec

from app.core.db import Connection, Pool, transaction
from app.core.errors import Forbidden, Unavailable
from app.core.sql import queries

T = TypeVar("T")

_SQL = queries("reach")


class Reach(msgspec.Struct, frozen=True):
    """The goods of these owners at these sites; None: of all of them."""

    owners: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None

    @classmethod
    def of(cls, owners: Sequence[str] | None, sites: Sequence[str] | None) -> Reach | None:
        """None where there is nothing out of reach."""
        if owners is None and sites is None:
            return None
        return cls(None if owners is None else tuple(owners), None if sites is None else tuple(sites))

    def holds(self, owner: str, site: str) -> bool:
        """Whether goods of this owner at this site are within."""
        return (self.owners is None or owner in self.owners) and (self.sites is None or site in self.sites)


async def narrow(conn: Connection, reach: Reach | None) -> None:
    """From here to the end of the transaction `conn` sees and writes what is in reach alone. Raises Unavailable where
    the database has no role for that."""
    if reach is None:
        return
    owners, sites = (None if one is None else list(one) for one in (reach.owners, reach.sites))
    try:
        await conn.execute(_SQL.narrow, owners, sites)
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
        raise Unavailable(
            "This key may see the goods of some owners or sites only, and the database has no role that could be held"
            " to it; deploy/RUNBOOK.md (Roles in the database) says how its administrator makes one.",
            "reach-unguarded",
        ) from None


def within(
    reach: Reach | None, work: Callable[[Connection], Awaitable[T]]
) -> Callable[[Connection], Awaitable[T]]:
    """The same work, which sees and writes what is in reach alone. Raises Forbidden (`out-of-reach`)."""
    if reach is None:
        return work

    async def narrowed(conn: Connection) -> T:
        await narrow(conn, reach)
        try:
            return await work(conn)
        except asyncpg.InsufficientPrivilegeError as error:
            raise out_of_reach() from error

    return narrowed


def out_of_reach() -> Forbidden:
    return Forbidden(
        "This touches goods of an owner or a site that this key may not see. It may act on its own goods alone;"
        " 'imei-gateway key list' says which those are.",
        "out-of-reach",
    )


class Sight:
    """A pool as somebody sees it."""

    def __init__(self, pool: Pool, reach: Reach | None) -> None:
        self._pool = pool
        self._reach = reach

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection to read with."""
        async with self._pool.acquire(timeout=10) as conn:
            if self._reach is None:
                yield conn
                return
            async with conn.transaction():
                await narrow(conn, self._reach)
                yield conn

    async def transaction(
        self, work: Callable[[Connection], Awaitable[T]], *, also: tuple[type[Exception], ...] = ()
    ) -> T:
        """As `db.transaction`; Forbidden (`out-of-reach`) where it would write what is not his."""
        return await transaction(self._pool, within(self._reach, work), also=also)
