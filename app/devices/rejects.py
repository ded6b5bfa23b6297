"""The reject file: rejected rows as they came, with why, ready to be fixed and sent again.

CSV or XLSX under the submission's own header, or NDJSON where its rows were JSON objects. The two columns (fields)
that are added are not read when the file comes in again; cells that were too many stand behind them.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from app.access.roles import Principal
from app.core.db import Connection
from app.core.errors import Invalid
from app.core.reach import Sight
from app.devices import receipts, text_sheet
from app.devices.intake import Columns, harmless
from app.devices.receipts import Receipt, Rejected

CODE, SENTENCE = "reject_code", "reject_sentence"

_PAGE = 2_000
_FIELDS: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
# A workbook is read up to a gigabyte unpacked, and each of its cells takes some bytes more than its text.
_MOST_BYTES, _CELL_BYTES = 900 * 1024**2, 64


class RejectFormat(StrEnum):
    """What a reject file is written in."""

    CSV = "csv"
    XLSX = "xlsx"
    NDJSON = "ndjson"


class RejectFile(NamedTuple):
    """The rejected rows of a receipt, to be written in this format."""

    receipt_id: int
    format: RejectFormat
    columns: Columns

    async def parts(self, sight: Sight) -> AsyncIterator[bytes]:
        """The file; no connection is held while somebody reads slowly."""
        match self.format:
            case RejectFormat.XLSX:
                async for part in text_sheet.written(_table(sight, self.receipt_id, self.columns.names)):
                    yield part
            case RejectFormat.CSV:
                yield codecs.BOM_UTF8
                async for rows in _table(sight, self.receipt_id, self.columns.names):
                    yield _csv(rows, self.columns.delimiter)
            case RejectFormat.NDJSON:
                async for page in _pages(sight, self.receipt_id):
                    yield b"".join(map(_object, page))


async def file_of(
    conn: Connection, actor: Principal, receipt_id: int, format: RejectFormat | None = None
) -> RejectFile:
    """The reject file of a receipt, if no format is named in that of the submission: an XLSX for an XLSX that is
    not too large for one, NDJSON for JSON objects, and else CSV. Raises Missing, Forbidden, Invalid `format-unfit`.
    """
    receipt = await receipts.find_receipt(conn, actor, receipt_id)
    columns = await receipts.columns(conn, receipt_id)
    if (format is RejectFormat.NDJSON) == bool(columns.names) and format is not None:
        raise _unfit(format, objects=not columns.names)
    if not columns.names:
        return RejectFile(receipt_id, RejectFormat.NDJSON, columns)
    came_as_xlsx = receipt.source.endswith(f":{RejectFormat.XLSX}")
    if format is RejectFormat.XLSX or (format is None and came_as_xlsx):
        if not (too_large := await _too_large(conn, receipt, columns)):
            return RejectFile(receipt_id, RejectFormat.XLSX, columns)
        if format is RejectFormat.XLSX:
            raise Invalid(too_large, "format-unfit")
    return RejectFile(receipt_id, RejectFormat.CSV, columns)


def _unfit(format: RejectFormat, *, objects: bool) -> Invalid:
    right = "their reject file would be ndjson" if objects else "their reject file would be csv or xlsx"
    came = "JSON objects" if objects else "a table"
    return Invalid(f"The rows of this receipt came as {came}, not {format}; {right}.", "format-unfit")


async def _too_large(conn: Connection, receipt: Receipt, columns: Columns) -> str:
    """Why the rejected rows fit in no workbook; '' where they do."""
    width = len(columns.names)
    if receipt.rejected >= text_sheet.MOST_ROWS or width > text_sheet.MOST_COLUMNS:
        rows, most = f"{text_sheet.MOST_ROWS:,} rows", f"{text_sheet.MOST_COLUMNS} columns"
        return f"An XLSX has at most {rows} and is read with at most {most}; ask for csv."
    size = await receipts.rejects_size(conn, receipt.receipt_id)
    if size + receipt.rejected * (width + 2) * _CELL_BYTES > _MOST_BYTES:
        return "The rejected rows are too large for an XLSX; ask for csv."
    return ""


async def _pages(sight: Sight, receipt_id: int) -> AsyncIterator[list[Rejected]]:
    after = 0
    while page := await _page(sight, receipt_id, after):
        yield page
        after = page[-1].reject


async def _page(sight: Sight, receipt_id: int, after: int) -> list[Rejected]:
    async with sight.acquire() as conn:
        return await receipts.rejects(conn, receipt_id, after=after, limit=_PAGE)


async def _table(sight: Sight, receipt_id: int, names: Sequence[str]) -> AsyncIterator[list[list[str]]]:
    yield [[*names, CODE, SENTENCE]]
    async for page in _pages(sight, receipt_id):
        yield [_row(each, len(names)) for each in page]


def _row(reject: Rejected, width: int) -> list[str]:
    cells = [*reject.cells, *[""] * (width - len(reject.cells))]
    why = (" ".join(reject.codes), " ".join(reject.sentences))
    return [*cells[:width], *why, *cells[width:]]


def _csv(rows: Iterable[Sequence[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(map(harmless, row) for row in rows)
    return text.getvalue().encode()


def _object(reject: Rejected) -> bytes:
    """The object with two fields more, its numbers digit by digit as they came; what is no object is given back as
    the text that it is."""
    why: dict[str, Any] = {CODE: " ".join(reject.codes), SENTENCE: " ".join(reject.sentences)}
    said: dict[str, Any] = {"text": reject.cells[0]}
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        said = {**_FIELDS.decode(reject.cells[0])}
    return msgspec.json.encode({**said, **why}) + b"\n"
