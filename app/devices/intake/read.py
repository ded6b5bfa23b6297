"""The one way in: a file of any format becomes readings, a row at a time."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import BinaryIO

from app.core.errors import Invalid
from app.devices.intake import csv_file, ndjson
from app.devices.intake.rows import Defaults, Submission


class Format(StrEnum):
    """What a goods-in file is written in."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


_READERS = {Format.CSV: csv_file.read, Format.NDJSON: ndjson.read, Format.JSON: ndjson.read_document}
_MEDIA_TYPES = {
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "text/tab-separated-values": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "application/json": Format.JSON,
}
_ENDINGS = {
    "csv": Format.CSV,
    "tsv": Format.CSV,
    "txt": Format.CSV,
    "ndjson": Format.NDJSON,
    "jsonl": Format.NDJSON,
    "json": Format.JSON,
}
# How packed and printed files begin: XLSX and ZIP, old Excel, gzip, PDF.
_NOT_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"%PDF")
_DOCUMENT = re.compile(rb'\[|\{\s*"devices"')


def read(source: BinaryIO, format: Format, defaults: Defaults) -> Submission:
    """The columns, and one reading per data row: the row, or None and at least one finding that rejects it.

    Raises Invalid, on the first or the last step, where the file as a whole cannot be read. CSV and NDJSON
    are read in constant memory; a JSON document is held, so its size is the caller's to limit.
    """
    return _READERS[format](source, defaults)


def guess(filename: str, content_type: str, head: bytes) -> Format:
    """The format by content type, else by the file's ending, else by how it begins.

    Raises Invalid `format-unknown` for a file that is no text, such as XLSX.
    """
    if head.startswith(_NOT_TEXT):
        raise Invalid("The file is not text; export it as CSV and send that.", "format-unknown")
    media_type = content_type.partition(";")[0].strip().lower()
    ending = filename.rpartition(".")[2].lower()
    return _MEDIA_TYPES.get(media_type) or _ENDINGS.get(ending) or _by_first_byte(head)


def _by_first_byte(head: bytes) -> Format:
    # Byte order marks, and the zero bytes of UTF-16, stand between the characters.
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if _DOCUMENT.match(text):
        return Format.JSON
    return Format.NDJSON if text.startswith(b"{") else Format.CSV
