"""JSON in its two forms: one object per line (NDJSON), or a document `{"devices": […]}`.

What is no device object costs its own line only; a document must be JSON as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import BinaryIO

import msgspec

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.lines import LINE_LIMIT, Lines, utf8_blocks
from app.devices.intake.rows import Defaults, Read, Reading, Rows, Submission

_FIELDS = frozenset(
    ("imei", "imeis", "serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
)
_EXAMPLE = '{"imeis": ["490154203237518"], "serial": "F2LX1", "gtin": "09506000134352"}'
_MOST_NAMED = 50
# What the rows say of an absent text must not be said of one that had the wrong type.
_ABSENT = frozenset(("not-identified", "currency-missing"))
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, ArithmeticError)


class _Document(msgspec.Struct):
    devices: list[msgspec.Raw]


_OBJECT: msgspec.json.Decoder[object] = msgspec.json.Decoder(object, float_hook=Decimal)
_DOCUMENT = msgspec.json.Decoder(_Document)


def read(source: BinaryIO, defaults: Defaults) -> Submission:
    """A reading per line that is not blank. Raises Invalid `file-empty`, on the last step."""
    return Submission((), _readings(Lines(source), defaults))


def _readings(lines: Lines, defaults: Defaults) -> Iterator[Reading]:
    objects = _Objects(defaults)
    line = 0
    for text in lines:
        if text and not text.isspace():
            line = lines.number
            yield objects.read(line, text)
    if not line:
        raise Invalid("The file is empty.", "file-empty")


def read_document(source: BinaryIO, defaults: Defaults) -> Submission:
    """A reading per item of `devices`, counted from 1. Holds the whole document.

    Raises Invalid `json-malformed`, `file-empty`.
    """
    text = b"".join(utf8_blocks(source))
    try:
        devices = _DOCUMENT.decode(text).devices
    except _UNREADABLE as error:
        reason = f'The document is not of the form {{"devices": [{_EXAMPLE}]}}: {error}.'
        raise Invalid(reason, "json-malformed") from error
    if not devices:
        raise Invalid("The document names no devices.", "file-empty")
    objects = _Objects(defaults)
    texts = (str(device, "utf-8", "surrogateescape") for device in devices)
    return Submission((), (objects.read(place, text) for place, text in enumerate(texts, 1)))


class _Objects:
    """Reads the device objects of one file; names each unknown field once."""

    def __init__(self, defaults: Defaults) -> None:
        self._rows = Rows(defaults)
        self._named: set[str] = set()

    def read(self, line: int, text: str) -> Reading:
        return *self._read(line, text), [text]

    def _read(self, line: int, text: str) -> Read:
        if len(text) > LINE_LIMIT:
            sentence = f"The line is longer than {LINE_LIMIT} characters."
            return None, [flaw("line", text, "line-too-long", sentence, line)]
        try:
            record = _OBJECT.decode(text)
        except _UNREADABLE as error:
            sentence = f"This is not JSON ({shown(str(error), 100)}); it would be like {_EXAMPLE}"
            return None, [flaw("line", text, "json-malformed", sentence, line)]
        if not isinstance(record, dict):
            sentence = f"This is not a JSON object; it would be like {_EXAMPLE}"
            return None, [flaw("line", text, "json-malformed", sentence, line)]
        return self._read_object(line, record)

    def _read_object(self, line: int, record: dict[str, object]) -> Read:
        found: list[Finding] = []
        imeis = _imeis(record, found)
        serial = _text(record, "serial", found)
        shared = (
            _text(record, "gtin", found),
            _text(record, "pallet", found),
            _text(record, "site", found),
            _text(record, "owner", found),
            _text(record, "model", found),
            _unit_value(record, found),
            _text(record, "currency", found),
        )
        reading = self._rows.read(line, imeis, serial, shared)
        if found:
            more = [finding for finding in reading[1] if finding.code not in _ABSENT]
            reading = None, [*(finding._replace(line=line) for finding in found), *more]
        if record.keys() <= _FIELDS:
            return reading
        return reading[0], [*reading[1], *self._unknown_fields(line, record)]

    def _unknown_fields(self, line: int, record: dict[str, object]) -> list[Finding]:
        # A file may give each line another unknown field; what was named already is then no longer kept.
        names = record.keys() - _FIELDS - self._named if len(self._named) < _MOST_NAMED else ()
        self._named.update(names)
        return [
            warning(name, "", "field-ignored", f"The field '{shown(name)}' is not read.", line)
            for name in sorted(names)
        ]


def _text(record: dict[str, object], field: str, found: list[Finding]) -> str:
    value = record.get(field, "")
    if isinstance(value, str):
        return value
    if value is not None:
        found.append(_wrong_type(field, value, "a string"))
    return ""


def _unit_value(record: dict[str, object], found: list[Finding]) -> str | Decimal:
    value = record.get("unit_value", "")
    if isinstance(value, str | Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if value is not None:
        found.append(_wrong_type("unit_value", value, "a number or a string"))
    return ""


def _imeis(record: dict[str, object], found: list[Finding]) -> list[str]:
    listed = record.get("imeis")
    values = [*(listed if isinstance(listed, list) else [listed]), record.get("imei")]
    texts = []
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif value is not None:
            texts += _imei_number(value, found)
    return texts


def _imei_number(value: object, found: list[Finding]) -> list[str]:
    """An IMEI that came as a number, as its text; a number cannot hold a leading zero."""
    if isinstance(value, Decimal) or (isinstance(value, int) and 10**14 <= value < 10**15):
        return [str(value)]
    if isinstance(value, int) and 10**13 <= value < 10**14:
        sentence = f"The number {value} has 14 digits; a leading zero may be lost. Send the IMEI as a string."
        found.append(flaw("imeis", str(value), "imei-leading-zero", sentence))
    else:
        found.append(_wrong_type("imeis", value, "a string of 15 digits"))
    return []


def _wrong_type(field: str, value: object, right: str) -> Finding:
    return flaw(field, type(value).__name__, "wrong-type", f"The field {field} would be {right}.")
