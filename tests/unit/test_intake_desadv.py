"""Dispatch advices as distributors send them: packages, items, serials in lists, ranges and sets."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import imei
from app.core.errors import Invalid
from app.devices.intake import Defaults, Finding, Format, Reading, Row, desadv, read

KEY = 35_209900_176148
A, B, C, D, E = (imei.full(KEY + n) for n in range(5))
# The check digits of A and B, changed.
WRONG, WORSE = (f"{number[:14]}{(int(number[14]) + 1) % 10}" for number in (A, B))
OTHER_TAC = imei.full(86_123456_000000)
GTIN, OTHER_GTIN = "9506000134352", "9506000134369"
PALLET, CARTON, SECOND = "395060001000000013", "395060001000000020", "395060001000000037"
GLN = "9506000111117"
HEAD = "UNB+UNOC:3+9506000122223:14+9506000111117:14+260302:0615+26030200417"
LINE = f"LIN+1++{GTIN}:SRV"


class Stream:
    """A file that is never whole in memory."""

    seekable = staticmethod(bool)

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def message(*segments: str, kind: str = "DESADV:D:96A:UN:EAN005", reference: str = "1") -> list[str]:
    return [f"UNH+{reference}+{kind}", *segments, f"UNT+{len(segments) + 2}+{reference}"]


def interchange(*messages: list[str], head: str = HEAD) -> bytes:
    segments = [head, *chain.from_iterable(messages), f"UNZ+{len(messages)}+26030200417"]
    return "".join(f"{segment}'\r\n" for segment in segments).encode("utf-8" if "UNOY" in head else "latin-1")


def advice(*segments: str) -> bytes:
    """An interchange of one message, of which these are the segments from 3 on."""
    return interchange(message(*segments))


def readings(source: bytes | Stream, defaults: Defaults | None = None) -> Iterator[Reading]:
    file = io.BytesIO(source) if isinstance(source, bytes) else cast(BinaryIO, source)
    for row, findings, cells in read(file, Format.DESADV, defaults or Defaults()).readings:
        assert row is not None or findings
        assert row is None or not any(finding.rejected for finding in findings)
        assert len(cells) == (9 if row or any(finding.rejected for finding in findings) else 0)
        yield row, findings, cells


def rows(source: bytes, defaults: Defaults | None = None) -> list[Row]:
    return [row for row, _, _ in readings(source, defaults) if row is not None]


def names(source: bytes) -> list[tuple[list[str], str]]:
    return [([imei.full(key) for key in row.keys], row.serial) for row in rows(source)]


def findings(source: bytes) -> list[Finding]:
    return [finding for _, found, _ in readings(source) for finding in found]


def coded(source: bytes) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in findings(source)]


def refusal(source: bytes) -> Invalid:
    with pytest.raises(Invalid) as error:
        list(readings(source))
    return error.value


WHOLE = [
    "BGM+351::9+LS2603-0417+9", "DTM+137:20260302:102", "DTM+17:202603030600:203", "RFF+ON:4500123456",
    "NAD+SU+9506000122223::9", "NAD+BY+9506000133334::9", f"NAD+DP+{GLN}::9++Entrepôt Nord", "CUX+2:EUR:11",
    "CPS+1", "PAC+1++201::9", "PCI+33E", f"GIN+BJ+{PALLET}",
    "CPS+2+1", "PAC+2++CT", "PCI+33E", f"GIN+BJ+{CARTON}",
    f"LIN+1++{GTIN}:SRV", "PIA+1+PX12-128-BK:SA", "IMD+F++:::Phone X 128 GB:black", "QTY+12:3:PCE",
    f"GIN+BN+{A}+{B}", "MOA+146:499.5", "RFF+ON:4500123456:10", f"GIN+BN+{C}",
    "CPS+3+1",
    f"LIN+2++{OTHER_GTIN}:EN", "IMD+F+ANM+:::Laptop 14", "QTY+12:2", "PRI+AAA:1899:::100", "GIN+BN+LT00098:LT00099",
    "CNT+2:2",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["DESADV:D:96A:UN:EAN005", "DESADV:D:01B:UN:EAN007"])
def test_a_whole_advice(kind: str) -> None:
    source = interchange(message(*WHOLE, kind=kind))
    found = rows(source)
    assert findings(source) == []
    assert [(row.line, row.keys, row.serial) for row in found] == [
        (23, [KEY], ""), (23, [KEY + 1], ""), (26, [KEY + 2], ""), (32, [], "LT00098"), (32, [], "LT00099"),
    ]  # fmt: skip
    phone, laptop = found[0].shared, found[-1].shared
    assert found[2].shared == phone
    assert phone[:5] == (f"0{GTIN}", PALLET, GLN, "", "Phone X 128 GB black")
    assert laptop[:5] == (f"0{OTHER_GTIN}", PALLET, GLN, "", "Laptop 14")
    assert [(str(it.unit_value), it.currency) for it in (phone, laptop)] == [
        ("499.50", "EUR"),
        ("18.99", "EUR"),
    ]


def test_the_submission_goes_before_the_delivery_party() -> None:
    source = advice(f"NAD+DP+{GLN}::9", "CPS+1", LINE, f"GIN+BN+{A}")
    (row,) = rows(source, Defaults(site="PAR1", owner="ACME"))
    assert (row.shared.site, row.shared.owner) == ("PAR1", "ACME")


@pytest.mark.parametrize(
    "party", ["NAD+DP+12345::91", "NAD+DP+9506000111117::92", f"NAD+BY+{GLN}::9", "NAD+DP"]
)
def test_only_a_gln_of_the_delivery_party_is_a_site(party: str) -> None:
    (row,) = rows(advice(party, "CPS+1", LINE, f"GIN+BN+{A}"))
    assert (row.shared.site, row.shared.owner) == ("", "")


@pytest.mark.parametrize(
    ("item", "gtin"),
    [
        (["LIN+1++9506000134352:UP"], GTIN), (["LIN+1", f"PIA+5+ART7:SA+{GTIN}:EN"], GTIN),
        (["LIN+1++ART7:SA", f"PIA+1+{GTIN}:EN"], ""), ([LINE, f"PIA+5+{OTHER_GTIN}:SRV"], GTIN),
    ],
)  # fmt: skip
def test_where_the_gtin_stands(item: list[str], gtin: str) -> None:
    (row,) = rows(advice("CPS+1", *item, f"GIN+BN+{A}"))
    assert row.shared.gtin == gtin.zfill(14) * bool(gtin)


@pytest.mark.parametrize(
    ("segments", "model"),
    [
        (["IMD+C++CU::9", "IMD+F++:::Phone X"], "Phone X"), (["IMD+F+35+:::black", "IMD+A+DSC+:::Phone"], "Phone"),
        (["IMD+F++:::" + "Smartphone with a very large displ" + "a:y 6.7"], "Smartphone with a very large display 6.7"),
    ],
)  # fmt: skip
def test_the_model_is_the_free_description(segments: list[str], model: str) -> None:
    (row,) = rows(advice("CPS+1", LINE, *segments, f"GIN+BN+{A}"))
    assert row.shared.model == model


@pytest.mark.parametrize(
    ("segments", "value"),
    [
        (["PRI+AAA:499,5"], "499.50 EUR"), (["PRI+AAB:599", "PRI+AAA:499"], "499.00 EUR"),
        (["MOA+203:998", "MOA+146:1.234:USD"], "1.23 USD"), (["MOA+146:5:USD", "PRI+INV:499"], "499.00 EUR"),
        (["PRI+AAA:49900:::100:PCE"], "499.00 EUR"), (["PRI+ABM:7"], "None "),
    ],
)  # fmt: skip
def test_what_a_device_is_worth(segments: list[str], value: str) -> None:
    (row,) = rows(advice("CUX+2:EUR", "CPS+1", LINE, f"GIN+BN+{A}", *segments))
    assert f"{row.shared.unit_value} {row.shared.currency}" == value


@pytest.mark.parametrize("price", ["PRI+AAA:4x9", "PRI+AAA:-5", "PRI+AAA:499:::x", "PRI+AAA:499:::0"])
def test_a_price_that_is_none_is_left_open(price: str) -> None:
    source = advice("CUX+2:EUR", "CPS+1", LINE, price, f"GIN+BN+{A}")
    assert coded(source) == [(7, "unit-value-malformed")]
    assert rows(source)[0].shared.unit_value is None


@pytest.mark.parametrize(
    ("segment", "named"),
    [
        (f"GIN+BN+{A}++{C}:{C}", [([A], ""), ([C], "")]),
        (f"GIN+BN+{A}:{C}", [([A], ""), ([B], ""), ([C], "")]),
        ("GIN+BN+R5-098:R5-101+R6", [([], "R5-098"), ([], "R5-099"), ([], "R5-100"), ([], "R5-101"), ([], "R6")]),
        (f"GIN+EI+{A}+{B}", [([A], ""), ([B], "")]),
        (f"GIR+1+F2LX7:BN+{B}:EI+{A}:BN", [([A, B], "F2LX7")]),
        (f"GIR+3+{A}:BN+{B}:BN+{C}:EI+{D}", [([A, B, C, D], "")]),
        ("GIR+3+00340123:ML+5900:AW", []), (f"GIR+2+{A}:BN", []), ("GIN+BX+L0815", []),
    ],
)  # fmt: skip
def test_how_devices_are_named(segment: str, named: list[tuple[list[str], str]]) -> None:
    source = advice("CPS+1", LINE, segment, LINE, f"GIN+BN+{E}")
    assert names(source) == [*named, ([E], "")]
    assert findings(source) == []


def test_a_set_says_more_of_a_serial_that_was_listed() -> None:
    sets = (f"GIR+1+F1:BN+{A}:EI+{B}:EI", f"GIR+1+F2:BN+{C}:EI+{D}:EI")
    source = advice("CPS+1", LINE, "QTY+12:4", f"GIN+BN+F1:F3+{E}", *sets)
    assert names(source) == [([], "F3"), ([E], ""), ([A, B], "F1"), ([C, D], "F2")]
    assert findings(source) == []


def test_an_imei_may_stand_in_a_package_without_an_item() -> None:
    source = advice("CPS+1", "PCI+33E", f"GIN+BJ+{PALLET}", f"GIN+BN+{A}+F1")
    assert [(row.keys, row.shared.pallet) for row in rows(source)] == [([KEY], PALLET)]
    assert coded(source) == [(6, "not-identified")]


@pytest.mark.parametrize(
    ("segment", "code", "says"),
    [
        (f"GIN+BN+{C}:{A}", "range-wrong", "the first comes after the last"),
        (f"GIN+BN+{A}:{OTHER_TAC}", "range-wrong", "GIR set"),
        (f"GIN+BN+{WRONG}:{WORSE}", "range-wrong", "right check digit"),
        (f"GIN+BN+{A}:F1", "range-wrong", "alike"),
        ("GIN+BN+F9:F10", "range-wrong", "as long"), ("GIN+BN+F1:G2", "range-wrong", "alike"),
        ("GIN+BN+F9:F8", "range-wrong", "after"), ("GIN+BN+FA:FB", "range-wrong", "digits at their end"),
        ("GIN+BN+F00000:F10000", "range-too-long", "10,001 devices"),
        (f"GIN+BN+{imei.full(KEY - KEY % 10**6)}:{imei.full(KEY)}", "range-too-long", "in parts"),
        ("GIN+EI+35209900:35209901", "range-wrong", "15 digits"), ("GIN+EI+35209900", "imei-length", "8 digits"),
        ("GIR+1+F1:BN+F2:BN", "too-many-serials", "one serial"),
        (f"GIR+1+{A}:EI+{B}:EI+{C}:EI+{D}:EI+{E}:EI", "too-many-imeis", "at most 4"),
        ("GIN+BN+F?'\t1", "text-control", "U+0009"),
    ],
)  # fmt: skip
def test_what_names_no_device(segment: str, code: str, says: str) -> None:
    source = advice("CPS+1", LINE, segment, f"GIN+BN+{imei.full(KEY + 9)}")
    (finding,) = findings(source)
    assert (finding.line, finding.code, finding.rejected) == (5, code, True)
    assert says in finding.sentence
    assert len(rows(source)) == 1


@pytest.mark.parametrize("segment", [f"GIN+BN+{WRONG}", f"GIR+1+{WRONG}:BN", f"GIN+EI+{WRONG}"])
def test_fifteen_digits_that_fail_luhn_are_a_wrong_imei(segment: str) -> None:
    ((row, (finding,), cells),) = readings(advice("CPS+1", LINE, segment))
    assert (row, cells[:2]) == (None, [WRONG, ""])
    assert (finding.line, finding.code) == (5, "imei-check-digit")
    assert finding.sentence.startswith(f"Segment 5, IMEI {WRONG}: IMEI {WRONG} fails the Luhn check")
    assert f"would be {A[14]}" in finding.sentence


def test_fifteen_digits_that_fail_luhn_beside_an_imei_are_a_serial_and_said_to_be() -> None:
    source = advice("CPS+1", LINE, f"GIR+1+{WRONG}:BN+{B}:EI")
    assert coded(source) == [(5, "serial-or-imei")]
    assert names(source) == [([B], WRONG)]


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        (["QTY+12:2", f"GIN+BN+{A}"], "quantity-differs"), (["QTY+12:0", f"GIN+BN+{A}"], "quantity-differs"),
        (["QTY+12:2", LINE, f"GIN+BN+{A}"], "quantity-without-serials"),
        (["QTY+12:2", "GIN+BX+L1", LINE, f"GIN+BN+{A}"], "quantity-without-serials"),
        (["QTY+12:1", f"GIN+BN+{A}:{B}"], "quantity-differs"),
    ],
)  # fmt: skip
def test_quantity_and_serials_that_differ(segments: list[str], code: str) -> None:
    source = advice("BGM+351+LS7+9", "CPS+1", LINE, *segments, f"LIN+2++{OTHER_GTIN}:EN")
    (finding,) = findings(source)
    assert (finding.line, finding.code, finding.rejected) == (5, code, False)
    assert "dispatch advice LS7, " in finding.sentence


@pytest.mark.parametrize(
    "segments",
    [
        ["QTY+12:2.000:PCE", f"GIN+BN+{A}+{B}"], ["QTY+12:1", "QTY+59:2", f"GIN+BN+{A}+{B}"],
        ["QTY+21:5", "GIN+BN+F1"], ["QTY+12:10000", "GIN+BN+F00001:F10000"],
        ["QTY+12:3", f"GIR+1+{A}:BN+{B}:BN", f"GIN+BN+{C}+{D}"],
    ],
)  # fmt: skip
def test_quantity_and_serials_that_agree(segments: list[str]) -> None:
    assert findings(advice("CPS+1", LINE, *segments)) == []


def test_all_messages_are_read_and_none_inherits() -> None:
    first = message("CUX+2:EUR", f"NAD+DP+{GLN}::9", "CPS+1", f"GIN+BJ+{PALLET}", LINE, f"GIN+BN+{A}")
    second = message("CPS+2+1", LINE, f"GIN+BN+{B}", kind="DESADV:D:01B:UN:EAN007", reference="2")
    one, two = rows(interchange(first, second))
    assert (one.line, one.shared.pallet, one.shared.site) == (8, PALLET, GLN)
    assert (two.line, two.shared.pallet, two.shared.site) == (13, "", "")


@pytest.mark.parametrize("kind", ["ORDERS", "INVOIC", "RECADV", ""])
def test_another_message_is_refused_by_name(kind: str) -> None:
    error = refusal(interchange(message(*WHOLE), message("BGM+220+1+9", kind=f"{kind}:D:96A:UN")))
    assert (error.code, f"'{kind}'" in error.detail) == ("desadv-expected", True)


def test_what_refuses_the_whole_file() -> None:
    whole = interchange(message(*WHOLE))
    assert refusal(whole.replace(b"UNT+33", b"UNT+32")).code == "edifact-counts"
    assert refusal(whole.replace(b"UNZ+1", b"UNZ+2")).code == "edifact-counts"
    assert refusal(advice("BGM+351+LS7+1", "CPS+1", LINE, f"GIN+BN+{A}")).code == "desadv-cancelled"
    assert "segment 3 (gin)" in refusal(advice(f"GIN+BN+{A}", "CPS+1")).detail.lower()


@pytest.mark.parametrize("segments", [[], ["QTY+12:2"], ["QTY+12:2", "GIN+BX+L1"]])
def test_an_advice_that_names_no_device_is_refused(segments: list[str]) -> None:
    error = refusal(advice("CPS+1", LINE, *segments))
    assert (error.code, "GIN (BN, EI) or GIR" in error.detail) == ("file-empty", True)


def test_characters_that_the_set_does_not_have_cost_their_devices() -> None:
    source = interchange(message("CPS+1", LINE, "IMD+F++:::Téléphone", f"GIN+BN+{A}"))
    assert rows(source)[0].shared.model == "Téléphone"
    (finding,) = findings(source.replace(b"UNOC", b"UNOA"))
    assert (finding.line, finding.code, "UNOC or UNOY" in finding.sentence) == (6, "text-encoding", True)


def test_a_file_names_a_million_devices_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desadv, "MOST_DEVICES", 25_000)
    ranges = (f"GIN+BN+F{n:03}0000:F{n:03}9999" for n in range(3))
    error = refusal(advice("CPS+1", LINE, *ranges))
    assert (error.code, "25,000" in error.detail) == ("desadv-too-many", True)


def long(count: int, between: bytes = b"") -> Iterator[bytes]:
    """A message of one item with that many segments of five IMEIs, a hundred at a time."""
    yield interchange(message("CPS+1", f"GIN+BJ+{PALLET}", LINE)).partition(b"UNT")[0]
    for start in range(0, 5 * count, 500):
        numbers = [imei.full(key) for key in range(KEY + start, KEY + start + 500)]
        lists = ("+".join(numbers[place : place + 5]) for place in range(0, 500, 5))
        yield b"".join(b"GIN+BN+" + some.encode() + b"'" + between for some in lists)
    yield b"UNT+%d+1'UNZ+1+26030200417'" % (count * (2 if between else 1) + 5)


def test_200_000_serials_of_one_item_are_read_as_a_stream() -> None:
    before, most, count = sys.getallocatedblocks(), 0, 0
    source = cast(BinaryIO, Stream(long(40_000, b"QTY+12:x'")))
    for count, _ in enumerate(read(source, Format.DESADV, Defaults()).readings, 1):
        if count % 1_000 == 0:
            most = max(most, sys.getallocatedblocks() - before)
    assert count > 200_000
    assert most < 150_000


def test_an_amount_after_very_many_serials_is_said_to_be_late() -> None:
    start, *lists, end = long(4_000)
    source = b"".join([start, *lists, b"CUX+1'MOA+146:5:EUR'", end.replace(b"UNT+4005", b"UNT+4007")])
    assert coded(source) == [(4007, "after-serials")]
    assert {row.shared.currency for row in rows(source)} == {"", "EUR"}


SEGMENTS = st.lists(
    st.sampled_from([*WHOLE, f"GIR+1+F1:BN+{A}:EI", f"GIN+BN+{A}:{C}", "GIN+BN+F1:F300", "GIN", "LIN", "CPS"])
    | st.text("GINBLR+:?'0123456789", max_size=12).map(lambda text: f"GIN+BN+{text.replace(chr(39), '')}x"),
    max_size=20,
)  # fmt: skip


@given(SEGMENTS)
def test_any_order_of_segments_is_read_or_refused(segments: list[str]) -> None:
    try:
        list(readings(advice(*segments)))
    except Invalid:
        return


@settings(deadline=2000)
@given(st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_end_in_a_refusal_or_in_findings(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(interchange(message(*WHOLE), message(*WHOLE)))
    for place, byte in flips:
        damaged[place % len(damaged)] = byte
    began = time.monotonic()
    try:
        for row, found, _ in readings(bytes(damaged)):
            assert row is not None or found
    except Invalid:
        pass
    assert time.monotonic() - began < 1


@given(st.binary(max_size=200), st.sampled_from([b"", b"UNA", b"UNB+", b"UNA:+.? '", interchange()[:-40]]))
def test_arbitrary_bytes_raise_nothing_but_invalid(source: bytes, start: bytes) -> None:
    try:
        list(readings(start + source))
    except Invalid:
        return


def test_each_of_the_thousands_that_a_segment_names_is_given_back_by_itself() -> None:
    ranges = "+".join(f"A{number:04d}0000:A{number:04d}0999" for number in range(50))
    found = list(readings(advice("CPS+1", LINE, f"GIN+BN+{ranges}")))
    assert len(found) == 50_000
    assert found[-1][2][:3] == ["", "A00490999", GTIN]
