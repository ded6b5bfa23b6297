"""What spreadsheets make of identifiers: repaired where it is certain, and else named for what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stdnum import ean
from stdnum import imei as oracle

from app.core import gs1, imei
from app.devices.intake import Defaults, Finding, Row, at_once, harmless, imeis
from app.devices.intake.rows import Read, Rows

A, B, C, D, E = (imei.full(35_209900_176148 + n) for n in range(5))
# One of reporting body 01 whose next digit is not zero, and one whose next digit is.
OLD, OLDER = imei.full(1_332700_123456), imei.full(1_015420_323751)
GTIN = "09506000134352"
PALLET = "106141412345678908"
KEYS = st.integers(10**12, imei.KEY_LIMIT - 1)
# Those that carry far when they are rounded up.
NINES = st.builds(
    lambda head, places: (head + 1) * 10**places - 1, st.integers(10**8, 10**9), st.integers(1, 4)
)


def reading(*cells: str, serial: str = "", gtin: str = "", pallet: str = "", site: str = "") -> Read:
    return Rows(Defaults()).read(7, cells, serial, (gtin, pallet, site, "", "", "", ""))


def row_of(answer: Read) -> Row:
    row, findings = answer
    assert row is not None, findings
    return row


def only(answer: Read) -> Finding:
    (finding,) = answer[1]
    return finding


def codes(answer: Read) -> list[str]:
    return [finding.code for finding in answer[1]]


def scientific(digits: str, mark: str = ".") -> str:
    return f"{digits[0]}{mark}{digits[1:]}E+{len(digits) - 1}"


def shortened(number: str) -> str:
    """As programs write a number that leave out zeros at its end."""
    mantissa, _, exponent = number.partition("E")
    return f"{mantissa.rstrip('0').rstrip('.')}E{exponent}"


def thousands(digits: str, mark: str) -> str:
    return f"{int(digits):,}".replace(",", mark)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (scientific(A), "scientific"), (scientific(A, ","), "scientific"), (scientific(A).lower(), "scientific"),
        (scientific(A).replace("+", ""), "scientific"), (scientific(f"{A}0")[:-1] + "4", "scientific"),
        (f"{A}.0", "decimals"), (f"{A},00", "decimals"), (f"'{A}.0", "decimals"), (f'="{A}.0"', "decimals"),
        (thousands(A, "."), "thousands"), (thousands(A, ","), "thousands"), (thousands(A, "'"), "thousands"),
        (thousands(A, "’"), "thousands"), (f"{thousands(A, '.')},00", "thousands"),
        (f"{thousands(A, ' ')},0", "thousands"), (f"{thousands(A, chr(0x202F))},0", "thousands"),
    ],
)  # fmt: skip
def test_a_number_with_all_its_digits_is_repaired_and_said(cell: str, says: str) -> None:
    answer = reading(cell)
    assert row_of(answer).keys == [int(A[:14])]
    finding = only(answer)
    assert (finding.line, finding.rejected, finding.code) == (7, False, "imei-repaired")
    assert A in finding.sentence
    assert imei.shown(cell.strip("='\"")) in finding.sentence
    assert says in finding.sentence


@pytest.mark.parametrize(
    "cell",
    [
        f"'{A}", f"’{A}", f'="{A}"', f' ="{A}" ', f"'=\"{A}\"", f'="{A[:6]} {A[6:]}"', f"\u00a0{A}\u00a0",
        f"{A[:8]}\u00a0{A[8:]}", f"{A[:8]}\u202f{A[8:]}", f"\u2007{A}", thousands(A, " "),
        thousands(A, "\u00a0"), thousands(A, "\u202f"), f"'{A}; '{A}",
    ],
)  # fmt: skip
def test_what_only_marks_a_number_as_text_is_no_damage(cell: str) -> None:
    answer = reading(cell)
    assert row_of(answer).keys == [int(A[:14])]
    assert not answer[1]


@pytest.mark.parametrize(
    "cell",
    [
        "3.51234E+14", "3,51234E+14", "3.52E+14", "3E+14", scientific(A[:14]).replace("13", "14"),
        scientific("352099001761480")[:-5] + "E+14", f"{A}00.0", f"{A[0]}.{A[1:]}5E+14",
        scientific("1" * 400),
    ],
)  # fmt: skip
def test_a_number_whose_digits_are_lost_is_rejected_with_the_way_to_export_it(cell: str) -> None:
    finding = only(reading(cell, serial="S1", gtin=GTIN))
    assert (finding.rejected, finding.code) == (True, "imei-not-digits")
    assert "digits of it are lost" in finding.sentence
    assert "format the column as text" in finding.sentence


WRONG = f"{A[:14]}0"


@pytest.mark.parametrize(
    "cell", [f"{WRONG}.0", scientific(A[:14] + "2"), thousands(WRONG, "."), f"1{OLD[2:14]}0.0"]
)
def test_no_number_is_repaired_whose_check_digit_is_wrong(cell: str) -> None:
    finding = only(reading(cell))
    assert (finding.rejected, finding.code) in {(True, "imei-check-digit"), (True, "imei-length")}
    assert "spreadsheet" in finding.sentence
    assert "format the column as text" in finding.sentence


@pytest.mark.parametrize(
    "cell", [OLD[1:], f"'{OLD[1:]}", f"{OLD[1:]}.0", scientific(OLD[1:]), f"{A};{OLD[1:]}"]
)
def test_a_leading_zero_that_was_dropped_is_put_back_and_said(cell: str) -> None:
    answer = reading(cell)
    assert int(OLD[:14]) in row_of(answer).keys
    finding = only(answer)
    assert (finding.rejected, finding.code) == (False, "imei-repaired")
    assert f"IMEI {OLD}" in finding.sentence
    assert "leading zero" in finding.sentence


def test_no_zero_is_put_before_what_may_be_an_imei_of_body_10_that_lacks_its_check_digit() -> None:
    # Elsewhere a check digit that may be missing is no second repair: any 14 digits can be completed.
    for cell in (OLDER[1:], f"{OLDER[1:]}.0"):
        finding = only(reading(cell))
        assert (finding.rejected, finding.code) == (True, "imei-length")
        assert OLDER in finding.sentence
        assert "check digit at its end is missing" in finding.sentence


@pytest.mark.parametrize(
    "digits", [A[:14], OLD[1:14] + str((int(OLD[14]) + 1) % 10), imei.full(3_520990_017614)[1:]]
)
def test_no_zero_is_put_before_other_14_digits(digits: str) -> None:
    assert only(reading(digits)).code == "imei-length"


def test_all_that_is_damaged_in_a_row_is_said_at_once() -> None:
    found = reading(f"{A}.0", "3.51234E+14", OLD[1:], gtin="9.50600013435E+12", serial="1.23457E+11")[1]
    assert [finding.code for finding in found] == [
        "imei-repaired", "imei-not-digits", "imei-repaired", "serial-rounded", "gtin-malformed",
    ]  # fmt: skip
    assert reading(f"{A}.0", B, C, D, scientific(E))[1][-1].code == "too-many-imeis"


@pytest.mark.parametrize(
    "cell", ["9506000134352.0", "9506000134352,00", scientific(GTIN[1:]), "9.506.000.134.352"]
)
def test_a_gtin_with_all_its_digits_is_repaired_and_said(cell: str) -> None:
    answer = reading(A, gtin=cell)
    assert row_of(answer).shared.gtin == GTIN
    assert (only(answer).code, only(answer).rejected) == ("gtin-repaired", False)
    assert GTIN in only(answer).sentence


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("gtin", "9.50600013435E+12"), ("gtin", "9.506E+12"), ("gtin", "9506000134350.0"),
        ("pallet", "1.06141412345679E+17"), ("pallet", f"{PALLET}.0"), ("pallet", thousands(PALLET, ".")),
    ],
)  # fmt: skip
def test_a_gs1_key_that_cannot_be_repaired_is_rejected_for_what_it_is(field: str, cell: str) -> None:
    finding = only(reading(A, **{field: cell}))
    assert (finding.rejected, finding.code) == (True, f"{field}-malformed")
    assert "a spreadsheet has written" in finding.sentence
    assert "format the column as text" in finding.sentence


@pytest.mark.parametrize("cell", ["9.50600013439E+12", "9.50600013439E12", "9,506000134390E+12"])
def test_a_gtin_is_repaired_although_its_last_zero_is_not_written(cell: str) -> None:
    assert row_of(reading(A, gtin=cell)).shared.gtin == "09506000134390"
    assert only(reading(A, gtin=cell)).code == "gtin-repaired"


def test_a_pallet_with_all_its_digits_is_repaired_unless_a_float_may_have_rounded_it() -> None:
    answer = reading(A, pallet=scientific(PALLET))
    assert (row_of(answer).shared.pallet, only(answer).code) == (PALLET, "pallet-repaired")
    for body in ("10614141234567881", "10614141234567883"):
        digits = f"{body}{gs1.check_digit(body)}"
        assert digits[-1] == "0" or int(float(digits)) == int(digits)
        assert only(reading(A, pallet=scientific(digits))).code == "pallet-malformed"


def test_an_imeisv_in_scientific_notation_is_called_one() -> None:
    assert "that is an IMEISV" in only(reading(scientific(f"{A[:14]}12"))).sentence


@pytest.mark.parametrize("mark", ["'{}", '="{}"', "{}\u00a0", '\'="{}"'])
def test_what_only_marks_a_text_is_read_past(mark: str) -> None:
    answer = reading(A, serial=mark.format("00012"), gtin=mark.format(GTIN), pallet=mark.format(PALLET))
    row = row_of(answer)
    assert (row.serial, row.shared.gtin, row.shared.pallet) == ("00012", GTIN, PALLET)
    assert not answer[1]


@pytest.mark.parametrize(
    ("cell", "site"), [('="PAR1"', "PAR1"), ("'=PAR1", "=PAR1"), ("'-1", "-1"), ("'s-Hertogenbosch",) * 2]
)
def test_an_apostrophe_of_a_name_stays(cell: str, site: str) -> None:
    assert row_of(reading(A, site=cell)).shared.site == site


FIELDS = ["imeis", "serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency"]
CLEAN = [A, "S1", GTIN, PALLET, "PAR1", "ACME", "Phone X", "499.90", "EUR"]
MARKS = st.text("'’=+-@\uff1d\uff0b\uff0d\uff20\t\r\n \u00a0\"A1,;|", max_size=4) | st.text(max_size=2)
MARKED = st.builds(
    "{}{}{}".format, MARKS, st.sampled_from([*CLEAN, f"{A}; {B}", f"{A[:6]} {A[6:]}", f'="{A}"', ""]), MARKS
)


@pytest.mark.parametrize("field", FIELDS)
@given(cell=MARKED)
@example("\t")
@example("\n'X")
@example("\t'=X")
@example(f"\t{A}")
@example("X;=1+1")
@example("X;'=1")
@example('\t"=X')
def test_a_cell_that_was_made_harmless_is_read_as_it_came(field: str, cell: str) -> None:
    def read(cell: str) -> tuple[Row | None, list[str]]:
        cells = [cell if name == field else clean for name, clean in zip(FIELDS, CLEAN, strict=True)]
        row, found = Rows(Defaults(currency="USD")).read(7, cells[:1], cells[1], (*cells[2:],))  # type: ignore[arg-type]
        return row, [finding.code for finding in found]

    assert not harmless(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert read(harmless(cell)) == read(cell)


@pytest.mark.parametrize("cell", ["x;=1+1", ";+1+1", "a,@SUM(1)", 'a; "-1+1"', "a|＝1+1", "a\n=1", "a\t－1"])
def test_no_part_of_a_cell_is_a_formula_to_who_separates_otherwise(cell: str) -> None:
    parts = [part.lstrip('" ') for part in re.split("[,;|\t\r\n]", harmless(cell))]
    assert not any(part.startswith(tuple("=+-@＝＋－＠")) for part in parts)


@pytest.mark.parametrize("cell", ["12,-", "1.299,-", "Rose; -", "A-1,B+2", "'s-Hertogenbosch; a'-b"])
def test_what_is_no_formula_is_given_out_as_it_is(cell: str) -> None:
    assert harmless(cell) == cell


@pytest.mark.parametrize("mark", ["\t", "\n", "\r"])
def test_a_blank_that_was_made_harmless_says_nothing(mark: str) -> None:
    assert codes(reading("", serial="S1", gtin=harmless(mark))) == ["not-identified"]


@pytest.mark.parametrize(
    "cell", ["1.23457E+11", "1,23E+08", "1.23456789012E+11", "1.23456789012E11", "'1.2E+09", "1E+09"]
)
def test_a_serial_in_scientific_notation_is_rejected_as_nothing_confirms_it(cell: str) -> None:
    finding = only(reading(A, serial=cell))
    assert (finding.rejected, finding.code) == (True, "serial-rounded")
    assert "nothing confirms" in finding.sentence


def test_a_serial_with_decimals_is_kept_and_said() -> None:
    answer = reading(A, serial="123456789.0")
    assert row_of(answer).serial == "123456789.0"
    assert only(answer).code == "serial-decimals"


@pytest.mark.parametrize("serial", ["3E14", "12E5", "1.5", "12.345.678", "1234567.00", "C02-1.0"])
def test_a_serial_that_only_looks_odd_is_a_serial(serial: str) -> None:
    answer = reading(A, serial=serial)
    assert row_of(answer).serial == serial
    assert not answer[1]


@given(st.from_regex(r"[0-9]{12,17}", fullmatch=True) | KEYS.map(imei.full))
@example(OLD[1:])
@example("000000000000000")
def test_digits_are_taken_exactly_when_the_oracle_takes_them(digits: str) -> None:
    row, _ = reading(digits)
    dropped = len(digits) == 14 and "11" <= digits[:2] <= "19" and oracle.is_valid(f"0{digits}")
    right = len(digits) == 15 and oracle.is_valid(digits) and int(digits) > 0
    assert (row is not None) == (right or dropped)
    if row:
        assert row.keys == [int(digits[:14]) if right else int(digits[:13])]


@given(KEYS, st.sampled_from(["{}.0", "{},000", "'{}", '="{}"', " {} ", "{}\u00a0"]))
def test_every_imei_is_what_it_was_before_the_spreadsheet(key: int, mark: str) -> None:
    digits = imei.full(key)
    assert row_of(reading(mark.format(digits))).keys == [key]
    assert row_of(reading(scientific(digits))).keys == [key]
    assert row_of(reading(thousands(digits, ","))).keys == [key] if key >= 10**13 else True


@given(KEYS | NINES, st.integers(1, 15), st.booleans())
@example(35_209900_005499, 13, False)
def test_no_rounded_imei_is_ever_taken_for_another(key: int, decimals: int, short: bool) -> None:
    rounded = f"{int(imei.full(key)):.{decimals}E}"
    row, _ = reading(shortened(rounded) if short else rounded)
    assert row is None or row.keys == [key]


@given(st.integers(10**10, 10**13 - 1) | NINES, st.integers(1, 13), st.booleans())
@example(950600_010499, 11, False)
def test_no_rounded_gtin_is_ever_taken_for_another(body: int, decimals: int, short: bool) -> None:
    digits = f"{body}{gs1.check_digit(str(body))}"
    rounded = f"{int(digits):.{decimals}E}"
    row, _ = reading(A, gtin=shortened(rounded) if short else rounded)
    assert row is None or row.shared.gtin in ("", digits.zfill(14))


@given(st.integers(10**16, 10**17 - 1), st.integers(14, 17), st.booleans())
def test_no_pallet_that_a_float_has_rounded_is_taken_for_another(
    body: int, decimals: int, short: bool
) -> None:
    digits = f"{body}{gs1.check_digit(str(body))}"
    rounded = f"{float(digits):.{decimals}E}"
    row, _ = reading(A, pallet=shortened(rounded) if short else rounded)
    assert row is None or row.shared.pallet == digits


def _ending_in_zero(head: int) -> int:
    """The key that begins like this and has the check digit 0."""
    return next(key for key in range(10 * head, 10 * head + 10) if imei.check_digit(key) == 0)


@given(st.integers(10**11, 10**13 - 1).map(_ending_in_zero).filter(lambda key: key % 10 > 0))
def test_a_zero_at_the_end_may_go_unwritten(key: int) -> None:
    digits = imei.full(key)
    for text in (shortened(scientific(digits)), shortened(scientific(digits)).replace("+", "")):
        assert row_of(reading(text)).keys == [key]
        assert codes(reading(text))[0] == "imei-repaired"


@given(st.integers(10**6, 10**14 - 1).filter(lambda number: len(str(number)) in (8, 12, 13, 14)))
def test_check_digits_of_gtins_are_the_oracles(number: int) -> None:
    codes = [finding.code for finding in reading(A, gtin=str(number))[1]]
    assert codes == ([] if ean.is_valid(str(number)) else ["gtin-check-digit"])


@given(st.integers(10**17, 10**18 - 1))
def test_check_digits_of_pallets_are_the_oracles(number: int) -> None:
    codes = [finding.code for finding in reading(A, pallet=str(number))[1]]
    rounded = number % 1000 == 0
    if ean.calc_check_digit(str(number)[:-1]) == str(number)[-1]:
        assert codes == ["pallet-rounded"] * rounded
    else:
        assert codes == ["pallet-malformed" if rounded else "pallet-check-digit"]
    repaired = f"{number // 10}{gs1.check_digit(str(number // 10))}"
    assert repaired.endswith("000") or not reading(A, pallet=repaired)[1]


ROUND = imei.full(35_123456_000000)
CELLS = st.sampled_from(
    [
        A,
        B,
        C,
        OLD,
        "",
        "",
        WRONG,
        f" {A}",
        "x",
        imei.full(77 * 10**12),
        "0" * 15,
        "３" * 15,
        f"{A[:14]}１",
        ROUND,
    ]
)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=9), st.integers(1, 3))
def test_many_rows_at_once_say_what_each_row_says(rows: list[tuple[str, ...]], width: int) -> None:
    columns = [[row[place] for row in rows] for place in range(width)]
    for row, keys in zip(rows, at_once.keys(columns), strict=True):
        assert keys is None or keys == imeis.flawless(row[:width])


@given(st.lists(st.lists(KEYS | st.none(), min_size=2, max_size=5), min_size=1, max_size=9))
def test_many_rows_at_once_leave_no_plain_row_open(rows: Sequence[Sequence[int | None]]) -> None:
    width = min(map(len, rows))
    plain = [[imei.full(key % 10**12 + 35 * 10**12) if key else "" for key in row[:width]] for row in rows]
    plain = [["" if int(cell or 0) // 10 % 10**6 == 0 else cell for cell in row] for row in plain]
    columns = list(zip(*plain, strict=True))
    for row, keys in zip(plain, at_once.keys(columns), strict=True):
        assert keys == imeis.flawless(row)
