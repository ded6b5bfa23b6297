"""Countries are those of ISO 3166-1, and whoever writes another code is told which was meant."""

import pytest

from app.core import country


def test_there_are_as_many_as_the_standard_has():
    assert len(country.CODES) == 249
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in country.CODES)


@pytest.mark.parametrize(
    ("code", "right"),
    [
        ("UK", "'UK' is no country's code; GB is"),
        ("uk", "'uk' is no country's code; GB is"),
        ("fr", "'fr' is no country's code; FR is"),
        ("XX", "'XX' is no country's code; it would be two capital letters of ISO 3166-1, as FR"),
        ("EU", "as FR"),
        ("FRA", "as FR"),
        ("", "as FR"),
        ("FR\n", "as FR"),
    ],
)
def test_another_code_is_told_the_right_one(code, right):
    assert country.fault(code).endswith(right)


@pytest.mark.parametrize("code", ["FR", "GB", "GR", "AX", "XK"])
def test_only_what_is_assigned_is_a_country(code):
    assert (country.fault(code) == "") is (code != "XK")
