"""Brand and model by TAC: the user's own files are imported, and what is known is looked up.

No TAC comes with the gateway. What is imported changes no decision that was made: orders stand as they were given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Literal, TypeAlias

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core.brand import folded
from app.core.db import Connection, copied
from app.core.errors import Flaw, Invalid, Missing
from app.core.imei import shown
from app.core.imei import tac as tac_of
from app.core.sql import queries
from app.devices.tac_file import TacFile, TacReading

_SQL = queries("tac")
_BATCH = 10_000
_STAGED = ("line", "tac", "brand", "brand_folded", "model")
_FINDING = ("import_id", "line", "verdict", "field", "value", "code", "sentence")
_BRANDS_KEPT = 4_096
_UPDATES = 2
LARGEST = 99_999_999

FindingVerdict: TypeAlias = Literal["rejected", "updated", "warning"]
# A row of tac_finding, without the import.
_Finding: TypeAlias = tuple[int, str, str, str, str, str]

_folded = lru_cache(maxsize=_BRANDS_KEPT)(folded)


class TacImport(msgspec.Struct, frozen=True):
    """One file that was imported: lines = imported + unchanged + updated + rejected. Warnings are on lines of any
    kind. `title` is what stands above the file's header."""

    import_id: int
    source: str
    title: str
    format: str
    replaces: bool
    imported_at: datetime
    imported_by: str
    lines: int
    imported: int
    unchanged: int
    updated: int
    rejected: int
    warnings: int


class TacFinding(msgspec.Struct, frozen=True):
    """One line of a file that was rejected, that changed what was known, or that has a warning. `finding` is its
    place in the list, for the cursor."""

    finding: int
    line: int
    verdict: FindingVerdict
    field: str
    value: str
    code: str
    sentence: str


class Tac(msgspec.Struct, frozen=True):
    """What is known of a TAC, and by which file: the one that had the last word on it."""

    tac: str
    brand: str
    model: str
    source: str
    imported_at: datetime


class Make(msgspec.Struct, frozen=True):
    """Whose a device is and which; '' where that is not known."""

    brand: str
    model: str


async def import_tacs(
    conn: Connection,
    actor: Principal,
    file: TacFile,
    *,
    source: str = "",
    digest: bytes,
    now: datetime,
    replace: bool = False,
) -> TacImport:
    """Takes over what a file says of TACs, and says of every line that it does not take over why not.

    A source (else its format's name) may correct what it said itself. Where another source has spoken, an empty
    brand or model is filled; a line that says otherwise is rejected as a whole, or wins with `replace`. What a line
    leaves empty takes nothing away. Nothing is ever deleted. Raises Invalid, Forbidden.
    """
    actor.require(Permission.TACS_WRITE)
    source = _source(source) or str(file.format)
    import_id: int = await conn.fetchval(
        _SQL.open_import, source, file.title, file.format, replace, now, actor.label, digest
    )
    await conn.execute(_SQL.open_stage)
    await conn.execute(_SQL.open_verdicts)
    unreadable, warnings = await _stage(conn, import_id, file.readings)
    await conn.execute(_SQL.analyse_stage)
    await conn.execute(_SQL.hold_tacs)
    await conn.execute(_SQL.judge, source, replace)
    await _note(conn, import_id)
    await conn.execute(_SQL.add_new, import_id)
    await conn.execute(_SQL.update_known, import_id)
    await conn.execute(_SQL.analyse)
    done = await _close(conn, import_id, unreadable, warnings)
    detail = msgspec.to_builtins(done) | {"sha256": digest.hex()}
    await record(conn, [Entry("tac.imported", f"tac-import:{import_id}", actor.label, now, detail)])
    return done


def _source(name: str) -> str:
    name = name.strip()
    if len(name) > 100 or not name.isprintable():
        flaw = Flaw("it would be at most 100 printable characters", "source", "source-wrong")
        raise Invalid("The name of the source is not usable.", "source-wrong", (flaw,))
    return name


async def _stage(conn: Connection, import_id: int, readings: Iterable[TacReading]) -> tuple[int, int]:
    """Copies readable lines to the stage and findings to the import; how many lines cannot be read, how many
    have a warning."""
    unreadable = warnings = 0
    for batch in _batches(readings):
        rows = [
            (row.line, row.tac, row.brand, _folded(row.brand), row.model)
            for row, _ in batch
            if row is not None
        ]
        await copied(conn, conn.copy_records_to_table("staged_tac", records=rows, columns=_STAGED))
        findings: list[_Finding] = [
            (it.line, "rejected" if it.rejected else "warning", it.field, it.value, it.code, it.sentence)
            for _, found in batch
            for it in found
        ]
        await _write(conn, import_id, findings)
        unreadable += len(batch) - len(rows)
        warnings += len([1 for it in findings if it[1] == "warning"])
        await asyncio.sleep(0)
    return unreadable, warnings


def _batches(readings: Iterable[TacReading]) -> Iterator[list[TacReading]]:
    source = iter(readings)
    while batch := list(islice(source, _BATCH)):
        yield batch


async def _write(conn: Connection, import_id: int, findings: Sequence[_Finding]) -> None:
    if findings:
        records = [(import_id, *finding) for finding in findings]
        await copied(conn, conn.copy_records_to_table("tac_finding", records=records, columns=_FINDING))


async def _note(conn: Connection, import_id: int) -> None:
    """Writes down what the judges found, before what was known is forgotten."""
    async for page in _pages(conn, _SQL.told_again):
        await _write(conn, import_id, [finding for row in page for finding in _told_again(row)])
    async for page in _pages(conn, _SQL.repeats):
        await _write(conn, import_id, [_repeat(row) for row in page])


async def _pages(conn: Connection, query: str) -> AsyncIterator[list[asyncpg.Record]]:
    cursor = await conn.cursor(query)
    while page := await cursor.fetch(_BATCH):
        yield page


def _told_again(row: asyncpg.Record) -> Iterator[_Finding]:
    """A finding for each field that a line updates, or would if it might."""
    for field in ("brand", "model"):
        said, known = row[field], row[f"known_{field}"]
        if said not in ("", known):
            about = f"The {field} of TAC {row['tac']:08d}"
            by = f"({row['known_source']}, {row['known_since']:%Y-%m-%d})"
            if row["verdict"] == _UPDATES:
                was = f"'{known}'" if known else "not known"
                sentence = f"{about} is '{said}' now; it was {was} {by}."
                yield row["line"], "updated", field, said, "tac-updated", sentence
            elif known:
                sentence = (
                    f"{about} is known as '{known}' {by}, and this line says '{said}'. What is known stays, unless the"
                    " import is to replace it."
                )
                yield row["line"], "rejected", field, said, "tac-known-differently", sentence


def _repeat(row: asyncpg.Record) -> _Finding:
    tac = f"{row['tac']:08d}"
    sentence = (
        f"TAC {tac} stands on line {row['first_line']} already, with another brand or model. One TAC would have one"
        " line; the first counts."
    )
    return row["line"], "rejected", "tac", tac, "duplicate-in-file", sentence


async def _close(conn: Connection, import_id: int, unreadable: int, warnings: int) -> TacImport:
    verdicts = await conn.fetchrow(_SQL.verdicts)
    assert verdicts is not None
    await conn.execute(
        _SQL.close_import, import_id, verdicts["lines"] + unreadable, verdicts["imported"], verdicts["unchanged"],
        verdicts["updated"], verdicts["rejected"] + unreadable, warnings,
    )  # fmt: skip
    return await _read_import(conn, import_id)


async def _read_import(conn: Connection, import_id: int) -> TacImport:
    row = await conn.fetchrow(_SQL.tac_import, import_id)
    if row is None:
        raise Missing(f"There is no import {import_id} of TACs.")
    return TacImport(**{field: row[field] for field in TacImport.__struct_fields__})


async def find_import(conn: Connection, actor: Principal, import_id: int) -> TacImport:
    """Raises Missing, Forbidden."""
    actor.require(Permission.DEVICES_READ)
    return await _read_import(conn, import_id)


async def findings(
    conn: Connection,
    actor: Principal,
    import_id: int,
    *,
    verdict: FindingVerdict | None = None,
    after: int,
    limit: int,
) -> list[TacFinding]:
    """A page of what an import found, of one verdict or all, after finding number `after`."""
    await find_import(conn, actor, import_id)
    rows = await conn.fetch(_SQL.findings, import_id, verdict, after, limit)
    return [TacFinding(**row) for row in rows]


async def known(
    conn: Connection,
    actor: Principal,
    *,
    tacs: Sequence[int] | None = None,
    brand: str | None = None,
    after: int = 0,
    limit: int,
) -> list[Tac]:
    """A page of what is known, in the order of TACs: of these TACs, of this brand (however spelled), or of all."""
    actor.require(Permission.DEVICES_READ)
    rows = await conn.fetch(_SQL.page, tacs, None if brand is None else folded(brand), after, limit)
    return [Tac(**{**row, "tac": f"{row['tac']:08d}"}) for row in rows]


def asked(value: str) -> int:
    """The TAC in 8 digits, or in the 14 to 16 of an IMEI. Raises Invalid `tac-malformed`."""
    if value.isascii() and value.isdigit() and len(value) in (8, 14, 15, 16):
        return int(value[:8])
    detail = f"'{shown(value)}' is not a TAC; it would be 8 digits, or an IMEI that begins with them."
    raise Invalid(detail, "tac-malformed")


async def brands(conn: Connection, keys: Iterable[Sequence[int]]) -> list[str]:
    """The brand of each device by its keys: that of its first IMEI whose TAC has one, else ''."""
    devices = [[tac_of(key) for key in some if key >= 0] for some in keys]
    wanted = sorted({tac for tacs in devices for tac in tacs})
    brand = {row["tac"]: row["brand"] for row in await conn.fetch(_SQL.brands, wanted)}
    return [next((brand[tac] for tac in tacs if tac in brand), "") for tacs in devices]


async def make(conn: Connection, key: int) -> Make:
    """Of one IMEI, for anybody: it says nothing of the device but what its maker says of all."""
    row = await conn.fetchrow(_SQL.make, tac_of(key))
    return Make(**row) if row else Make("", "")


async def unheard(conn: Connection, brands: Sequence[str]) -> list[str]:
    """Which of these brands no TAC is known of, folded."""
    return [
        row["folded"] for row in await conn.fetch(_SQL.unheard, sorted({folded(brand) for brand in brands}))
    ]
