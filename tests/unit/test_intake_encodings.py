"""Files in every encoding that warehouses save in: decided over the file, never by one byte."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from app.core import imei
from app.devices.intake import Defaults, Finding, Format, Row, read

A, B, C = (imei.full(35_209900_176148 + n) for n in range(3))
HEADER = "imei,site\n"
BLOCK = 65_536


class Pipe(io.BytesIO):
    """Bytes that can be read once."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def answers(source: bytes | io.BytesIO, form: Format = Format.CSV) -> tuple[list[Row], list[Finding]]:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    readings = list(read(file, form, Defaults()).readings)
    rows = [row for row, _, _ in readings if row is not None]
    return rows, [finding for _, found, _ in readings for finding in found]


def coded(found: list[Finding]) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in found]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", [Format.CSV, Format.NDJSON, Format.JSON])
def test_unicode_with_and_without_its_mark(form: Format, encoding: str, mark: str) -> None:
    record = json.dumps({"imei": A, "site": "Entrepôt €"}, ensure_ascii=False)
    texts = {
        Format.CSV: f"{HEADER}{A},Entrepôt €\n",
        Format.NDJSON: record,
        Format.JSON: f'{{"devices": [{record}]}}',
    }
    rows, found = answers((mark + texts[form]).encode(encoding), form)
    assert [(row.keys, row.shared.site) for row in rows] == [([int(A[:14])], "Entrepôt €")]
    assert not found


def test_windows_1252_is_said_once_on_the_headers_line() -> None:
    rows, found = answers(f"\n{HEADER}{A},Entrepôt\n{B},“Süd” €5\n".encode("cp1252"))
    assert [row.shared.site for row in rows] == ["Entrepôt", "“Süd” €5"]
    (finding,) = found
    assert (finding.line, finding.rejected, finding.code) == (2, False, "read-as-windows-1252")
    assert "UTF-8" in finding.sentence


@pytest.mark.parametrize("form", [Format.NDJSON, Format.JSON])
def test_windows_1252_of_objects_is_said_once(form: Format) -> None:
    records = [f'{{"imei": "{number}", "site": "Entrepôt"}}' for number in (A, B)]
    text = "\n".join(records) if form is Format.NDJSON else f'{{"devices": [{",".join(records)}]}}'
    rows, found = answers(text.encode("cp1252"), form)
    assert [row.shared.site for row in rows] == ["Entrepôt", "Entrepôt"]
    assert coded(found) == [(1, "read-as-windows-1252")]


def test_a_file_with_the_mark_of_utf_8_is_utf_8() -> None:
    _, found = answers("\ufeff".encode() + f"{HEADER}{A},Süd\n".encode("cp1252"))
    assert coded(found) == [(2, "text-encoding")]


@pytest.mark.parametrize("rows_between", [0, 10_000])
@pytest.mark.parametrize("broken_first", [True, False])
def test_a_utf_8_file_with_one_broken_line_stays_utf_8(broken_first: bool, rows_between: int) -> None:
    lines = [f"{A},Entrep\xf4t\n".encode("latin-1"), f"{B},Entrepôt\n".encode()]
    first, last = lines if broken_first else lines[::-1]
    rows, found = answers(HEADER.encode() + first + f"{C},x\n".encode() * rows_between + last)
    assert [row.shared.site for row in rows if row.shared.site != "x"] == ["Entrepôt"]
    assert coded(found) == [(2 if broken_first else 3 + rows_between, "text-encoding")]


@pytest.mark.parametrize("before", range(4))
def test_a_character_that_two_reads_share_is_seen(before: int) -> None:
    start = f"{HEADER}{A},\xf4\n".encode("latin-1")
    sign = "€".encode()
    padding = b"\n" * (BLOCK - before - len(start) - len(f"{B},"))
    rows, found = answers(start + padding + f"{B},".encode() + sign + b"\n")
    assert [row.shared.site for row in rows] == ["€"]
    assert coded(found) == [(2, "text-encoding")]


@pytest.mark.parametrize(("before", "after"), [(10_000, 0), (0, 10_000)])
def test_windows_1252_anywhere_in_a_file(before: int, after: int) -> None:
    plain = f"{A},x\n"
    rows, found = answers(f"{HEADER}{plain * before}{B},Süd\n{plain * after}".encode("cp1252"))
    assert rows[before].shared.site == "Süd"
    assert coded(found) == [(1, "read-as-windows-1252")]


@pytest.mark.parametrize("byte", [b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"])
def test_a_byte_that_windows_1252_does_not_have_costs_its_row(byte: bytes) -> None:
    rows, found = answers(HEADER.encode() + f"{A},".encode() + byte + f"\n{B},Süd\n".encode("cp1252"))
    assert [row.shared.site for row in rows] == ["Süd"]
    assert coded(found) == [(2, "text-encoding"), (1, "read-as-windows-1252")]


def test_a_source_is_read_from_where_it_stands() -> None:
    source = io.BytesIO("ä\nü\n".encode("cp1252") + f"{HEADER}{A},Süd\n".encode())
    source.seek(4)
    rows, found = answers(source)
    assert [row.shared.site for row in rows] == ["Süd"]
    assert not found


def test_what_can_be_read_once_only_is_not_taken_for_windows_1252() -> None:
    _, found = answers(Pipe(f"{HEADER}{A},Süd\n".encode("cp1252")))
    assert coded(found) == [(2, "text-encoding")]
    rows, found = answers(Pipe(f"{HEADER}{A},Süd\n".encode("utf-16-le")))
    assert [row.shared.site for row in rows] == ["Süd"]


def test_zero_bytes_in_a_text_do_not_make_it_utf_16() -> None:
    for zeros in ("\0", "\0" * 150):
        _, found = answers(f"imei,serial\n{A},S{zeros}\n".encode())
        assert coded(found) == [(2, "text-control")]
