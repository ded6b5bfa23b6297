"""TAC databases in their three forms, and with the dirt that such files have. No real TAC stands for its real brand."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.brand import folded
from app.core.errors import Invalid
from app.devices.tac_file import TacFile, TacFormat, TacReading, TacRow, read

OSMOCOM = """A TAC database under some licence (c) somebody 2016
tac,name,name,contributor,comment,gsmarena,gsmarena,aka
35000101,Nordlys,Phone X,,,,http://one.example,"PX,PX-2"
 35000202,Haldane,Slab,Zoë,"a ""round"" one",,,
01000303,Nordlys,Phone Y,,,,,
"""
GSMA = """TAC|Marketing Name|Manufacturer|Bands|Allocation Date|Country Code|Fixed Code|Brand Name|Model Name|NFC
35000101|Phone X 5" wide|Nordlys A/S|GSM 900,LTE|01-Jan-2020|100|01|Nordlys|NX-1|Y
35000202|Not Known|Haldane Ltd|LTE|01-Jan-2020|100|01|Haldane|HS-2|N
35000303|Plain|Oxbow Works|LTE|01-Jan-2020|100|01|NA|OW-3|N
"""
OWN = "tac,brand,model\n35000101,Nordlys,Phone X\n35000202,Haldane,\n35000303,,Plain\n"


def opened(text: str | bytes) -> TacFile:
    return read(io.BytesIO(text.encode() if isinstance(text, str) else text))


def readings(text: str | bytes) -> list[TacReading]:
    found = list(opened(text).readings)
    for row, findings in found:
        assert (row is None) == any(finding.rejected for finding in findings)
    return found


def rows(text: str | bytes) -> list[TacRow]:
    return [row for row, _ in readings(text) if row is not None]


def coded(text: str | bytes) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for _, findings in readings(text) for finding in findings]


def one(cell: str) -> TacReading:
    (reading,) = readings(f"tac,brand,model\n{cell},Nordlys,Phone X\n")
    return reading


def test_osmocoms_form() -> None:
    file = opened(OSMOCOM)
    assert (file.format, file.title) == (
        TacFormat.OSMOCOM,
        "A TAC database under some licence (c) somebody 2016",
    )
    assert list(file.readings) == [
        ((3, 35000101, "Nordlys", "Phone X"), ()),
        ((4, 35000202, "Haldane", "Slab"), []),
        ((5, 1000303, "Nordlys", "Phone Y"), ()),
    ]


def test_the_gsmas_form() -> None:
    file = opened(GSMA)
    assert (file.format, file.title) == (TacFormat.GSMA, "")
    assert [row for row, _ in file.readings] == [
        (2, 35000101, "Nordlys", 'Phone X 5" wide'),
        (3, 35000202, "Haldane", "HS-2"),
        (4, 35000303, "Oxbow Works", "Plain"),
    ]


def test_columns_stand_in_any_order() -> None:
    names, *lines = [line.split("|") for line in GSMA.splitlines()]
    turned = "\n".join("|".join(reversed(line)) for line in (names, *lines))
    assert rows(turned) == rows(GSMA)
    assert rows(OWN) == rows(
        "Model;;TAC;BRAND\nPhone X;a;35000101;Nordlys\n;b;35000202;Haldane\nPlain;;35000303;\n"
    )


def test_a_form_of_ones_own() -> None:
    assert opened(OWN).format is TacFormat.CSV
    assert rows(OWN) == [
        (2, 35000101, "Nordlys", "Phone X"),
        (3, 35000202, "Haldane", ""),
        (4, 35000303, "", "Plain"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_file_in_every_dialect(delimiter: str, end: str, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("e") else ""
    text = mark + end.join(["tac,brand,model", "35000101,Nordlys,Über"]).replace(",", delimiter)
    assert rows(text.encode(encoding)) == [(2, 35000101, "Nordlys", "Über")]


@pytest.mark.parametrize(
    "cell", ["35000101", " 35000101 ", "35-000101", "35 000101", "350001-01", "350001/01"]
)
def test_a_tac_however_spaced(cell: str) -> None:
    row, findings = one(cell)
    assert row is not None
    assert row.tac == 35000101
    assert not findings


def test_a_leading_zero_stays_and_a_lost_one_comes_back_with_a_warning() -> None:
    assert one("01000303") == ((2, 1000303, "Nordlys", "Phone X"), ())
    row, (warning,) = one("1000303")
    assert row == (2, 1000303, "Nordlys", "Phone X")
    assert (warning.code, warning.rejected, warning.value) == ("tac-zero-restored", False, "1000303")
    assert "read as 01000303" in warning.sentence


@pytest.mark.parametrize(
    ("cell", "code", "words"),
    [
        ("350001", "tac-without-fac", "it would be 8, such as 35000110"),
        ("", "tac-not-digits", "The TAC is empty"),
        ("3.50001E+07", "tac-not-digits", "export the column as text"),
        ("35000101.0", "tac-not-digits", "export the column as text"),
        ("35OOO1O1", "tac-not-digits", "'35OOO1O1' is not a TAC"),
        ("３５００0101", "tac-not-digits", "is not a TAC"),
        ("350001011234567", "tac-length", "the first 8 of the IMEI: 35000101"),
        ("350001011", "tac-length", "has 9 digits; a TAC has 8"),
        ("00000000", "tac-placeholder", "stands for 'none'"),
        ("0000000", "tac-placeholder", "stands for 'none'"),
    ],
)
def test_what_is_no_tac_is_told_what_would_be_one(cell: str, code: str, words: str) -> None:
    row, findings = one(cell)
    assert row is None
    assert (findings[-1].line, findings[-1].code) == (2, code)
    assert words in findings[-1].sentence


def test_an_old_tac_takes_its_fac_from_a_column() -> None:
    text = "tac,fac,brand,model\n350001,01,Nordlys,A\n350001,2,Nordlys,B\n35000103,99,Nordlys,C\n350001,,Nordlys,D\n"
    assert [(row.tac, row.model) for row in rows(text)] == [(35000101, "A"), (35000103, "C")]
    assert coded(text) == [(3, "tac-without-fac"), (5, "tac-without-fac")]


@pytest.mark.parametrize("nothing", ["", " ", "NA", "n/a", "Not Known", "-", "UNKNOWN"])
def test_words_that_say_nothing(nothing: str) -> None:
    text = f"tac,brand,model\n35000101,{nothing},Phone X\n35000202,{nothing},{nothing}\n"
    assert rows(text) == [(2, 35000101, "", "Phone X")]
    assert coded(text) == [(3, "tac-says-nothing")]


def test_bad_lines_cost_themselves_only() -> None:
    text = (
        'tac,brand,model\n35000101,"Nordlys,Phone X\n35000202,Haldane\n\n , ,\n35000303,Hal\x07dane,Slab\n'
        f"35000404,{'a' * 201},Slab\n35000505,Nordlys,{'b' * 70_000}\n35000606,Oxbow,Plain\n"
    )
    assert rows(text) == [(9, 35000606, "Oxbow", "Plain")]
    assert coded(text) == [
        (2, "quotes-wrong"), (3, "cells-miscounted"), (6, "text-control"), (7, "text-too-long"),
        (8, "line-too-long"),
    ]  # fmt: skip


def test_every_flaw_of_a_line_is_told() -> None:
    assert coded("tac,brand,model\n12,Nord\x00lys,Pho\x01ne\n") == [
        (2, "tac-length"), (2, "text-control"), (2, "text-control"),
    ]  # fmt: skip


def test_a_file_that_is_no_utf8_is_read_as_windows_1252() -> None:
    text = OSMOCOM.encode("latin-1")
    assert [row.tac for row in rows(text)] == [35000101, 35000202, 1000303]
    assert "Haldåne" in [row.brand for row in rows(text.replace(b"Haldane", b"Hald\xe5ne"))]


def test_characters_of_no_width_do_not_make_another_brand() -> None:
    assert rows("tac,brand,model\n35000101,Nord\u200blys\ufeff,Phone X\n") == [
        (2, 35000101, "Nordlys", "Phone X")
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "file-empty"),
        (b"\n \n", "file-empty"),
        (b"tac,brand,model\n", "file-empty"),
        (b"35000101,Nordlys,Phone X\n", "header-wrong"),
        (b"tac,colour\n35000101,red\n", "header-wrong"),
        (b"brand,model\nNordlys,Phone X\n", "header-wrong"),
        (b"\n".join([b"title"] * 5) + b"\ntac,brand\n35000101,Nordlys\n", "header-wrong"),
        (b"PK\x03\x04" + bytes(100), "format-unknown"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "format-unknown"),
        (b"\x1f\x8b\x08" + bytes(100), "format-unknown"),
        (b"\x89PNG" + bytes(100), "header-wrong"),
        (b"x" * 70_000, "header-wrong"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_files_that_are_none(text: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        opened(text)
    assert refusal.value.code == code
    assert refusal.value.detail.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data, b"tac,brand,model\n" + data, b"TAC|Brand Name|Marketing Name\n" + data):
        try:
            found = readings(text)
        except Invalid:
            continue
        for row in (row for row, _ in found if row is not None):
            assert 0 < row.tac < 10**8
            assert row.brand or row.model
            assert (row.brand == "") == (folded(row.brand) == "")
            (row.brand + row.model).encode()


class Stream:
    """A file that is never whole in memory."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")

    def seekable(self) -> bool:
        return False


def test_a_large_file_is_read_in_little_memory() -> None:
    piece = b"".join(b"%08d,Brand %d,Model\n" % (35_000_000 + n, n % 9) for n in range(5_000))
    tracemalloc.start()
    file = read(cast(BinaryIO, Stream(chain([b"tac,brand,model\n"], repeat(piece, 20)))))
    assert sum(1 for row, _ in file.readings if row is not None) == 100_000
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_when_two_spellings_are_one_brand() -> None:
    assert folded("OPPO ") == folded(" oppo") == folded("Ｏppo") == "oppo"
    assert folded("Sony  Ericsson") == folded("SONY\u00a0ERICSSON")
    assert folded("Cafe\u0301") == folded("CAFÉ")
    assert folded("Nord") != folded("Nordlys")
