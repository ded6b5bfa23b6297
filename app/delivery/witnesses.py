"""Witnesses are shown each new head of the audit log, and what they sign is kept under it (C2SP tlog-witness).

A witness that is away holds nobody up: the log goes on, and he is shown the newest head when he is back. One who says
that the log did not grow from what he has signed is the alarm that it was rolled back or forked.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from datetime import datetime

from app.adapters.contract import NoAnswer, Reply
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit import witnessed
from app.audit.signing import Witness
from app.audit.witnessed import Shown
from app.core import log
from app.core.db import Connection, Pool, transaction
from app.delivery.wire import HttpWire

DEADLINE = 5.0
EVERY = 0.5
# Seconds: longer than a question takes, so that no two workers ask one witness at a time.
_CLAIM = 3 * DEADLINE
_AWAY, _OBJECTED = 10.0, 60.0

_LOG = log.get("witnesses")


async def run(
    pool: Pool, witnesses: Sequence[Witness], now: Callable[[], datetime], stopping: asyncio.Event
) -> None:
    """Shows every head to every witness until `stopping` is set."""
    wire = HttpWire(deadline=DEADLINE, cap=2**16, connections=len(witnesses) or 1, allow_private=True)
    try:
        await asyncio.gather(*(_attend(pool, wire, one, now, stopping) for one in witnesses))
    finally:
        await wire.close()


async def _attend(
    pool: Pool, wire: HttpWire, witness: Witness, now: Callable[[], datetime], stopping: asyncio.Event
) -> None:
    while not stopping.is_set():
        try:
            await show(pool, wire, witness, now())
        except Exception as error:  # a database that is away is waited for, not died of
            _LOG.warning("witness.step_failed", witness=witness.verifier.name, error=repr(error))
        try:
            await asyncio.wait_for(stopping.wait(), EVERY)
        except TimeoutError:
            continue


async def show(pool: Pool, wire: HttpWire, witness: Witness, now: datetime) -> None:
    """Shows one witness the newest head, unless he has signed it or somebody else is showing it."""
    name = witness.verifier.name
    shown = await transaction(pool, lambda conn: witnessed.claim(conn, name, _CLAIM))
    if shown is None:
        return
    try:
        reply = await wire.send("POST", f"{witness.url}/add-checkpoint", body=_body(shown))
    except NoAnswer as error:
        _LOG.warning("witness.away", witness=name, why=str(error))
        leaving = (name, shown.old, shown.objection, _AWAY)
        await transaction(pool, lambda conn: witnessed.leave(conn, *leaving))
        return
    await transaction(pool, lambda conn: _heard(conn, witness, shown, reply, now))


def _body(shown: Shown) -> bytes:
    lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in shown.path)
    return f"old {shown.old}\n{lines}\n{shown.checkpoint}".encode()


async def _heard(conn: Connection, witness: Witness, shown: Shown, reply: Reply, now: datetime) -> None:
    name, text = witness.verifier.name, reply.body.decode("utf-8", "replace")
    if reply.status == 200 and await witnessed.keep(conn, witness.verifier, shown, text):
        return
    signed = _size(text) if reply.status == 409 else None
    if signed is not None and signed <= shown.size:
        # We have no word of what he signed last, or this is the first that we show him.
        await witnessed.leave(conn, name, signed, shown.objection, 0)
    elif signed is not None:
        longer = f"It has signed {signed:,} entries, and the log has {shown.size:,}: the log was rolled back."
        await _object(conn, name, shown, longer, now)
    else:
        await _object(conn, name, shown, f"HTTP {reply.status}: {text[:500].strip()}", now)


def _size(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _object(conn: Connection, name: str, shown: Shown, said: str, now: datetime) -> None:
    _LOG.error("witness.objects", witness=name, said=said)
    if said != shown.objection:
        detail = {"witness": name, "said": said, "size": shown.size}
        await raise_(conn, [Raised(AlertKind.WITNESS, "audit", detail)], "worker", now)
    await witnessed.leave(conn, name, shown.old, said, _OBJECTED)
