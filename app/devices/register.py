"""Goods-in: a stream of rows becomes devices, and a receipt with a verdict for every row.

Rows go to a staging table as they are read, one merge judges them all, and the caller's transaction makes
it one step: a broken submission leaves nothing. Valid rows are registered although others are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.adapters.contract import Op
from app.audit.record import Entry, record
from app.core import imei
from app.core.db import Connection
from app.core.errors import Missing
from app.core.sql import queries
from app.delivery.commands import Command, order, somebody_enrols
from app.devices.intake import Finding, Reading, Submission

_SQL = queries("devices")
_BATCH = 4_000
_STAGED = ("line", "keys", "serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
_FINDING = ("receipt_id", "line", "rejected", "field", "value", "code", "sentence")


# A submission that met another one's devices in the act may be run again: it will find them registered.
MET_ANOTHER = (asyncpg.UniqueViolationError,)


class Receipt(msgspec.Struct, frozen=True):
    """One goods-in submission: rows = registered + unchanged + rejected. Warnings are on rows of any kind."""

    receipt_id: int
    source: str
    received_at: datetime
    received_by: str
    rows: int
    registered: int
    unchanged: int
    rejected: int
    warnings: int


class _Tally(msgspec.Struct):
    rows: int = 0
    unreadable: int = 0
    warnings: int = 0


async def register(
    conn: Connection,
    actor: Principal,
    submission: Submission,
    *,
    source: str,
    digest: bytes,
    now: datetime,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Receipt:
    """Registers what can be registered, and says of every other row why not.

    `on_rows` hears how many rows have been read. Raises Invalid where the submission as a whole cannot be
    read; MET_ANOTHER where another submission registered the same device at this very moment: run the
    transaction again.
    """
    actor.require(Permission.RECEIPTS_WRITE)
    receipt_id: int = await conn.fetchval(_SQL.open_receipt, source, now, actor.label, digest)
    await conn.execute(_SQL.open_stage)
    tally = await _stage(conn, receipt_id, submission.readings, on_rows)
    await conn.execute(_SQL.analyse_stage)
    await conn.execute(_SQL.judge_registered)
    while await conn.execute(_SQL.judge_lines) != "UPDATE 0":
        pass
    tally.warnings += await _write(conn, receipt_id, _listed(conn))
    await _write(conn, receipt_id, _conflicts(conn))
    await conn.execute(_SQL.number_serials)
    await conn.execute(_SQL.register, receipt_id, now)
    await conn.execute(_SQL.remember_repeats, receipt_id)
    receipt = await _close(conn, receipt_id, tally)
    await _enrol(conn, actor, receipt, now)
    detail = msgspec.to_builtins(receipt) | {"sha256": digest.hex()}
    await record(conn, [Entry("receipt.registered", f"receipt:{receipt_id}", actor.label, now, detail)])
    return receipt


async def _stage(
    conn: Connection, receipt_id: int, readings: Iterable[Reading], on_rows: Callable[[int], None]
) -> _Tally:
    """Copies readable rows to the stage and findings to the receipt, some thousand at a time."""
    tally = _Tally()
    for batch in _batches(readings):
        rows = [(row.line, row.keys, row.serial, *row.shared) for row, _, _ in batch if row is not None]
        findings = [finding for _, found, _ in batch for finding in found]
        await conn.copy_records_to_table("staged", records=rows, columns=_STAGED)
        await _copy_findings(conn, receipt_id, findings)
        tally.rows += len([1 for row, found, _ in batch if row is not None or any(f.rejected for f in found)])
        tally.unreadable += len(
            [1 for row, found, _ in batch if row is None and any(f.rejected for f in found)]
        )
        tally.warnings += len([1 for finding in findings if not finding.rejected])
        on_rows(tally.rows)
        await asyncio.sleep(0)
    return tally


def _batches(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    source = iter(readings)
    while batch := list(islice(source, _BATCH)):
        yield batch


async def _copy_findings(conn: Connection, receipt_id: int, findings: Iterable[Finding]) -> None:
    records = [(receipt_id, f.line, f.rejected, f.field, f.value, f.code, f.sentence) for f in findings]
    if records:
        await conn.copy_records_to_table("receipt_finding", records=records, columns=_FINDING)


async def _write(conn: Connection, receipt_id: int, findings: AsyncIterator[list[Finding]]) -> int:
    written = 0
    async for some in findings:
        await _copy_findings(conn, receipt_id, some)
        written += len(some)
    return written


async def _pages(conn: Connection, query: str) -> AsyncIterator[list[asyncpg.Record]]:
    cursor = await conn.cursor(query)
    while page := await cursor.fetch(_BATCH):
        yield page


async def _listed(conn: Connection) -> AsyncIterator[list[Finding]]:
    async for page in _pages(conn, _SQL.listed_already):
        yield [_listed_finding(row["line"], imei.full(row["key"])) for row in page]


def _listed_finding(line: int, number: str) -> Finding:
    sentence = (
        f"IMEI {number} was declared stolen before it was registered here. It is registered now and stays"
        " blocked; look at its incidents."
    )
    return Finding(line, False, "imeis", number, "imei-listed", sentence)


async def _conflicts(conn: Connection) -> AsyncIterator[list[Finding]]:
    async for page in _pages(conn, _SQL.conflicts):
        yield [_conflict(row) for row in page]


def _conflict(row: asyncpg.Record) -> Finding:
    name = _name(row["keys"], row["serial"])
    if row["verdict"] == 3:
        sentence = (
            f"{name} stands on line {row['other_line']} already, with other details. One device would have one"
            " line; the first was taken."
        )
        return Finding(row["line"], True, "imeis", name, "duplicate-in-file", sentence)
    known = _name(row["known_keys"], row["known_serial"])
    differing = ", ".join(row["differing"]) or "the set of IMEIs"
    sentence = (
        f"{name} is registered already, as {known} (receipt {row['known_receipt']}), and this row says otherwise"
        f" about: {differing}. What is registered stays; correct the row."
    )
    return Finding(row["line"], True, "imeis", name, "registered-differently", sentence)


def _name(keys: list[int], serial: str) -> str:
    if keys and keys[0] >= 0:
        numbers = "+".join(imei.full(key) for key in keys)
        return f"IMEI {numbers}"
    return f"serial {serial}"


async def _close(conn: Connection, receipt_id: int, tally: _Tally) -> Receipt:
    verdicts = await conn.fetchrow(_SQL.verdicts)
    assert verdicts is not None
    rejected = verdicts["rejected"] + tally.unreadable
    await conn.execute(
        _SQL.close_receipt, receipt_id, tally.rows, verdicts["registered"], verdicts["unchanged"], rejected,
        tally.warnings,
    )  # fmt: skip
    return await _read(conn, receipt_id)


async def _enrol(conn: Connection, actor: Principal, receipt: Receipt, now: datetime) -> None:
    """Brand partners must know a device before they can lock it."""
    if receipt.registered and await somebody_enrols(conn):
        keys = [row["key"] for row in await conn.fetch(_SQL.new_keys, receipt.receipt_id)]
        command = Command(Op.ENROL, now, actor.label, receipt_id=receipt.receipt_id)
        await order(conn, command, keys, [0] * len(keys))


async def number_unknown(conn: Connection, serials: Sequence[str]) -> None:
    """Gives serials that nobody registered a number each, by which they can be listed."""
    await conn.execute(_SQL.number_unknown, serials)


async def find_receipt(conn: Connection, actor: Principal, receipt_id: int) -> Receipt:
    """Raises Missing, Forbidden."""
    actor.require(Permission.RECEIPTS_READ)
    return await _read(conn, receipt_id)


async def _read(conn: Connection, receipt_id: int) -> Receipt:
    row = await conn.fetchrow(_SQL.receipt, receipt_id)
    if row is None:
        raise Missing(f"There is no receipt {receipt_id}.")
    return Receipt(**row)


class Verdict(msgspec.Struct, frozen=True):
    """One finding on one line of a receipt. `finding` is its place in the list, for the cursor."""

    finding: int
    line: int
    field: str
    value: str
    code: str
    sentence: str


async def findings(
    conn: Connection, actor: Principal, receipt_id: int, *, rejected: bool, after: int, limit: int
) -> list[Verdict]:
    """A page of a receipt's rejections, or of its warnings, after finding number `after`."""
    await find_receipt(conn, actor, receipt_id)
    rows = await conn.fetch(_SQL.findings, receipt_id, rejected, after, limit)
    return [Verdict(**row) for row in rows]
