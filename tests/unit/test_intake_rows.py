"""One row of a goods-in file: what it becomes, and everything that can be wrong with it."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Sequence
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import gs1, imei
from app.core.errors import Invalid
from app.devices.intake import Defaults, Finding, Format, Row, Shared, guess
from app.devices.intake.rows import Read, Rows

A, B, C, D, E = (imei.full(35_209900_176148 + n) for n in range(5))
# Without the time of day: it would stand in the names of the tests.
gz = partial(gzip.compress, mtime=0)
GTIN = "09506000134352"
NONE = Defaults()
PALLET = "106141412345678908"


def reading(
    *imeis: str,
    serial: str = "",
    gtin: str = "",
    pallet: str = "",
    site: str = "",
    owner: str = "",
    model: str = "",
    unit_value: str | Decimal = "",
    currency: str = "",
    defaults: Defaults = NONE,
) -> Read:
    shared = (gtin, pallet, site, owner, model, unit_value, currency)
    return Rows(defaults).read(7, imeis, serial, shared)


def row_of(answer: Read) -> Row:
    row, findings = answer
    assert row is not None, findings
    return row


def codes(answer: Read) -> set[str]:
    row, findings = answer
    assert (row is None) == any(finding.rejected for finding in findings)
    assert all(finding.line == 7 for finding in findings)
    return {finding.code for finding in findings}


def only(answer: Read) -> Finding:
    (finding,) = answer[1]
    return finding


def test_a_whole_row() -> None:
    answer = reading(
        B, A, serial=" S1 ", gtin="9506000134352", pallet=f"(00){PALLET}", site="PAR1", owner="ACME",
        model="Phone", unit_value="1234.5", currency="eur",
    )  # fmt: skip
    keys = [int(A[:14]), int(B[:14])]
    assert answer[1] == ()
    assert row_of(answer) == Row(
        7, keys, "S1", Shared(GTIN, PALLET, "PAR1", "ACME", "Phone", Decimal("1234.50"), "EUR")
    )


def test_defaults_stand_in_for_what_a_row_does_not_say() -> None:
    defaults = Defaults("PAR1", "ACME", "EUR")
    row = row_of(reading(A, unit_value="5", defaults=defaults))
    assert (row.shared.site, row.shared.owner, row.shared.currency) == ("PAR1", "ACME", "EUR")
    row = row_of(reading(A, site="LYS2", owner="OTHER", unit_value="5", currency="USD", defaults=defaults))
    assert (row.shared.site, row.shared.owner, row.shared.currency) == ("LYS2", "OTHER", "USD")


def test_an_imei_that_comes_twice_is_one() -> None:
    dashed = f"{A[:8]}-{A[8:14]}-{A[14]}"
    row = row_of(reading(A, dashed, f"urn:gsma:imei:{A[:8]}-{A[8:14]}-0"))
    assert row.keys == [int(A[:14])]


@pytest.mark.parametrize("separator", [" ", ",", ";", "|", "/", " / ", "\n", "; "])
def test_several_imeis_in_a_cell(separator: str) -> None:
    row = row_of(reading(separator.join((A, B, C, D))))
    assert row.keys == [int(full[:14]) for full in (A, B, C, D)]


def test_an_imei_that_begins_with_zero_may_follow_another() -> None:
    old = imei.full(1_015420_323751)
    assert row_of(reading(f"{A},{old}")).keys == [1_015420_323751, int(A[:14])]


def test_a_spaced_imei_is_not_several() -> None:
    assert row_of(reading(f"{A[:6]} {A[6:12]} {A[12:]}")).keys == [int(A[:14])]


@pytest.mark.parametrize(
    "cells", [(A, B, C, D, E), (A, B, f"{C} {D} {E}"), (" ".join([A] + [str(n) for n in range(9)]),)]
)
def test_more_than_four_imeis_are_too_many(cells: Sequence[str]) -> None:
    assert codes(reading(*cells)) == {"too-many-imeis"}


@pytest.mark.parametrize(
    ("cell", "code", "says"),
    [
        ("352099001761480", "imei-check-digit", "would be"),
        ("3.51234E+14", "imei-not-digits", "spreadsheet"),
        ("3,51234E+14", "imei-not-digits", "spreadsheet"),
        ("351234567890123,00", "imei-check-digit", "spreadsheet"),
        ("10154203237519", "imei-length", "leading zero"),
        ("３５２０９９００１７６１４８１", "imei-not-digits", "0-9"),
        ("N/A", "imei-not-digits", "15 digits"),
    ],
)
def test_a_bad_imei_rejects_the_row(cell: str, code: str, says: str) -> None:
    answer = reading(cell, serial="S1", gtin=GTIN)
    assert codes(answer) == {code}
    assert says in only(answer).sentence


def test_a_bad_imei_among_good_ones_is_named() -> None:
    answer = reading(f"{A};3.51234E+14;{B}")
    assert codes(answer) == {"imei-not-digits"}
    assert only(answer).value == "3.51234E+14"


@pytest.mark.parametrize(
    ("body", "known"), [("01", True), ("35", True), ("99", True), ("77", False), ("00", False)]
)
def test_an_unknown_reporting_body_is_a_warning(body: str, known: bool) -> None:
    answer = reading(imei.full(int(f"{body}209900176148")))
    assert row_of(answer)
    assert codes(answer) == (set() if known else {"imei-reporting-body"})


@pytest.mark.parametrize(("serial", "gtin"), [("", ""), ("S1", ""), ("", GTIN), ("  ", GTIN)])
def test_a_row_that_identifies_nothing_is_rejected(serial: str, gtin: str) -> None:
    assert codes(reading("", " ", "-", serial=serial, gtin=gtin)) == {"not-identified"}


def test_a_device_without_imei_is_known_by_gtin_and_serial() -> None:
    row = row_of(reading("", serial="S1", gtin=GTIN))
    assert (row.keys, row.serial, row.shared.gtin) == ([], "S1", GTIN)


def test_a_malformed_gtin_is_not_also_a_missing_one() -> None:
    assert codes(reading(serial="S1", gtin="12")) == {"gtin-malformed"}


def test_wrong_check_digits_of_gs1_are_warnings() -> None:
    answer = reading(A, gtin="09506000134353", pallet="106141412345678900")
    assert codes(answer) == {"gtin-check-digit", "pallet-check-digit"}
    assert row_of(answer).shared.pallet == "106141412345678900"


def test_a_pallet_that_a_spreadsheet_rounded_is_rejected() -> None:
    for pallet in ("106141412345678000", '="106141412345678000"'):
        finding = only(reading(A, pallet=pallet))
        assert (finding.rejected, finding.code) == (True, "pallet-malformed")
        assert "digits of it are lost" in finding.sentence
        assert "format the column as text" in finding.sentence


def test_a_pallet_that_a_spreadsheet_may_have_rounded_is_said() -> None:
    body = next(
        f"1061414123456{n:02}00" for n in range(100) if gs1.check_digit(f"1061414123456{n:02}00") == 0
    )
    answer = reading(A, pallet=f"{body}0")
    assert (only(answer).code, only(answer).rejected) == ("pallet-rounded", False)
    assert row_of(answer).shared.pallet == f"{body}0"


def test_an_imei_that_a_spreadsheet_may_have_rounded_is_said() -> None:
    rounded = next(
        imei.full(key) for key in range(35_123400_000000, 36 * 10**12, 10**6) if not imei.check_digit(key)
    )
    for cells in ((rounded,), (A, rounded), (f"{A};{rounded}",), (f"{rounded}.0",)):
        answer = reading(*cells)
        assert int(rounded[:14]) in row_of(answer).keys
        assert "imei-rounded" in codes(answer)
        assert "may have rounded" in answer[1][-1].sentence
    assert not reading(imei.full(int(rounded[:14]) + 1))[1]


def test_all_flaws_of_a_row_are_found_at_once() -> None:
    answer = reading(
        "12", B[:-1] + "x", serial="a\0b", gtin="1", pallet="2", site="s" * 201, owner="o\x07",
        model="m\udce9", unit_value="x", currency="EURX",
    )  # fmt: skip
    assert codes(answer) == {
        "imei-length", "imei-not-digits", "text-control", "gtin-malformed", "pallet-malformed",
        "text-too-long", "text-encoding", "unit-value-malformed", "currency-malformed",
    }  # fmt: skip
    assert len(answer[1]) == 10
    assert all(finding.value.isprintable() and finding.sentence.isprintable() for finding in answer[1])


def test_a_serial_that_is_too_long() -> None:
    assert codes(reading(A, serial="s" * 201)) == {"text-too-long"}
    assert row_of(reading(A, serial="s" * 200))


def test_what_rows_have_in_common_is_not_kept_for_ever() -> None:
    rows = Rows(Defaults())
    tracemalloc.start()
    for line in range(5_000):
        rows.read(line, (A,), "", ("", "", f"{line:0190}", "", "", "", ""))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 500_000


@pytest.mark.parametrize("value", ["a\0b", "a\x1db", "a\x7fb", "a\nb", "a\u2028b", "a\u200bb", "a\ufeffb"])
def test_a_serial_has_no_character_that_nobody_sees(value: str) -> None:
    assert codes(reading(A, serial=value)) == {"text-control"}


def test_prose_may_hold_joiners_and_wide_spaces() -> None:
    row = row_of(reading(A, owner="می\u200cخواهم", site="Entrepôt\u00a012", model="Phone\r\n128 GB"))
    assert (row.shared.owner, row.shared.site, row.shared.model) == (
        "می\u200cخواهم",
        "Entrepôt 12",
        "Phone 128 GB",
    )


@given(
    st.lists(st.text(max_size=40), max_size=6),
    st.text(max_size=20),
    st.tuples(*[st.text(max_size=20)] * 7),
)
def test_any_texts_get_a_reading(imeis: list[str], serial: str, shared: tuple[str, ...]) -> None:
    answer = Rows(Defaults()).read(7, imeis, serial, shared)
    assert codes(answer) is not None
    assert all(text.isprintable() for finding in answer[1] for text in (finding.value, finding.sentence))
    if answer[0]:
        assert answer[0].keys or (answer[0].serial and answer[0].shared.gtin)


@pytest.mark.parametrize(
    ("filename", "content_type", "head", "format"),
    [
        ("a.json", "text/csv; charset=utf-8", b"{", Format.CSV),
        ("", "application/x-ndjson", b"", Format.NDJSON),
        ("", "Application/JSON", b"", Format.JSON),
        ("stock.CSV", "application/vnd.ms-excel", b"{", Format.CSV),
        ("stock.jsonl", "application/octet-stream", b"", Format.NDJSON),
        ("stock.json", "", b"", Format.JSON),
        ("stock.txt", "", b"", Format.CSV),
        ("stock", "", b'\xef\xbb\xbf {"imei":"1"}\n', Format.NDJSON),
        ("stock", "", b'{ "devices" : [', Format.JSON),
        ("stock", "", b"[", Format.JSON),
        ("stock", "", '{"imei"'.encode("utf-16"), Format.NDJSON),
        ("stock", "", '{ "devices": ['.encode("utf-16"), Format.JSON),
        ("stock", "", b"imei,serial", Format.CSV),
        ("asn", "application/EDIFACT", b"", Format.DESADV),
        ("asn.edi", "application/octet-stream", b"", Format.DESADV),
        ("asn.DESADV", "", b"", Format.DESADV),
        ("asn.txt", "", b"\r\nUNA:+.? '\r\nUNB+UNOC:3+A+B", Format.DESADV),
        ("asn.txt", "text/plain", b"UNB\x1dUNOB\x1f1\x1d", Format.DESADV),
        ("asn", "", b"\xef\xbb\xbfUNA:+.?", Format.DESADV),
        ("asn.csv", "text/csv", b"UNB+UNOC:3+A+B", Format.CSV),
        ("", "", b"", Format.CSV),
        ("", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"", Format.XLSX),
        ("stock.XLSX", "", b"", Format.XLSX),
        ("stock.xlsm", "application/octet-stream", b"", Format.XLSX),
        ("stock.csv", "text/csv", b"PK\x03\x04", Format.XLSX),
        ("stock.xlsx.gz", "application/gzip", b"", Format.XLSX),
        ("stock.ndjson.GZ", "", b"\x1f\x8b\x08", Format.NDJSON),
        ("stock", "", gz(b'{"devices": []}'), Format.JSON),
        ("stock.csv", "", gz(b"PK\x03\x04"), Format.XLSX),
    ],
)
def test_guessing_a_format(filename: str, content_type: str, head: bytes, format: Format) -> None:
    assert guess(filename, content_type, head) is format


@pytest.mark.parametrize("head", [b"%PDF-1.7", b"\xd0\xcf\x11\xe0", gz(b"%PDF-1.7")])
def test_a_file_that_is_no_text_has_no_format(head: bytes) -> None:
    with pytest.raises(Invalid, match="CSV") as error:
        guess("stock.csv", "text/csv", head)
    assert error.value.code == "format-unknown"
