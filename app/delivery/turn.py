"""Whose turn it is to be asked: a lease on one partner, which one worker holds at a time, renews, and is fenced by."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

import msgspec

from app.adapters import registry
from app.core import log
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.contacts import Contact
from app.delivery.partners import BREAKER_OPENS_AT
from app.delivery.send import Desk

# Seconds of a lease, and that handing it back may take.
LEASE = 60.0
STOP_WITHIN = 5.0

_SQL = queries("lanes")
_LOG = log.get("delivery")


class Overtaken(Exception):
    """The lease on asking a partner has passed to somebody else: what came of it is not the newest any more."""


class Turn(msgspec.Struct, frozen=True):
    """A lease on asking one partner, and what it is asked: for results, what it holds, or to take its list."""

    contact: Contact
    token: int
    polls: bool
    reconciles: bool
    lists: bool
    began: datetime

    @property
    def lease(self) -> tuple[int, int]:
        return self.contact.partner.id, self.token


async def claimed(desk: Desk) -> Turn | None:
    """A partner that is to be asked now, by us alone."""
    async with desk.pool.acquire(timeout=10) as conn:
        await desk.contacts.forget_removed(conn)
        row = await conn.fetchrow(
            _SQL.claim_asking,
            who_can("poll"),
            who_can("holdings"),
            LEASE,
            BREAKER_OPENS_AT,
            who_can("publish"),
        )
        if row is None:
            return None
        contact = await desk.contacts.of(conn, row["partner_id"])
        return Turn(contact, row["token"], row["polls"], row["reconciles"], row["lists"], row["began"])


def who_can(method: str) -> list[str]:
    """The adapters that have it."""
    return [kind for kind, adapter in registry.adapters().items() if hasattr(adapter, method)]


async def renewed(desk: Desk, turn: Turn) -> bool:
    """Whether nobody else asks the partner now, as far as one can know."""
    try:
        async with desk.pool.acquire(timeout=10) as conn:
            return bool(await conn.fetchval(_SQL.renew_asking, *turn.lease, LEASE))
    except Exception as error:  # what comes of it is fenced all the same
        _LOG.warning("asking.failed", error=repr(error))
        return True


async def let_go(desk: Desk, turn: Turn) -> None:
    with suppress(Exception):  # or the lease lapses
        async with asyncio.timeout(STOP_WITHIN), desk.pool.acquire() as conn:
            await conn.execute(_SQL.stop_asking, *turn.lease)


async def must_be_ours(conn: Connection, turn: Turn) -> None:
    """Raises Overtaken. The last of a transaction: a lane is never locked after it."""
    if not await conn.fetchval(_SQL.hold_asking, *turn.lease):
        raise Overtaken
