"""SSCC and GTIN in the forms that scanners and files send, with python-stdnum as the second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean

from app.core import gs1

PALLET = "106141412345678908"


@given(st.from_regex(r"[0-9]{7}|[0-9]{11}|[0-9]{12}|[0-9]{13}", fullmatch=True))
def test_check_digit_is_the_oracles(body: str) -> None:
    assert str(gs1.check_digit(body)) == ean.calc_check_digit(body)
    assert gs1.has_right_check_digit(f"{body}{gs1.check_digit(body)}")
    assert not gs1.has_right_check_digit(f"{body}{(gs1.check_digit(body) + 1) % 10}")


@pytest.mark.parametrize(
    "value",
    [
        PALLET,
        f"00{PALLET}",
        f"(00){PALLET}",
        f"(00) {PALLET}",
        f" {PALLET} ",
        "1 0614141 234567890 8",
        "urn:epc:id:sscc:0614141.1234567890",
        f"https://id.gs1.org/00/{PALLET}",
        f"https://shop.example/a/00/{PALLET}?x=1#y",
    ],
)
def test_forms_of_an_sscc(value: str) -> None:
    assert gs1.sscc(value) == PALLET


@pytest.mark.parametrize(
    "value",
    [
        "",
        "12345",
        f"{PALLET}0",
        "1061414123456789O8",
        "１" * 18,
        "1.06141E+17",
        f"https://id.gs1.org/01/{PALLET}",
    ],
)
def test_what_is_no_sscc(value: str) -> None:
    with pytest.raises(gs1.BadKey, match="18 digits") as error:
        gs1.sscc(value)
    assert error.value.code == "pallet-malformed"


def test_a_wrong_check_digit_is_no_refusal() -> None:
    assert gs1.sscc("106141412345678900") == "106141412345678900"
    assert not gs1.has_right_check_digit("106141412345678900")


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("09506000134352", "09506000134352"),
        ("9506000134352", "09506000134352"),
        ("614141000036", "00614141000036"),
        ("12345670", "00000012345670"),
        ("(01)09506000134352", "09506000134352"),
        ("0109506000134352", "09506000134352"),
        ("https://id.gs1.org/01/09506000134352/21/12345", "09506000134352"),
    ],
)
def test_forms_of_a_gtin(value: str, digits: str) -> None:
    assert gs1.gtin(value) == digits
    assert gs1.has_right_check_digit(digits)


@pytest.mark.parametrize("value", ["", "123", "1234567890", "5.901E+12", "٠" * 13, "9506000134352x"])
def test_what_is_no_gtin(value: str) -> None:
    with pytest.raises(gs1.BadKey, match="13 or 14") as error:
        gs1.gtin(value)
    assert error.value.code == "gtin-malformed"


@given(st.text(max_size=60))
def test_any_text_is_a_key_or_a_bad_one(value: str) -> None:
    for read, length in ((gs1.sscc, 18), (gs1.gtin, 14)):
        try:
            answer = read(value)
        except gs1.BadKey as error:
            answer = str(error)
        assert answer.isprintable()
        assert "would be" in answer or len(answer) == length


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("https://id.gs1.org/01/09506000134352/21/12345", {"01": "09506000134352", "21": "12345"}),
        ("https://x.example/a/b/00/106141412345678908/?q=1", {"00": "106141412345678908"}),
        ("https://id.gs1.org/414/9506000134369/254/a%20b#c", {"414": "9506000134369", "254": "a b"}),
        ("https://id.gs1.org/01/09506000134352/21", {}),
        ("https://id.gs1.org/01//21/5", {}),
        ("https://x.example/01/1/two/2", {}),
        ("ftp://id.gs1.org/00/106141412345678908", {}),
        ("00", {}),
    ],
)
def test_what_a_digital_link_says(value: str, said: dict[str, str]) -> None:
    assert gs1.linked(value) == said
