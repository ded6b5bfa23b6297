"""IMEIs in every form, with python-stdnum as the second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import imei as oracle
from stdnum import luhn

from app.core import imei

KEYS = st.integers(1, imei.KEY_LIMIT - 1).filter(lambda key: not imei.is_for_tests(key))


@pytest.mark.parametrize(
    ("key", "digit"),
    [(49015420323751, 8), (26053179311383, 7), (86916102991292, 0), (0, 0), (1015420323751, 9)],
)
def test_check_digit_of_known_imeis(key: int, digit: int) -> None:
    assert imei.check_digit(key) == digit


@given(KEYS)
def test_check_digit_is_the_oracles(key: int) -> None:
    assert str(imei.check_digit(key)) == luhn.calc_check_digit(f"{key:014d}")


@given(KEYS)
def test_what_is_written_in_full_is_read_again(key: int) -> None:
    assert oracle.is_valid(imei.full(key))
    assert imei.written(imei.full(key)) == key


@given(st.integers(imei.TEST_TAC * 10**6, imei.TEST_TAC * 10**6 + 999_999))
def test_one_for_tests_can_be_spelled_and_is_no_devices(key: int) -> None:
    number = imei.full(key)
    assert imei.spelled(number) == imei.asked(number) == key
    for read in (imei.written, imei.recognised):
        with pytest.raises(imei.BadImei, match=f"{number} is for tests") as error:
            read(number)
        assert error.value.code == "imei-test"


@pytest.mark.parametrize("key", [imei.TEST_TAC * 10**6 - 1, imei.TEST_TAC * 10**6 + 10**6])
def test_its_neighbours_are_as_any_other(key: int) -> None:
    assert imei.written(imei.full(key)) == key


@given(st.from_regex(r"[0-9]{15}", fullmatch=True).filter(lambda digits: int(digits) > 9))
def test_fifteen_digits_are_taken_exactly_when_the_oracle_takes_them(digits: str) -> None:
    try:
        answer = str(imei.written(digits))
    except imei.BadImei as error:
        answer = error.code
    assert answer == (str(int(digits[:14])) if oracle.is_valid(digits) else "imei-check-digit")


@given(KEYS, st.integers(1, 9))
def test_a_wrong_check_digit_is_answered_with_the_right_one(key: int, off: int) -> None:
    right = imei.check_digit(key)
    with pytest.raises(imei.BadImei, match=f"would be {right}") as error:
        imei.written(f"{key:014d}{(right + off) % 10}")
    assert error.value.code == "imei-check-digit"


@pytest.mark.parametrize(
    "value",
    [
        "490154203237518",
        " 490154203237518\t",
        "49-015420-323751-8",
        "490154 203237 518",
        "490154\u00a0203237518",
        "urn:gsma:imei:49015420-323751-0",
        "urn:gsma:imei:49015420-323751-8",
        "URN:GSMA:IMEI:49015420-323751-0",
        "urn:gsma:imei:490154203237510",
        "urn:gsma:imei:49015420-323751-0;svn=42",
        "urn:gsma:imei:49015420-323751-0;vers=0",
        "urn:gsma:imei:49015420-323751-0;svn=42;vers=0",
    ],
)
def test_forms_that_people_write(value: str) -> None:
    assert imei.written(value) == 49015420323751


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        ("", "imei-empty", "15 digits"),
        (" - ", "imei-empty", "15 digits"),
        ("490154203237510", "imei-check-digit", "would be 8"),
        ("urn:gsma:imei:49015420-323751-3", "imei-check-digit", "would be 8"),
        ("4.90154E+14", "imei-not-digits", "spreadsheet"),
        ("4,90154E+14", "imei-not-digits", "spreadsheet"),
        ("490154203237518.0", "imei-not-digits", "added decimals"),
        ("490154203237518,00", "imei-not-digits", "added decimals"),
        ("４９０１５４２０３２３７５１８", "imei-not-digits", "digits 0-9"),
        ("49015420323751²", "imei-not-digits", "digits 0-9"),
        ("49015420323751_8", "imei-not-digits", "digits 0-9"),
        ("+49015420323751", "imei-not-digits", "digits 0-9"),
        ("49015420323751\0", "imei-not-digits", "49015420323751·"),
        ("49015420323751", "imei-length", "would be 490154203237518"),
        ("10154203237519", "imei-length", "would be 010154203237519"),
        ("4901542032375101", "imei-length", "IMEISV"),
        ("4901542032", "imei-length", "has 10 digits"),
    ],
)
def test_what_is_no_imei_is_told_why(value: str, code: str, says: str) -> None:
    with pytest.raises(imei.BadImei) as error:
        imei.written(value)
    assert error.value.code == code
    assert says in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_an_imei_or_a_bad_one(value: str) -> None:
    try:
        sentence = f"{imei.written(value):014d}"
    except imei.BadImei as error:
        sentence = str(error)
    assert sentence.isprintable()


@pytest.mark.parametrize(
    "value", ["49015420323751", "490154203237510", "490154203237518", "4901542032375199"]
)
def test_a_question_of_14_15_or_16_digits_is_about_one_handset(value: str) -> None:
    assert imei.asked(value) == 49015420323751


def test_a_question_may_be_a_urn() -> None:
    assert imei.asked("urn:gsma:imei:49015420-323751-0") == 49015420323751


@pytest.mark.parametrize(
    "value",
    [
        "",
        "4901542032375",
        "49015420323751123",
        "49015420323751a",
        "490154203237518\n",
        "４９０１５４２０３２３７５１",
    ],
)
def test_a_question_about_anything_else_has_no_key(value: str) -> None:
    assert imei.asked(value) is None


@given(KEYS, st.from_regex(r"[0-9]{2}", fullmatch=True))
def test_every_pei_of_a_handset_has_its_key(key: int, version: str) -> None:
    digits = f"{key:014d}"
    assert imei.pei(f"imei-{digits}0") == imei.pei(f"imei-{imei.full(key)}") == key
    assert imei.pei(f"imeisv-{digits}{version}") == key


@pytest.mark.parametrize("value", ["49015420323751", "490154203237518", "4901542032375101"])
def test_a_pei_without_its_prefix_is_that_of_the_handset(value: str) -> None:
    assert imei.pei(value) == 49015420323751


@pytest.mark.parametrize("value", ["mac-00-00-5E-00-53-00", "eui-00-00-5E-EF-10-00-00-00", "something"])
def test_a_pei_without_imei_has_no_key(value: str) -> None:
    assert imei.pei(value) is None


@pytest.mark.parametrize("value", ["", "imei-", "imei-49015420323751", "imeisv-490154203237518", "imei-x\0"])
def test_a_malformed_pei_is_told_what_would_be_right(value: str) -> None:
    with pytest.raises(imei.BadPei, match="would be imei-") as error:
        imei.pei(value)
    assert str(error.value).isprintable()


def test_tac_and_mask() -> None:
    assert imei.tac(1015420323751) == 1015420
    assert imei.masked("490154203237518") == "49015420…18"
    assert imei.masked("SN12345") == "…"


def test_what_is_shown_is_one_bounded_printable_line() -> None:
    assert imei.shown("a\nb\0c\udce9") == "a·b·c·"
    assert imei.shown("x" * 100) == "x" * 40 + "…"


def test_fifteen_zeros_are_no_imei() -> None:
    with pytest.raises(imei.BadImei, match="none") as caught:
        imei.written("0" * 15)
    assert caught.value.code == "imei-placeholder"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("490154203237518", 49015420323751),
        ("490154203237517", None),
        ("49015420323751", None),
        (imei.full(77015420323751), None),
        (imei.full(15420323751), None),
        ("４90154203237518", None),
    ],
)
def test_a_number_that_can_hardly_be_anything_else(text, key):
    assert imei.recognised(text) == key
