"""Replies: what a call was answered is kept with what it did, in one transaction, and given again for its repeats.

Owns the table reply. Never keeps what a call was sent, but for the digest of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import asyncpg
import msgspec

from app.core.db import Connection
from app.core.errors import Conflict, Flaw, GatewayError, Invalid
from app.core.sql import queries

LARGEST = 64 * 1024
# Refusals that the work decides from what stands in the database: told again like any answer.
_DECIDED = (403, 404, 409, 422)

_SQL = queries("replies")


class Call(msgspec.Struct, frozen=True):
    """What is to be done once: a `key` counts for its sender and its target, and for one payload, whose SHA-256
    is `digest`."""

    sender: str
    target: str
    key: str
    digest: bytes
    now: datetime
    kept_until: datetime


class Reply(msgspec.Struct, frozen=True):
    """An answer as plain values. The `body` of a repeat is None where it was larger than LARGEST bytes."""

    status: int
    headers: dict[str, str]
    body: bytes | None
    repeated: bool = False


class InFlight(Conflict):
    """The same call is being worked on at this moment."""

    title = "Under way"
    wait = 1


class Reused(Invalid):
    """The key was used for something else."""

    status = 422


async def once(
    conn: Connection,
    call: Call,
    work: Callable[[Connection], Awaitable[Reply]],
    refusal: Callable[[GatewayError], Reply],
) -> Reply:
    """What `work(conn)` replies, or replied before. Raises InFlight, Reused.

    A refusal by a rule (403, 404, 409, 422) takes back what the work did and is kept like an answer; whatever
    else the work raises leaves nothing, and the key may be used again.
    """
    kept = await _claim(conn, call)
    if kept is not None:
        return kept
    reply = await _attempt(conn, work, refusal)
    body = reply.body if reply.body is not None and len(reply.body) <= LARGEST else None
    await conn.execute(_SQL.keep, call.sender, call.target, call.key, reply.status, reply.headers, body)
    return reply


async def _claim(conn: Connection, call: Call) -> Reply | None:
    """The reply that is kept, or None: the key is ours until the transaction ends."""
    await conn.execute(_SQL.be_impatient)
    try:
        row = await _row(conn, call) or await _row(conn, call)
    except asyncpg.LockNotAvailableError:
        raise InFlight(
            "The same request, under the same key, is being worked on right now; ask again in a second.",
            "key-in-flight",
        ) from None
    await conn.execute(_SQL.be_patient)
    assert row is not None
    if row["status"] is None:
        return None
    if row["digest"] != call.digest:
        raise Reused(
            "This key was sent with another request before; a new request would have a key of its own, and a"
            " repeat the same query, content type and body as the first.",
            "key-reused",
            (Flaw("a key that was not used here before", "Idempotency-Key"),),
        )
    return Reply(row["status"], row["headers"], row["body"], repeated=True)


async def _row(conn: Connection, call: Call) -> asyncpg.Record | None:
    return await conn.fetchrow(_SQL.claim, *msgspec.structs.astuple(call))


async def _attempt(
    conn: Connection,
    work: Callable[[Connection], Awaitable[Reply]],
    refusal: Callable[[GatewayError], Reply],
) -> Reply:
    # A savepoint, so that the key stays ours while what was refused is taken back.
    attempt = conn.transaction()
    await attempt.start()
    try:
        reply = await work(conn)
    except GatewayError as error:
        if error.status not in _DECIDED:
            raise
        await attempt.rollback()
        return refusal(error)
    await attempt.commit()
    return reply


async def forget(conn: Connection, now: datetime, limit: int = 1000) -> int:
    """Removes up to `limit` replies whose time is over; says how many."""
    gone: int = await conn.fetchval(_SQL.forget, now, limit)
    return gone
