"""Receipts: what became of each goods-in submission, and its rejected rows as they came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from app.access.roles import Permission, Principal
from app.core.db import Connection, copied
from app.core.errors import Missing
from app.core.sql import queries
from app.devices.candidates import Reject
from app.devices.intake import Columns, Finding, Format

_SQL = queries("receipts")
_FINDING = ("receipt_id", "line", "kind", "field", "value", "code", "sentence")


class ReceiptKind(StrEnum):
    """Whether the goods are here, or only on their way."""

    ARRIVAL = "arrival"
    ANNOUNCEMENT = "announcement"


class FindingKind(StrEnum):
    """What a finding does to its row."""

    REJECTION = "rejection"
    WARNING = "warning"
    UPDATE = "update"


class Receipt(msgspec.Struct, frozen=True):
    """One goods-in submission: rows = registered + updated + unchanged + rejected, and of the updated ones
    `arrived` had been announced. Warnings are on rows of any kind."""

    receipt_id: int
    source: str
    kind: ReceiptKind
    supplier: str
    received_at: datetime
    received_by: str
    declared: int | None
    rows: int
    registered: int
    updated: int
    arrived: int
    unchanged: int
    rejected: int
    warnings: int


class Terms(msgspec.Struct, frozen=True):
    """What a sender says of a submission as a whole.

    `declared` is how many rows it should hold. `confirmed` is up to how many rows the sender knows of and
    wants, where that is far more than the supplier's usual.
    """

    source: str
    digest: bytes
    kind: ReceiptKind = ReceiptKind.ARRIVAL
    supplier: str = ""
    declared: int | None = None
    confirmed: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """One finding on one line of a receipt: a line of the file as an editor counts them, a row of a sheet, or a
    segment of a dispatch advice. `finding` is its place in the list, for the cursor."""

    finding: int
    line: int
    field: str
    value: str
    code: str
    sentence: str


class Rejected(msgspec.Struct, frozen=True):
    """A rejected row as it came, with the codes and sentences of what is wrong with it. `reject` is its place
    in the list, for the cursor."""

    reject: int
    line: int
    cells: list[str]
    codes: list[str]
    sentences: list[str]


class Gap(msgspec.Struct, frozen=True):
    """A pallet, and how many devices that were announced for it have not come, on it or on another one."""

    pallet: str
    missing: int


def counted(source: str) -> str:
    """What the lines of findings count in a submission of this source: a dispatch advice has segments."""
    return "segment" if source.endswith(f":{Format.DESADV}") else "line"


async def open_receipt(
    conn: Connection, actor: Principal, terms: Terms, columns: Columns, now: datetime
) -> int:
    """A receipt without rows; its number."""
    number: int = await conn.fetchval(
        _SQL.open, terms.source, terms.kind, terms.supplier, terms.declared, columns.names, columns.delimiter, now,
        actor.label, terms.digest,
    )  # fmt: skip
    return number


async def close(conn: Connection, receipt_id: int, counts: Sequence[int]) -> Receipt:
    """`counts`: rows, registered, updated, arrived, unchanged, rejected, warnings."""
    await conn.execute(_SQL.close, receipt_id, *counts)
    return await _read(conn, receipt_id)


async def keep_findings(conn: Connection, receipt_id: int, findings: Iterable[Finding]) -> None:
    """Keeps the findings, in their order."""
    records = [(receipt_id, f.line, _kind(f), f.field, f.value, f.code, f.sentence) for f in findings]
    if records:
        await copied(conn, conn.copy_records_to_table("receipt_finding", records=records, columns=_FINDING))


def _kind(finding: Finding) -> FindingKind:
    if finding.rejected:
        return FindingKind.REJECTION
    return FindingKind.UPDATE if finding.code == "device-updated" else FindingKind.WARNING


async def keep_rejects(conn: Connection, receipt_id: int, rejects: Iterable[Reject]) -> None:
    """Keeps rejected rows as they came."""
    records = [(receipt_id, *reject) for reject in rejects]
    if records:
        columns = ("receipt_id", "line", "cells", "codes", "sentences")
        await copied(conn, conn.copy_records_to_table("receipt_reject", records=records, columns=columns))


class Usual(NamedTuple):
    """How many rows submissions had at most, of late, and whose: the supplier's, or (else) this sender's."""

    rows: int
    of_supplier: bool


async def usual_rows(conn: Connection, actor: Principal, supplier: str) -> Usual | None:
    """Of this supplier, or of this sender where the supplier is not named or has sent none; None for a first one."""
    rows: int | None = await conn.fetchval(_SQL.usual_rows, supplier, actor.label)
    if rows is not None:
        return Usual(rows, bool(supplier))
    rows = await conn.fetchval(_SQL.usual_rows_of_sender, actor.label)
    return None if rows is None else Usual(rows, of_supplier=False)


async def find_receipt(conn: Connection, actor: Principal, receipt_id: int) -> Receipt:
    """Raises Missing, Forbidden."""
    actor.require(Permission.RECEIPTS_READ)
    return await _read(conn, receipt_id)


async def _read(conn: Connection, receipt_id: int) -> Receipt:
    row = await conn.fetchrow(_SQL.find, receipt_id)
    if row is None:
        raise Missing(f"There is no receipt {receipt_id}.")
    return Receipt(**row)


async def latest(
    conn: Connection,
    actor: Principal,
    *,
    before: int | None,
    supplier: str | None,
    kind: ReceiptKind | None,
    limit: int,
) -> list[Receipt]:
    """Receipts, the newest first, below number `before`: of a supplier, of a kind, or of any. Raises Forbidden."""
    actor.require(Permission.RECEIPTS_READ)
    query, of = (_SQL.latest_of, (supplier,)) if supplier else (_SQL.latest, ())
    return [Receipt(**row) for row in await conn.fetch(query, before, kind, limit, *of)]


async def gaps(conn: Connection, actor: Principal, receipt_id: int) -> list[Gap]:
    """The pallets of an arrival on which something is missing still, by SSCC; none of an announcement. Raises
    Missing, Forbidden."""
    of = await find_receipt(conn, actor, receipt_id)
    rows = await conn.fetch(_SQL.gaps, receipt_id) if of.kind == ReceiptKind.ARRIVAL else []
    return [Gap(**row) for row in rows]


async def findings(
    conn: Connection, actor: Principal, receipt_id: int, kind: FindingKind, *, after: int, limit: int
) -> list[Verdict]:
    """A page of a receipt's findings of one kind, after finding number `after`. Raises Missing, Forbidden."""
    await find_receipt(conn, actor, receipt_id)
    rows = await conn.fetch(_SQL.findings, receipt_id, kind, after, limit)
    return [Verdict(**row) for row in rows]


async def columns(conn: Connection, receipt_id: int) -> Columns:
    """The submission's columns; none where its rows were JSON objects."""
    row = await conn.fetchrow(_SQL.columns, receipt_id)
    assert row
    return Columns(*row)


async def rejects_size(conn: Connection, receipt_id: int) -> int:
    """How many bytes the texts of all rejected rows have."""
    size: int = await conn.fetchval(_SQL.rejects_size, receipt_id)
    return size


async def rejects(conn: Connection, receipt_id: int, *, after: int, limit: int) -> list[Rejected]:
    """A page of rejected rows after reject number `after`."""
    rows = await conn.fetch(_SQL.rejects, receipt_id, after, limit)
    return [Rejected(**row) for row in rows]
