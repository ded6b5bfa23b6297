"""The one way in: a file of any format becomes readings, a row at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import BinaryIO

from app.core.errors import Invalid
from app.devices.intake import csv_file, desadv, ndjson
from app.devices.intake.columns import read_columns
from app.devices.intake.rows import Defaults, Submission


class Format(StrEnum):
    """What a goods-in file is written in."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    DESADV = "desadv"


_READERS = {
    Format.CSV: csv_file.read,
    Format.NDJSON: ndjson.read,
    Format.JSON: ndjson.read_document,
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
}
# How packed and printed files begin: XLSX and ZIP, old Excel, gzip, PDF.
_NOT_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"%PDF")
_INTERCHANGE = re.compile(rb"UNA.{6}\s*UNB|UNB[+\x1d]UNO", re.DOTALL)
_NO_MAPPING: Mapping[str, str] = MappingProxyType({})
_DOCUMENT = re.compile(rb'\[|\{\s*"devices"')


def read(
    source: BinaryIO, format: Format, defaults: Defaults, columns: Mapping[str, str] = _NO_MAPPING
) -> Submission:
    """The columns, and one reading per data row: the row, or None and at least one finding that rejects it.

    `columns` tells which fields the file's columns (or the fields of its objects) mean, as `read_columns` has
    it, and goes before what their names usually mean; a dispatch advice has none. A dispatch advice also has
    readings of warnings alone, about an item as a whole, and its rows may share a line. Raises Invalid where the
    file as a whole cannot be read: on the first or the last step, of a dispatch advice on any. All but a JSON
    document is read in constant memory; its size is the caller's to limit.
    """
    named = read_columns(columns.items())
    return (
        desadv.read(source, defaults)
        if format is Format.DESADV
        else _READERS[format](source, defaults, named)
    )


def guess(filename: str, content_type: str, head: bytes) -> Format:
    """The format by content type, else by the file's ending, else by how it begins. An interchange is known by
    its head before any ending: .txt is a usual one.

    Raises Invalid `format-unknown` for a file that is no text, such as XLSX.
    """
    if head.startswith(_NOT_TEXT):
        raise Invalid("The file is not text; export it as CSV and send that.", "format-unknown")
    media_type = content_type.partition(";")[0].strip().lower()
    ending = filename.rpartition(".")[2].lower()
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
