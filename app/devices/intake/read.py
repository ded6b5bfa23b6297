"""The one way in: a file of any format becomes readings, a row at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from typing import BinaryIO

from app.core.errors import Invalid
from app.devices.intake import csv_file, desadv, ndjson, unpack, xlsx_file
from app.devices.intake.columns import Mapped, read_columns
from app.devices.intake.rows import Defaults, Reading, Submission
from app.devices.intake.workbook.archive import OLD_EXCEL, ZIP, old_excel

MOST_UNPACKED = 4 * 1024**3
# A JSON document is held in memory.
_HELD_LIMIT = 64 * 1024**2


class Format(StrEnum):
    """What a goods-in file is written in."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    XLSX = "xlsx"
    DESADV = "desadv"


_READERS = {
    Format.CSV: csv_file.read,
    Format.NDJSON: ndjson.read,
    Format.JSON: ndjson.read_document,
    Format.XLSX: xlsx_file.read,
}
_MEDIA_TYPES = {
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "text/tab-separated-values": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "application/json": Format.JSON,
    "application/edifact": Format.DESADV,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": Format.XLSX,
    "application/vnd.ms-excel.sheet.macroenabled.12": Format.XLSX,
}
_ENDINGS = {
    "csv": Format.CSV,
    "tsv": Format.CSV,
    "txt": Format.CSV,
    "ndjson": Format.NDJSON,
    "jsonl": Format.NDJSON,
    "json": Format.JSON,
    "edi": Format.DESADV,
    "desadv": Format.DESADV,
    "xlsx": Format.XLSX,
    "xlsm": Format.XLSX,
}
_PDF = b"%PDF"
_INTERCHANGE = re.compile(rb"UNA.{6}\s*UNB|UNB[+\x1d]UNO", re.DOTALL)
_NO_MAPPING = Mapped()
_DOCUMENT = re.compile(rb'\[|\{\s*"devices"')


def read(
    source: BinaryIO,
    format: Format,
    defaults: Defaults,
    mapped: Mapped = _NO_MAPPING,
    *,
    most: int = MOST_UNPACKED,
) -> Submission:
    """The columns, and one reading per data row: the row, or None and at least one finding that rejects it.

    `mapped` tells which fields the file's columns (or the fields of its objects) mean, as `read_columns` has
    it, and goes before what their names usually mean; a dispatch advice has none. A dispatch advice also has
    readings of warnings alone, about an item as a whole, and its rows may share a line. A gzip file is unpacked,
    to at most `most` bytes. All is read in constant memory, an XLSX from a source that can seek; but a JSON
    document is held, so its size is the caller's to limit, unless it was packed. Raises Invalid or TooLarge,
    on any step, where the file as a whole cannot be read.
    """
    mapped = Mapped(read_columns(mapped.columns.items()), mapped.optional)
    limit = min(most, _HELD_LIMIT) if format is Format.JSON else most
    with ExitStack() as opened:
        unpacked = opened.enter_context(unpack.opened(source, limit))
        found = _read(unpacked, format, defaults, mapped)
        return found._replace(readings=_closed_after(found.readings, opened.pop_all()))


def _read(source: BinaryIO, format: Format, defaults: Defaults, mapped: Mapped) -> Submission:
    if format is Format.DESADV:
        return desadv.read(source, defaults)
    return _READERS[format](source, defaults, mapped)


def _closed_after(readings: Iterator[Reading], opened: ExitStack) -> Iterator[Reading]:
    with opened:
        yield from readings


def is_packed(head: bytes) -> bool:
    """Whether a file that begins like this may hold far more than its size."""
    return head.startswith((*ZIP, unpack.GZIP))


def guess(filename: str, content_type: str, head: bytes) -> Format:
    """The format by how a workbook begins, else by content type, by how an interchange begins (`.txt` is usual
    for one), by the file's ending, by how it begins. Of a gzip file, all this is asked of the file in it, whose
    name is without the `.gz`.

    Raises Invalid `format-unknown` for what is neither text nor XLSX, `gzip-nested`.
    """
    if head.startswith(unpack.GZIP):
        head = unpack.head(head)
        if head.startswith(unpack.GZIP):
            raise unpack.nested()
    if head.startswith(ZIP):
        return Format.XLSX
    if head.startswith(OLD_EXCEL):
        raise old_excel()
    if head.startswith(_PDF):
        raise Invalid(
            "The file is a PDF; send the table that it was made from, as CSV or XLSX.", "format-unknown"
        )
    ending = filename.lower().removesuffix(".gzip").removesuffix(".gz").rpartition(".")[2]
    media_type = content_type.partition(";")[0].strip().lower()
    # Byte order marks, and the zero bytes of UTF-16, stand between the characters.
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    by_head = Format.DESADV if _INTERCHANGE.match(text) else None
    return _MEDIA_TYPES.get(media_type) or by_head or _ENDINGS.get(ending) or _by_first_byte(text)


def _by_first_byte(text: bytes) -> Format:
    if _DOCUMENT.match(text):
        return Format.JSON
    if text.startswith((b"UNA", b"UNB")):
        return Format.DESADV
    return Format.NDJSON if text.startswith(b"{") else Format.CSV
