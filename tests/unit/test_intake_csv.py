"""CSV files as warehouses send them, and as nobody should: every data row gets its reading."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
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


class Stream:
    """A file that is never whole in memory: gives its pieces one read at a time."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")

    def seekable(self) -> bool:
        return False


def readings(source: bytes | str | Stream, defaults: Defaults | None = None) -> Iterator[Read]:
    if isinstance(source, str):
        source = source.encode()
    file = io.BytesIO(source) if isinstance(source, bytes) else cast(BinaryIO, source)
    for row, findings, _ in read(file, Format.CSV, defaults or Defaults()).readings:
        assert (row is None) == any(finding.rejected for finding in findings)
        yield row, findings


def rows(source: bytes | str, defaults: Defaults | None = None) -> list[Row]:
    answers = list(readings(source, defaults))
    assert all(row is not None for row, _ in answers), answers
    return [row for row, _ in answers if row is not None]


def findings(source: bytes | str) -> list[Finding]:
    return [finding for _, found in readings(source) for finding in found]


def coded(source: bytes | str) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in findings(source)]


def refusal(source: bytes | str) -> Invalid:
    with pytest.raises(Invalid) as error:
        list(readings(source))
    return error.value


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":", "^", "~", "\x1f"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_file_in_every_dialect(delimiter: str, end: str, encoding: str) -> None:
    lines = ["imei1,imei2,serial,gtin,pallet,site,owner,model,unit value,currency"]
    lines += [f"{A},{B},S1,{GTIN},{PALLET},Entrepôt,ACME,Phone,499.00,EUR", f"{C},,,,,,,,,"]
    source = (end.join(lines).replace(",", delimiter)).encode(encoding)
    first, second = rows(source)
    assert coded(source) == ([(1, "read-as-windows-1252")] if encoding == "cp1252" else [])
    assert (*first[:3], first.shared.gtin) == (2, [int(A[:14]), int(B[:14])], "S1", GTIN)
    assert first.shared[1:5] == (PALLET, "Entrepôt", "ACME", "Phone")
    assert (str(first.shared.unit_value), first.shared.currency) == ("499.00", "EUR")
    assert second == Row(3, [int(C[:14])], "", Shared("", "", "", "", "", None, ""))


@pytest.mark.parametrize(
    "name", ["imei", "IMEI", "IMEI 1", "imei_1", "Imei-1", "imeis", " IMEIs ", '"IMEI"', "imei4"]
)
def test_names_of_the_imei_column(name: str) -> None:
    assert rows(f"{name}\n{A}\n")[0].keys == [int(A[:14])]


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("serial", "S1", ["serial", "Serial No", "Serial No.", "serial_number", "SN"]),
        ("gtin", GTIN, ["gtin", "EAN", "upc"]), ("pallet", PALLET, ["pallet", "SSCC", "Pallet ID"]),
        ("site", "PAR1", ["site", "Warehouse", "location"]), ("currency", "EUR", ["currency"]),
        ("owner", "ACME", ["owner", "Customer", "principal"]), ("model", "Phone", ["model", "Description"]),
    ],
)  # fmt: skip
def test_names_of_the_other_columns(field: str, value: str, names: list[str]) -> None:
    for name in names:
        (row,) = rows(f"{name};imei;value;currency\n{value};{A};5;EUR\n")
        assert getattr(row if field == "serial" else row.shared, field) == value


@pytest.mark.parametrize("name", ["unit_value", "Value", "price", "Unit Price", "unitprice"])
def test_names_of_the_unit_value(name: str) -> None:
    assert (
        str(rows(f"imei;{name}\n{A};1234,50\n", Defaults(currency="EUR"))[0].shared.unit_value) == "1234.50"
    )


def test_of_two_columns_for_one_field_the_closer_name_is_read() -> None:
    source = f"location,site,imei\nbin 4,PAR1,{A}\n"
    assert rows(source)[0].shared.site == "PAR1"
    assert findings(source)[0].value == "location"


def test_columns_that_are_not_read_are_named_once() -> None:
    source = f"imei,colour,Grade,\n{A},red,A,\n{B},red,B,\n"
    (finding,) = findings(source)
    assert (finding.line, finding.rejected, finding.code) == (1, False, "column-ignored")
    assert finding.value == "colour, Grade"
    assert len(rows(source)) == 2


@pytest.mark.parametrize(
    "header",
    [
        f"{A},S1,{GTIN}", "serial,pallet", "gtin", "<p>", "colour;size", '"', "imei" * 20_000, '{"imei":"1"}',
    ],
)  # fmt: skip
def test_a_file_without_usable_header_is_refused(header: str) -> None:
    error = refusal(f"{header}\n{A},{B}\n")
    assert error.code == "header-wrong"
    assert "serial,gtin" in error.detail


TITLES = {
    "one line": "Delivery 4711;;;",
    "blank lines": "\nDelivery 4711\n\nACME, Paris\n",
    "another delimiter": "Delivery, of, Monday, the, second\nfor: ACME",
    "a quote": 'Delivery of "Monday\nto Paris',
    "a quoted line break": '"Delivery\n4711";x',
    "a name of a column": "Warehouse;PAR1\nIMEIs: 2\nSerial numbers",
    "twenty lines": "\n".join(f"title {number}" for number in range(20)),
    "excel's own": "sep=;\nDelivery",
}


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_titles_above_a_header_are_not_read_and_said(title: str, encoding: str) -> None:
    text = f'{TITLES[title]}\nIMEI;"Site\nof it";Modèle\n{A};PAR1;a,b\n{B};PAR1;c\n'
    line = text.splitlines().index('IMEI;"Site') + 1
    found = rows(text.encode(encoding))
    assert [(row.line, row.keys, row.shared.model) for row in found] == [
        (line + 2, [int(A[:14])], "a,b"), (line + 3, [int(B[:14])], "c"),
    ]  # fmt: skip
    said = [finding for finding in findings(text.encode(encoding)) if finding.code == "header-chosen"]
    assert [(one.line, f"line {line};" in one.sentence) for one in said] == [(line, True)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(["title"] * 21) + f"\nimei\n{A}\n", f"kind,number\nIMEI,{A}\nIMEI,{B}\n", f"Handset;x\n{A};1\n",
        "title\n" + "x" * 300_000 + f"\nimei\n{A}\n",
    ],
)  # fmt: skip
def test_a_header_is_not_looked_for_everywhere(text: str) -> None:
    error = refusal(text)
    assert (error.code, text.partition("\n")[0] in error.detail) == ("header-wrong", True)


@pytest.mark.parametrize(
    "source", ["", "\n\n", "\ufeff", "imei,serial\n", "imei,serial\n\n,\n", b"\xff\xfe", b"\xff"]
)
def test_an_empty_file_is_refused(source: bytes | str) -> None:
    assert refusal(source).code == ("header-wrong" if source == b"\xff" else "file-empty")


def test_lines_are_physical_and_blank_ones_no_rows() -> None:
    source = f'\nimei,model\n\n{A},"two\nlines"\n,\n{B},"say ""hi"""\n   \n{C},3\n'
    found = rows(source)
    assert [row.line for row in found] == [4, 7, 9]
    assert [row.shared.model for row in found] == ["two lines", 'say "hi"', "3"]


def test_repeated_lines_pass() -> None:
    assert [row.line for row in rows(f"imei\n{A}\n{A}\n")] == [2, 3]


def test_what_spreadsheets_do_is_named() -> None:
    source = f"imei1;imei2\n3,51234E+14;\n3.51234E+14;{A}\n10154203237519;\n{A};{B}\n"
    assert coded(source) == [(2, "imei-not-digits"), (3, "imei-not-digits"), (4, "imei-length")]
    sentences = [finding.sentence for finding in findings(source)]
    assert all("spreadsheet" in sentence for sentence in sentences)


def test_more_than_four_imeis() -> None:
    header = ",".join(f"imei{n}" for n in range(1, 6))
    assert coded(f"{header}\n{A},{B},{C},{D},{E}\n") == [(2, "too-many-imeis")]
    assert coded(f"imeis\n{A} {B};{C}|{D}/{E}\n") == [(2, "too-many-imeis")]
    assert len(rows(f"imeis\n{A} {B};{C}|{D}/{A}\n")[0].keys) == 4


def test_ragged_rows_are_rejected_alone() -> None:
    source = f"imei,serial\n{A}\n{A},S1,x\n{A},S1\n{A},S1,\n"
    assert coded(source) == [(2, "cells-miscounted"), (3, "cells-miscounted"), (5, "cells-miscounted")]
    assert len(list(readings(source))) == 4


@pytest.mark.parametrize("bad", ['"never closed', '"closed" badly', f'"{A}"x', '"a,b'])
def test_a_wrong_quote_costs_its_line_only(bad: str) -> None:
    source = f"imei,model\n{A},{bad}\n{B},1\n{C},2\n"
    answers = list(readings(source))
    assert [(row.line if row else found[0].code) for row, found in answers] == ["quotes-wrong", 3, 4]


def test_lines_after_an_open_quote_at_the_end_are_not_lost() -> None:
    many = "".join(f"{B},{n}\n" for n in range(200))
    answers = list(readings(f'imei,model\n{A},"open\n{many}{A},"open'))
    assert len(answers) == 202
    assert [found[0].line for row, found in answers if row is None] == [2, 203]


def test_quotes_that_open_again_on_each_line_are_not_followed_far() -> None:
    given: list[bytes] = []
    pieces = chain([b"imei,model,site\n"], repeat(b'x","\n', 1000))
    answers = readings(Stream(given.append(piece) or piece for piece in pieces))
    assert [found[0].line for _, found in (next(answers), next(answers))] == [2, 3]
    assert len(given) < 400
    assert len(list(answers)) == 998


def test_a_line_that_is_too_long_ends_a_quoted_cell() -> None:
    source = f'imei,model\n{A},"open\n{"x" * 70_000}\n"\n{B},2\n'
    answers = [(row.line if row else found[0].code) for row, found in readings(source)]
    assert answers == ["quotes-wrong", "line-too-long", "quotes-wrong", 5]


def test_half_a_character_at_the_end_of_utf_16_costs_its_row() -> None:
    source = f"imei,serial\n{A},S1\n{B},S2".encode("utf-16")
    assert coded(source + b"x") == [(3, "text-encoding")]


def test_a_line_that_is_too_long_is_rejected_alone() -> None:
    long = "x" * 70_000
    for cell in (long, "é" * 66_000, f'"{long}"', "y" * 1_000_000):
        source = f"imei,model\n{A},{cell}\n{B},2\n"
        answers = list(readings(source))
        assert [(row.line if row else found[0].code) for row, found in answers] == ["line-too-long", 3]


def test_bytes_that_are_no_utf_8_cost_their_row() -> None:
    source = f"imei,site\n{A},Entrepôt\n".encode("cp1252") + f"{B},Entrepôt\n".encode()
    assert coded(source) == [(2, "text-encoding")]


def test_a_zero_byte_costs_its_row() -> None:
    assert coded(f"imei,serial\n{A},S\x001\n{B}\x00,S2\n") == [(2, "text-control"), (3, "imei-not-digits")]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_invalid(source: bytes) -> None:
    for start in (b"", b"imei,serial,gtin\n", b"\xff\xfe"):
        try:
            answers = list(readings(start + source))
        except Invalid:
            continue
        assert answers


CELLS = st.sampled_from(
    ['"', "\n", "\r", ",", ";", A, B, GTIN, "S1", "\0", "é", "\udc80", " ", "\u2028", "x"]
)
TEXT = st.lists(CELLS, max_size=25).map(lambda parts: "".join(parts).encode("utf-8", "surrogateescape"))


@given(TEXT, st.integers(1, 40))
def test_a_file_reads_the_same_in_whatever_pieces_it_comes(body: bytes, size: int) -> None:
    source = b"imei,serial,gtin\n" + body + f"\n{A},last,\n".encode()
    pieces = (source[place : place + size] for place in range(0, len(source), size))
    assert list(readings(Stream(pieces))) == list(readings(Stream([source])))


@given(TEXT)
def test_a_bad_line_never_swallows_the_rows_after_it(body: bytes) -> None:
    tail = "".join(f"{A},{n},\n" for n in range(60)).encode()
    answers = list(readings(b"imei,serial,gtin\n" + body + b"\n" + tail))
    serials = [row.serial for row, _ in answers if row is not None]
    assert serials[-59:] == [str(n) for n in range(1, 60)]


ROWS = st.lists(
    st.tuples(st.sampled_from([A, B, "", "x"]), st.text(max_size=8), st.text(max_size=8)), min_size=1
)


@given(ROWS, st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_every_data_row_is_accounted_for(
    records: list[tuple[str, str, str]], delimiter: str, quoting: Any
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting)
    writer.writerows([("imei", "model", "note"), *records, (A, "", "")])
    filled = [record for record in records if any(cell.strip() for cell in record)]
    assert len(list(readings(text.getvalue()))) == len(filled) + 1


MEGABYTE = 2**20
WIDE = f"{A},S1,{'x' * 1000}\n".encode() * 1000
HOSTILE = {
    "clean": (b"imei,serial,note\n", WIDE),
    "one line": (b"imei,serial,note\n", b"x" * MEGABYTE),
    "one header": (b"imei,", b"imei," * 200_000),
    "an open quote": (b'imei,serial,note\n1,2,"', b"x" * 1000 + b"\n"),
    "one quoted cell": (b'imei,serial,note\n1,2,"', b"x" * MEGABYTE),
    "many cells": (b"imei,serial,note\n", b"12," * 21_000 + b"\n"),
    "many quoted cells": (b"imei,serial,note\n", b'"1",' * 15_000 + b"\n"),
    "blank lines": (b"imei,serial,note\n", b"\n" + b" " * 1000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_memory_is_bounded_whatever_50_megabytes_hold(kind: str) -> None:
    head, block = HOSTILE[kind]
    source = Stream(chain([head], repeat(block, 50 * MEGABYTE // len(block))))
    tracemalloc.start()
    try:
        count = sum(1 for _ in readings(source))
    except Invalid:
        count = 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * MEGABYTE
    assert count > 40_000 or kind not in ("clean", "an open quote")
