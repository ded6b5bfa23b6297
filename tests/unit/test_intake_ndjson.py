"""JSON in both forms: a line that is no device costs that line, a document that is no JSON is refused."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import imei
from app.core.errors import Invalid
from app.devices.intake import Defaults, Finding, Format, Row, Shared, read
from app.devices.intake.rows import Read

A, B, C, D, E = (imei.full(35_209900_176148 + n) for n in range(5))
GTIN = "09506000134352"
PALLET = "106141412345678908"
WHOLE = {
    "imeis": [B, A], "serial": "S1", "gtin": GTIN, "pallet": PALLET, "site": "PAR1", "owner": "ACME",
    "model": "Phone", "unit_value": 499.5, "currency": "EUR",
}  # fmt: skip


class Stream:
    """A file that is never whole in memory."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")

    def seekable(self) -> bool:
        return False


def readings(source: bytes | str | Stream, format: Format = Format.NDJSON) -> Iterator[Read]:
    if isinstance(source, str):
        source = source.encode()
    file = io.BytesIO(source) if isinstance(source, bytes) else cast(BinaryIO, source)
    for row, findings, _ in read(file, format, Defaults()).readings:
        assert (row is None) == any(finding.rejected for finding in findings)
        yield row, findings


def lines(*records: Any) -> str:
    return "\n".join(json.dumps(record) for record in records)


def row_of(record: Any) -> Row:
    ((row, findings),) = readings(lines(record))
    assert row is not None, findings
    return row


def findings(source: bytes | str, format: Format = Format.NDJSON) -> list[Finding]:
    return [finding for _, found in readings(source, format) for finding in found]


def coded(source: bytes | str, format: Format = Format.NDJSON) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in findings(source, format)]


def codes(record: Any) -> list[str]:
    return [code for _, code in coded(lines(record))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_whole_objects(encoding: str) -> None:
    source = ("\n" + lines(WHOLE) + "\r\n  \n" + lines({"imei": C, "serial": None})).encode(encoding)
    (first, found), (second, _) = readings(source)
    assert not found
    assert first is not None
    assert first[:3] == (2, [int(A[:14]), int(B[:14])], "S1")
    assert first.shared[:2] == (GTIN, PALLET)
    assert first.shared[2:5] == ("PAR1", "ACME", "Phone")
    assert (str(first.shared.unit_value), first.shared.currency) == ("499.50", "EUR")
    assert second == Row(4, [int(C[:14])], "", Shared("", "", "", "", "", None, ""))


@pytest.mark.parametrize(
    "given",
    [
        {"imei": A},
        {"imeis": A},
        {"imeis": [A]},
        {"imei": int(A)},
        {"imeis": [int(A), A]},
        {"imeis": [A, None, ""]},
    ],
)
def test_forms_of_an_imei(given: Any) -> None:
    assert row_of(given).keys == [int(A[:14])]


def test_imei_and_imeis_are_one_list() -> None:
    assert row_of({"imei": B, "imeis": [A]}).keys == [int(A[:14]), int(B[:14])]
    assert codes({"imei": E, "imeis": [A, B, C, D]}) == ["too-many-imeis"]


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (35209900176148, "imei-length", "would be 352099001761481"),
        (10154203237519, "imei-length", "leading zero"),
        (3520990017614, "wrong-type", "15 digits"),
        (10**200, "wrong-type", "15 digits"),
        (-352099001761481, "wrong-type", "15 digits"),
        (352099001761480.0, "imei-check-digit", "spreadsheet"),
        (3.52e14, "imei-not-digits", "spreadsheet"),
        (True, "wrong-type", "15 digits"),
        ({"imei": A}, "wrong-type", "15 digits"),
        ([A], "wrong-type", "15 digits"),
        ("3.51234E+14", "imei-not-digits", "spreadsheet"),
        ("352099001761480", "imei-check-digit", "would be"),
    ],
)
def test_what_is_no_imei(value: Any, code: str, says: str) -> None:
    (finding,) = findings('{"imeis": [3.52E+14]}' if value == 3.52e14 else lines({"imeis": [value]}))
    assert (finding.code, finding.field) == (code, "imeis")
    assert says in finding.sentence


@pytest.mark.parametrize(
    ("value", "kept"), [(1.234, "1.23"), (5, "5.00"), ("5.1", "5.10"), (0, "0.00"), (1e3, "1000.00")]
)
def test_unit_values(value: Any, kept: str) -> None:
    assert str(row_of({"imei": A, "unit_value": value, "currency": "EUR"}).shared.unit_value) == kept


def test_an_exponent_that_no_number_has_is_malformed() -> None:
    assert coded(f'{{"imei":"{A}","unit_value":1e99999999999999999999}}') == [(1, "json-malformed")]
    assert coded(f'{{"imei":"{A}","unit_value":1e400,"currency":"EUR"}}') == [(1, "unit-value-malformed")]


@pytest.mark.parametrize("field", ["serial", "gtin", "pallet", "site", "owner", "model"])
@pytest.mark.parametrize("value", [True, [], {}])
def test_wrong_types_are_named(field: str, value: Any) -> None:
    (finding,) = findings(lines(WHOLE | {field: value}))
    assert (finding.line, finding.field, finding.code) == (1, field, "wrong-type")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"unit_value": True}, "unit-value-malformed"), ({"unit_value": [5]}, "unit-value-malformed"),
        ({"currency": 978}, "currency-malformed"), ({"currency": {"code": "EUR"}}, "currency-malformed"),
        ({"unit_value": "1.299"}, "unit-value-ambiguous"),
    ],
)  # fmt: skip
def test_a_wrong_price_costs_nothing_but_itself(said: dict[str, Any], code: str) -> None:
    row, found = next(readings(lines({"imei": A, "unit_value": 5, "currency": "EUR", **said})))
    assert row is not None
    assert (row.shared.unit_value, [one.code for one in found]) == (None, [code])


def test_a_number_in_the_place_of_a_text_is_told_with_what_would_be_right() -> None:
    (finding,) = findings(lines({"imei": A, "pallet": 340123450000000018}))
    assert finding.value == "the number 340123450000000018"
    assert 'it would be a string, such as "340123450000000018"' in finding.sentence


def test_a_text_of_the_wrong_type_is_not_also_missing() -> None:
    assert codes({"serial": 12, "gtin": GTIN}) == ["wrong-type"]
    assert codes({"imei": [[]]}) == ["wrong-type"]
    assert codes({"serial": 12, "gtin": "1"}) == ["wrong-type", "gtin-malformed"]


def test_a_misspelt_field_is_asked_about() -> None:
    (finding,) = findings(lines(WHOLE | {"palet": "x"}))
    assert finding.sentence == "The field 'palet' is not read; perhaps 'pallet' is meant."


def test_an_unknown_field_is_named_once() -> None:
    source = lines(WHOLE | {"colour": 1}, WHOLE | {"colour": 2, "a\0": 3}, WHOLE)
    assert coded(source) == [(1, "field-ignored"), (2, "field-ignored")]
    assert [finding.field for finding in findings(source)] == ["colour", "a·"]
    assert all(row is not None for row, _ in readings(source))


def test_unknown_fields_without_end_are_named_up_to_a_point() -> None:
    source = lines(*({"imei": A, f"field {n}": 1} for n in range(500)))
    assert len(findings(source)) == 50


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"nothing", b'{"imei": "1"', b"[1]", b'"text"', b"1", b"null", b"[" * 60_000, b'{"a":' * 10_000,
        b'{"serial": "\xff"}', b'{"serial": "\\ud800"}', b'{"serial": NaN}', b"9" * 6_000, b"\x00",
        b'{"imei": "1"} {"imei": "2"}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_object_costs_itself(line: bytes) -> None:
    good = f'{{"imei": "{A}", "site": "Entrepôt"}}'.encode()
    source = good + b"\n" + line + b"\n" + good
    assert coded(source) == [(2, "json-malformed")]
    assert [row.line for row, _ in readings(source) if row] == [1, 3]


def test_a_line_that_is_too_long_costs_itself() -> None:
    source = lines({"imei": A, "model": "x" * 70_000}, {"imei": B})
    assert [(row.line if row else found[0].code) for row, found in readings(source)] == ["line-too-long", 2]


def test_an_object_that_identifies_nothing() -> None:
    assert codes({}) == ["not-identified"]


def test_a_zero_character_is_refused() -> None:
    assert codes({"imei": A, "serial": "a\0b"}) == ["text-control"]


@pytest.mark.parametrize("source", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_refused(source: str) -> None:
    with pytest.raises(Invalid) as error:
        list(readings(source))
    assert error.value.code == "file-empty"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_document(encoding: str) -> None:
    source = json.dumps({"devices": [WHOLE, {"imei": "1"}, 5, {"imei": A}], "note": "é"}).encode(encoding)
    answers = list(readings(source, Format.JSON))
    assert [row.line if row else found[0].code for row, found in answers] == [
        1,
        "imei-length",
        "json-malformed",
        4,
    ]
    assert coded(source, Format.JSON) == [(2, "imei-length"), (3, "json-malformed")]


def test_a_byte_that_is_no_utf_8_costs_its_device() -> None:
    source = b'{"devices": [{"imei": "' + A.encode() + b'", "site": "Entrep\xc3\xb4t"}, {"serial": "\xff"}]}'
    assert coded(source, Format.JSON) == [(2, "json-malformed")]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (b"", "json-malformed"),
        (b"[]", "json-malformed"),
        (b"{}", "json-malformed"),
        (b'{"devices": {}}', "json-malformed"),
        (b'{"devices": [1,]}', "json-malformed"),
        (b'{"devices": ' + b"[" * 1_000_000, "json-malformed"),
        (b'{"devices": []}', "file-empty"),
    ],
)
def test_a_document_of_another_form_is_refused(source: bytes, code: str) -> None:
    with pytest.raises(Invalid) as error:
        list(readings(source, Format.JSON))
    assert error.value.code == code
    assert len(error.value.detail) < 300


@given(st.binary(max_size=200), st.sampled_from([Format.NDJSON, Format.JSON]))
def test_arbitrary_bytes_raise_nothing_but_invalid(source: bytes, format: Format) -> None:
    for start in (b"", b'{"imei":"1"}\n', b'{"devices":[', b"\xff\xfe"):
        try:
            answers = list(readings(start + source, format))
        except Invalid:
            continue
        assert answers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.sampled_from(["imei", "imeis", "colour", *WHOLE]), JSON) | JSON


@given(st.lists(RECORDS, min_size=1, max_size=8))
def test_every_line_is_accounted_for(records: list[Any]) -> None:
    by_line = list(readings(lines(*records)))
    by_place = list(readings(json.dumps({"devices": records}), Format.JSON))
    assert len(by_line) == len(by_place) == len(records)
    assert all(finding.line == place for place, (_, found) in enumerate(by_line, 1) for finding in found)
    assert [row for row, _ in by_line] == [row for row, _ in by_place]


@pytest.mark.parametrize("wide", [b'"colour": 1}\n', b'"colour": '])
def test_memory_is_bounded_whatever_50_megabytes_hold(wide: bytes) -> None:
    block = (b'{"imei": "' + A.encode() + b'", "model": "' + b"x" * 1000 + b'", ' + wide) * 1000
    tracemalloc.start()
    count = sum(1 for _ in readings(Stream(repeat(block, 50 * 2**20 // len(block)))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20
    assert count > (40_000 if wide.endswith(b"\n") else 0)
