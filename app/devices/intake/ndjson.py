"""JSON in its two forms: one object per line (NDJSON), or a document `{"devices": […]}`.

What is no device object costs its own line only; a document must be JSON as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from typing import BinaryIO

import msgspec

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake import encoding
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.columns import IMEI, REJECT_COLUMNS, UNREAD, Mapped, plain
from app.devices.intake.lines import LINE_LIMIT, Lines
from app.devices.intake.rows import Defaults, Read, Reading, Rows, Submission

_FIELDS = frozenset(
    ("imei", "imeis", "serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
)
_KNOWN = _FIELDS.union(REJECT_COLUMNS)
_EXAMPLE = '{"imeis": ["490154203237518"], "serial": "F2LX1", "gtin": "09506000134352"}'
_MOST_NAMED = 50
_NAMES_KEPT = 1000
# What the rows say of an absent text must not be said of one that had the wrong type.
_ABSENT = "not-identified"
_RIGHT = {
    "serial": "F2LX1", "gtin": "09506000134352", "pallet": "340123450000000018", "site": "PAR-1", "owner": "ACME",
    "model": "Phone X",
}  # fmt: skip
_KINDS = {bool: "true or false", list: "a list", dict: "an object"}
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, ArithmeticError)


class _Document(msgspec.Struct):
    devices: list[msgspec.Raw]


_OBJECT: msgspec.json.Decoder[object] = msgspec.json.Decoder(object, float_hook=Decimal)
_DOCUMENT = msgspec.json.Decoder(_Document)


def read(source: BinaryIO, defaults: Defaults, mapped: Mapped) -> Submission:
    """A reading per line that is not blank. Raises Invalid `file-empty`, on the last step."""
    text = encoding.opened(source)
    return Submission((), _noted(_readings(Lines(text.blocks), _Objects(defaults, mapped)), text.notes(1)))


def _readings(lines: Lines, objects: _Objects) -> Iterator[Reading]:
    empty = True
    while batch := lines.batch():
        for line, text in enumerate(batch, lines.number - len(batch) + 1):
            if text and not text.isspace():
                empty = False
                yield objects.read(line, text)
    if empty:
        raise Invalid("The file is empty.", "file-empty")


def read_document(source: BinaryIO, defaults: Defaults, mapped: Mapped) -> Submission:
    """A reading per item of `devices`, counted from 1. Holds the whole document.

    Raises Invalid `json-malformed`, `file-empty`.
    """
    text = encoding.opened(source)
    try:
        devices = _DOCUMENT.decode(b"".join(text.blocks)).devices
    except _UNREADABLE as error:
        reason = f'The document is not of the form {{"devices": [{_EXAMPLE}]}}: {error}.'
        raise Invalid(reason, "json-malformed") from error
    if not devices:
        raise Invalid("The document names no devices.", "file-empty")
    objects = _Objects(defaults, mapped)
    texts = (str(device, "utf-8", "surrogateescape") for device in devices)
    readings = (objects.read(place, text) for place, text in enumerate(texts, 1))
    return Submission((), _noted(readings, text.notes(1)))


def _noted(readings: Iterator[Reading], notes: Sequence[Finding]) -> Iterator[Reading]:
    """The readings, of which the first tells, after its own, what is to be said of the file as a whole."""
    return _first_noted(readings, notes) if notes else readings


def _first_noted(readings: Iterator[Reading], notes: Sequence[Finding]) -> Iterator[Reading]:
    for row, findings, cells in readings:
        yield row, [*findings, *notes], cells
        notes = ()


class _Objects:
    """Reads the device objects of one file; names each unknown field once."""

    def __init__(self, defaults: Defaults, mapped: Mapped) -> None:
        self._rows = Rows(defaults)
        self._named: set[str] = set()
        meant = {plain(name): field for name, field in mapped.columns.items()}
        self._mapped = bool(meant)
        self._field = lru_cache(_NAMES_KEPT)(lambda name: meant.get(plain(name), ""))

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
        if self._mapped:
            record = self._renamed(record)
        imeis = _imeis(record, found)
        serial = _text(record, "serial", found)
        shared = (
            _text(record, "gtin", found),
            _text(record, "pallet", found),
            _text(record, "site", found),
            _text(record, "owner", found),
            _text(record, "model", found),
            _unit_value(record),
            _currency(record),
        )
        reading = self._rows.read(line, imeis, serial, shared)
        if found:
            more = [finding for finding in reading[1] if finding.code != _ABSENT]
            reading = None, [*(finding._replace(line=line) for finding in found), *more]
        if record.keys() <= _KNOWN:
            return reading
        return reading[0], [*reading[1], *self._unknown_fields(line, record)]

    def _renamed(self, record: dict[str, object]) -> dict[str, object]:
        """The object under the names that the sender's mapping gives its fields."""
        meant = {name: self._field(name) for name in record}
        imeis = [record[name] for name, field in meant.items() if field == IMEI]
        mapped = {field: record[name] for name, field in meant.items() if field}
        kept = {name: value for name, value in record.items() if not meant[name]}
        if imeis:
            mapped["imeis"] = [each for value in (*imeis, kept.get("imeis")) for each in _listed(value)]
        return {**kept, **{field: value for field, value in mapped.items() if field not in (IMEI, UNREAD)}}

    def _unknown_fields(self, line: int, record: dict[str, object]) -> list[Finding]:
        # A file may give each line another unknown field; what was named already is then no longer kept.
        names = record.keys() - _KNOWN - self._named if len(self._named) < _MOST_NAMED else ()
        self._named.update(names)
        return [
            warning(
                shown(name), "", "field-ignored", f"The field '{shown(name)}' is not read{_hint(name)}.", line
            )
            for name in sorted(names)
        ]


def _hint(name: str) -> str:
    """The field that was perhaps meant: a pallet that goes unread is missing on the night when it counts."""
    near = get_close_matches(name[:40].lower(), sorted(_FIELDS), 1)
    return f"; perhaps '{near[0]}' is meant" if near else ""


def _text(record: dict[str, object], field: str, found: list[Finding]) -> str:
    value = record.get(field, "")
    if isinstance(value, str):
        return value
    if value is not None:
        found.append(_wrong_type(field, value, f'a string, such as "{_RIGHT[field]}"'))
    return ""


def _unit_value(record: dict[str, object]) -> str | Decimal:
    """What is neither number nor text is told as what it is, and costs nothing else."""
    value = record.get("unit_value")
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value if isinstance(value, str | Decimal) else _as_text(value)


def _currency(record: dict[str, object]) -> str:
    value = record.get("currency")
    return value if isinstance(value, str) else _as_text(value)


def _as_text(value: object) -> str:
    return "" if value is None else _said(value)


def _imeis(record: dict[str, object], found: list[Finding]) -> list[str]:
    texts = []
    for value in (*_listed(record.get("imeis")), record.get("imei")):
        if isinstance(value, str):
            texts.append(value)
        elif _may_be_imei(value):
            texts.append(str(value))
        elif value is not None:
            found.append(_wrong_type("imeis", value, 'a string of 15 digits, such as "490154203237518"'))
    return texts


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _may_be_imei(value: object) -> bool:
    """Whether a number is read as the text that the file has; it cannot hold a leading zero."""
    return isinstance(value, Decimal) or (isinstance(value, int) and 10**13 <= value < 10**15)


def _wrong_type(field: str, value: object, right: str) -> Finding:
    said = _said(value)
    return flaw(field, said, "wrong-type", f"The field {field} is {shown(said)}; it would be {right}.")


def _said(value: object) -> str:
    """What stands there, of which no more is told than is short."""
    return _KINDS.get(type(value)) or f"the number {value}"
