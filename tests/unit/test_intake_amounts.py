"""What a device is worth, as price lists and invoices write it; nothing of it keeps a device out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import imei
from app.core.errors import Invalid
from app.devices.intake import Defaults, Finding, Shared, read_defaults
from app.devices.intake.rows import Rows

A = imei.full(35_209900_176148)


def priced(value: str | Decimal, currency: str = "", default: str = "") -> tuple[Shared, list[Finding]]:
    shared = ("", "", "", "", "", value, currency)
    row, found = Rows(Defaults(currency=default)).read(7, (A,), "", shared)
    assert row is not None, found
    assert all(finding.line == 7 and not finding.rejected for finding in found)
    return row.shared, list(found)


def worth(value: str | Decimal, currency: str = "", default: str = "") -> str:
    """What is registered where nothing is said of it."""
    shared, found = priced(value, currency, default)
    assert not found, found
    return f"{shared.unit_value} {shared.currency}".strip()


def left_open(value: str | Decimal, currency: str = "", default: str = "") -> str:
    """The code with which it is left open."""
    shared, (finding,) = priced(value, currency, default)
    assert (shared.unit_value, shared.currency) == (None, "")
    assert "left open" in finding.sentence
    return finding.code


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0.00"), ("1234.50", "1234.50"), ("1234,50", "1234.50"), ("1234,5", "1234.50"), (" 7 ", "7.00"),
        ("1234.500", "1234.50"), ("0,990", "0.99"), ("999999999999.99", "999999999999.99"),
        (Decimal("1E+3"), "1000.00"), (Decimal("-0.0"), "0.00"), ("1.299,00", "1299.00"), ("1 299,00", "1299.00"),
        ("1\u00a0299,00", "1299.00"), ("1\u202f299", "1299.00"), ("1 299 000,5", "1299000.50"),
        ("1,299.00", "1299.00"), ("1'299.00", "1299.00"), ("1’299", "1299.00"), ("1.299.000", "1299000.00"),
        ("123,456,789,012.99", "123456789012.99"), ("'1234.50", "1234.50"), ('="1,299.00"', "1299.00"),
    ],
)  # fmt: skip
def test_amounts_as_people_write_them(text: str | Decimal, value: str) -> None:
    assert worth(text, "EUR") == f"{value} EUR"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("€ 99", "99.00 EUR"), ("99 €", "99.00 EUR"), ("99\u00a0€", "99.00 EUR"), ("EUR 99,90", "99.90 EUR"),
        ("99.90eur", "99.90 EUR"), ("1.299,00 €", "1299.00 EUR"), ("99 Euro", "99.00 EUR"), ("£1,299", "1299.00 GBP"),
        ("CHF 1'299.00", "1299.00 CHF"), ("Fr. 99", "99.00 CHF"), ("US$1,299", "1299.00 USD"), ("99 zł", "99.00 PLN"),
        ("99 SEK", "99.00 SEK"),
    ],
)  # fmt: skip
def test_a_sign_in_the_amount_stands_in_for_the_currency(text: str, value: str) -> None:
    assert worth(text) == value
    assert worth(text, "", "JPY") == value


@pytest.mark.parametrize(
    ("cell", "code"),
    [("€", "EUR"), ("Euro", "EUR"), ("EUROS", "EUR"), ("£", "GBP"), ("chf", "CHF"), ("US$", "USD"), ("Kč", "CZK")],
)  # fmt: skip
def test_a_currency_may_be_its_sign_or_its_name(cell: str, code: str) -> None:
    assert worth("5", cell) == f"5.00 {code}"
    assert read_defaults(currency=cell).currency == code


def test_a_dollar_is_the_one_that_is_named_elsewhere_or_else_said_to_be_the_american() -> None:
    assert worth("$1,299", "CAD") == "1299.00 CAD"
    assert worth("$5", "", "AUD") == worth("5", "$", "AUD") == worth("5", "AUD") == "5.00 AUD"
    for value, cell in (("$1,299", ""), ("1299", "$"), ("$1,299.00", "$")):
        shared, (finding,) = priced(value, cell)
        assert (str(shared.unit_value), shared.currency, finding.code) == (
            "1299.00",
            "USD",
            "currency-assumed",
        )


@pytest.mark.parametrize(
    "text",
    [
        "-1", "12 34", "1.2.3", "1,29,999", "1.299.00", "NaN", "1e3", "٣", "n/a", "99 pcs", "€ 99 EUR", "0'125",
        "1000000000000", "999999999999.995", "5 - 6", Decimal("-1"), Decimal("1E+999999"),
    ],
)  # fmt: skip
def test_what_is_no_unit_value_is_left_open(text: str | Decimal) -> None:
    assert left_open(text, "EUR") == "unit-value-malformed"


@pytest.mark.parametrize("text", ["1,299", "1.299", "999.000", "€1,299", "1.299 €", "$1.299"])
def test_a_unit_value_that_may_be_thousands_is_left_open(text: str) -> None:
    assert left_open(text) == "unit-value-ambiguous"


def test_what_is_rounded_is_said() -> None:
    for text in ("499.1251", Decimal("499.1251"), "499,125000 €"):
        shared, (finding,) = priced(text, "EUR")
        assert (str(shared.unit_value), finding.code) == ("499.13", "unit-value-rounded")
    assert worth("499.1200", "EUR") == "499.12 EUR"


def test_an_amount_without_a_currency_is_left_open_and_the_way_to_name_one_is_said() -> None:
    assert left_open("5") == "currency-missing"
    sentence = priced("5")[1][0].sentence
    assert "a column 'currency'" in sentence
    assert "the whole file" in sentence
    assert worth("", "EUR") == worth("", "no currency") == "None"


@pytest.mark.parametrize(
    ("value", "cell", "code"),
    [
        ("5", "EURX", "currency-malformed"), ("5", "ZZZ", "currency-malformed"), ("5", "¥", "currency-ambiguous"),
        ("5 kr", "", "currency-ambiguous"), ("€5", "USD", "currency-contradicts"),
        ("5 CHF", "€", "currency-contradicts"), ("$5", "EUR", "currency-contradicts"),
    ],
)  # fmt: skip
def test_a_currency_that_is_not_certain_leaves_the_amount_open(value: str, cell: str, code: str) -> None:
    assert left_open(value, cell) == left_open(value, cell, "GBP") == code


@pytest.mark.parametrize("text", ["EURX", "$", "¥", "12"])
def test_a_submissions_own_currency_is_certain(text: str) -> None:
    with pytest.raises(Invalid) as error:
        read_defaults(currency=text)
    assert error.value.flaws[0].code == "currency-malformed"
    assert read_defaults(currency=" eur ").currency == "EUR"


@given(
    st.decimals(0, 10**9, places=2), st.sampled_from([",", ".", "'", " ", "\u00a0"]), st.sampled_from(",.")
)
def test_every_amount_with_cents_is_what_it_was_before_it_was_written(
    amount: Decimal, mark: str, point: str
) -> None:
    if mark != point:
        text = f"{amount:,.2f}".replace(",", "m").replace(".", point).replace("m", mark)
        assert worth(text, "EUR") == f"{amount:.2f} EUR"
