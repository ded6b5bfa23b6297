"""Goods-in: a stream of rows becomes devices, and a receipt with a verdict for every row.

The caller's transaction makes it one step: a broken submission leaves nothing. Valid rows are registered
although others are not. While the database works on one batch of rows the next one is read in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import datetime

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.adapters.contract import Op
from app.alerts.alert import AlertKind, Raised, raise_
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.errors import Conflict, Unavailable
from app.core.sql import queries
from app.delivery.commands import Command, order, somebody_enrols
from app.devices import receipts, verdicts
from app.devices.admit import admit
from app.devices.candidates import Batch, Reject
from app.devices.incoming import Incoming
from app.devices.merge import Judged, Merge
from app.devices.receipts import Receipt, ReceiptKind, Terms, Usual

_SQL = queries("devices")
# A submission this many times as large as the supplier's usual one wants a second look, if it is large at all.
_UNUSUAL = 10
_LARGE = 1_000

# A submission that met another one's devices in the act may be run again: it will find them registered.
MET_ANOTHER = (asyncpg.UniqueViolationError,)


class Unusual(Conflict):
    """Far more rows than usual. How they are confirmed each face says in its own words."""


class _Tally(msgspec.Struct):
    rows: int = 0
    registered: int = 0
    updated: int = 0
    arrived: int = 0
    unchanged: int = 0
    rejected: int = 0
    warnings: int = 0
    alarming: list[int] = []
    """Devices that are suspect or blocked, and of which a row says otherwise."""
    listed: int = 0
    """New names of devices that are suspect or blocked already, or whose device is."""
    added: list[int] = []

    @property
    def counts(self) -> tuple[int, ...]:
        """In the order of `receipts.close`."""
        became = (self.registered, self.updated, self.arrived, self.unchanged, self.rejected)
        return (self.rows, *became, self.warnings)


async def register(
    conn: Connection,
    actor: Principal,
    incoming: Incoming,
    terms: Terms,
    *,
    now: datetime,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Receipt:
    """Registers what can be registered, and says of every other row why not.

    `on_rows` hears how many rows have been judged. Raises Invalid where the submission as a whole cannot be
    read, Unusual `size-unusual`, Unavailable `same-under-way` or `others-under-way`; MET_ANOTHER where another
    submission registered the same device at this very moment: run the transaction again.
    """
    actor.require(Permission.RECEIPTS_WRITE)
    usual = await receipts.usual_rows(conn, actor, terms.supplier)
    number = await receipts.open_receipt(conn, actor, terms, incoming.columns, now)
    await _wait_for_twin(conn, terms)
    merge = Merge(
        conn,
        number,
        arrives=terms.kind is ReceiptKind.ARRIVAL,
        by=actor.label,
        now=now,
        is_narrow=actor.reach is not None,
    )
    tally = _Tally()
    async with aclosing(_prefetched(incoming.following)) as ready:
        async for batch in ready:
            with _waits_for_others():
                judged = await merge.merge(await admit(conn, actor.reach, batch))
            await _note(conn, number, batch, judged, merge, tally, receipts.counted(terms.source))
            if usual is not None and tally.rows > max(_unasked(usual.rows), terms.confirmed):
                raise _unusual(terms, usual)
            on_rows(tally.rows)
    await _check_declared(conn, number, terms, tally)
    receipt = await receipts.close(conn, number, tally.counts)
    await _enrol(conn, actor, receipt, tally.added, now)
    await record(conn, [_entry(actor, receipt, terms, now)])
    await raise_(conn, _alerts(receipt, tally), actor.label, now)
    return receipt


@contextmanager
def _waits_for_others() -> Iterator[None]:
    try:
        yield
    except asyncpg.LockNotAvailableError:
        raise Unavailable(
            "Somebody else has been registering or claiming the same devices for some time. Nothing was done with"
            " this submission; when the other is done, send it again.",
            "others-under-way",
        ) from None


async def _wait_for_twin(conn: Connection, terms: Terms) -> None:
    if terms.source.startswith("event:"):
        # An event is stored once; thousands of them in one transaction would take all locks that there are.
        return
    await conn.execute(_SQL.bear_waiting)
    try:
        await conn.execute(_SQL.wait_for_twin, int.from_bytes(terms.digest[:8], "big", signed=True))
    except asyncpg.LockNotAvailableError:
        raise Unavailable(
            "The same file is being registered at this moment. Nothing was done with this one; when the other is"
            " done, sending it again tells what it came to.",
            "same-under-way",
        ) from None
    await conn.execute(_SQL.bear_long_waiting)


def _unasked(usual: int) -> int:
    """How many rows pass without a second look."""
    return max(usual * _UNUSUAL, _LARGE)


def _unusual(terms: Terms, usual: Usual) -> Unusual:
    unasked, of = _unasked(usual.rows), f"of {terms.supplier}" if usual.of_supplier else "with this key"
    confirmed = f"the {terms.confirmed:,} rows that were confirmed"
    most = confirmed if terms.confirmed > unasked else f"{unasked:,} rows"
    return Unusual(
        f"The submission has more than {most}, and nothing was"
        f" registered. The largest of the latest ones {of} had {usual.rows:,} row{'s' * (usual.rows != 1)}, and up to"
        f" {unasked:,} pass unasked.",
        "size-unusual",
    )


async def _prefetched(following: Callable[[], Batch | None]) -> AsyncGenerator[Batch, None]:
    """Batches, each read while the one before is worked on. No thread is left behind."""
    reading = asyncio.ensure_future(asyncio.to_thread(following))
    try:
        while (batch := await asyncio.shield(reading)) is not None:
            reading = asyncio.ensure_future(asyncio.to_thread(following))
            yield batch
    finally:
        with suppress(Exception):
            await reading


async def _note(
    conn: Connection, receipt_id: int, batch: Batch, judged: Judged, merge: Merge, tally: _Tally, counted: str
) -> None:
    """Keeps what was found in a batch, in the order of its lines, and counts."""
    against = [verdicts.conflict(row, merge.line(row["device_id"]), counted) for _, row in judged.conflicts]
    chained = [verdicts.entangled(each.line, each.keys, each.name[0]) for each in judged.entangled]
    found = [*batch.findings, *against, *chained, *map(verdicts.update, judged.updates)]
    found += judged.listed
    found.sort(key=lambda finding: finding.line)
    await receipts.keep_findings(conn, receipt_id, found)
    candidates = [*(each for each, _ in judged.conflicts), *judged.entangled]
    pairs = zip(candidates, [*against, *chained], strict=True)
    refused = [*batch.rejects, *(Reject.of(batch.cells(each), [finding]) for each, finding in pairs)]
    refused.sort(key=lambda reject: reject.line)
    await receipts.keep_rejects(conn, receipt_id, refused)
    tally.rows += batch.rows
    tally.registered += judged.registered
    tally.updated += judged.updated
    tally.arrived += judged.arrived
    tally.unchanged += judged.unchanged
    tally.rejected += len(refused)
    tally.warnings += len([1 for finding in found if not finding.rejected]) - len(judged.updates)
    tally.listed += len(judged.listed)
    tally.added += judged.added
    tally.alarming += [row["device_id"] for _, row in judged.conflicts if row["listed"]]


async def _check_declared(conn: Connection, receipt_id: int, terms: Terms, tally: _Tally) -> None:
    if terms.declared is not None and terms.declared != tally.rows:
        await receipts.keep_findings(conn, receipt_id, [verdicts.miscounted(terms.declared, tally.rows)])
        tally.warnings += 1


def _entry(actor: Principal, receipt: Receipt, terms: Terms, now: datetime) -> Entry:
    detail = msgspec.to_builtins(receipt) | {"sha256": terms.digest.hex()}
    return Entry("receipt.registered", f"receipt:{receipt.receipt_id}", actor.label, now, detail)


def _alerts(receipt: Receipt, tally: _Tally) -> list[Raised]:
    subject = f"receipt:{receipt.receipt_id}"
    alerts = []
    if tally.alarming:
        # Somebody may be giving stolen goods a new owner.
        devices = sorted(set(tally.alarming))
        detail = {"devices": devices[:1000], "count": len(devices)}
        alerts.append(Raised(AlertKind.CONTRADICTS_STOLEN, subject, detail))
    if tally.listed:
        alerts.append(Raised(AlertKind.REGISTERED_WHILE_STOLEN, subject, {"count": tally.listed}))
    return alerts


async def _enrol(
    conn: Connection, actor: Principal, receipt: Receipt, added: list[int], now: datetime
) -> None:
    """Brand partners must know a device before they can lock it."""
    if (receipt.registered or added) and await somebody_enrols(conn):
        new = [row["key"] for row in await conn.fetch(_SQL.new_keys, receipt.receipt_id)]
        keys = sorted({*new, *added})
        command = Command(Op.ENROL, now, actor.label, receipt_id=receipt.receipt_id)
        await order(conn, command, keys, [0] * len(keys))
