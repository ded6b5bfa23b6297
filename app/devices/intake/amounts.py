"""What a device is worth, as people write it: an amount in any of the usual forms, and its currency.

Nothing here rejects a row: a theft can wait for no price. What cannot be read for certain is left open, with a
warning, and a later row may fill it in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from app.core.imei import shown
from app.devices.intake import spreadsheet
from app.devices.intake.cells import Finding, flaw, warning

_CENT = Decimal("0.01")
_VALUE_LIMIT = Decimal(10**12)
_WRITTEN_RIGHT = "write it like 1234.50, with at most 12 digits before the point"
_EXAMPLE = "three letters, such as EUR"

# A number, with what may stand before or after it.
_WHOLE = re.compile(r"([^0-9]*)([0-9](?:[0-9.,'’ ]*[0-9])?)([^0-9]*)")
_NUMBER = re.compile(r"[0-9]{1,12}(?:[.,][0-9]{1,20})?")
_UNCLEAR = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_THREE_DECIMALS = re.compile(r"[0-9]+\.[0-9]{3}")
_GROUPED = re.compile(
    r"(?P<whole>[1-9][0-9]{0,2}(?P<mark>[.,'’ ])[0-9]{3}(?:(?P=mark)[0-9]{3}){0,2})"
    r"(?:(?!(?P=mark))[.,](?P<rest>[0-9]{1,20}))?"
)
# Whoever writes these before an amount puts commas between thousands.
_WITH_COMMAS = ("$", "US$", "£")

# ISO 4217, without funds and metals.
_ISO_4217 = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
_CODES = frozenset(_ISO_4217.split())
_DOLLARS = ("USD", "ARS", "AUD", "BBD", "BMD", "BND", "BSD", "BZD", "CAD", "CLP", "COP", "DOP", "FJD", "GYD", "HKD",
            "JMD", "KYD", "LRD", "MXN", "NAD", "NZD", "SBD", "SGD", "SRD", "TTD", "TWD", "UYU", "XCD")  # fmt: skip
# Signs and words, with the currencies that each may mean.
_SIGNS = {
    "€": ("EUR",), "euro": ("EUR",), "euros": ("EUR",), "£": ("GBP",), "us$": ("USD",), "us-dollar": ("USD",),
    "$": _DOLLARS, "dollar": _DOLLARS, "dollars": _DOLLARS, "ca$": ("CAD",), "c$": ("CAD",), "au$": ("AUD",),
    "a$": ("AUD",), "nz$": ("NZD",), "hk$": ("HKD",), "s$": ("SGD",), "r$": ("BRL",), "fr": ("CHF",),
    "sfr": ("CHF",), "zł": ("PLN",), "kč": ("CZK",), "₺": ("TRY",), "₹": ("INR",), "₽": ("RUB",), "₴": ("UAH",),
    "₩": ("KRW",), "₪": ("ILS",), "¥": ("JPY", "CNY"), "￥": ("JPY", "CNY"), "kr": ("DKK", "ISK", "NOK", "SEK"),
}  # fmt: skip


def worth(
    value: str | Decimal, currency: str, default: str, found: list[Finding]
) -> tuple[Decimal | None, str]:
    """What one device is worth, with two decimals, and in which currency: by its cell, else by the sign beside
    the amount, else by the submission's; None and '' where a cell says nothing, or nothing for certain."""
    if isinstance(value, Decimal):
        text, sign, amount = str(value), "", _in_cents(value, found)
    else:
        text = spreadsheet.bare_code(value)
        if not text:
            return None, ""
        sign, amount = _read(text, found)
    code = _currency(text, spreadsheet.bare(currency), sign, default, found, needed=amount is not None)
    return (amount, code) if code and amount is not None else (None, "")


def plainly(number: str) -> str:
    """A number as an amount that is read for certain: three decimals could be thousands."""
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number}0" if _THREE_DECIMALS.fullmatch(number) else number


def default_currency(text: str, found: list[Finding]) -> str:
    """The three letters of the currency of a whole submission, or '' for none."""
    text = spreadsheet.bare(text)
    meant = _meant(text)
    if not text or len(meant) == 1:
        return "".join(meant)
    why = f"may be {_listed(meant)}" if meant else "is no currency that is known"
    found.append(
        flaw("currency", text, "currency-malformed", f"'{shown(text)}' {why}; it would be {_EXAMPLE}.")
    )
    return ""


def _read(text: str, found: list[Finding]) -> tuple[str, Decimal | None]:
    """The currency's sign and the amount, of which both may be missing."""
    whole = _WHOLE.fullmatch(text)
    before, number, after = (part.strip() for part in whole.groups()) if whole else ("", "", "")
    sign = before or after
    if not number or (before and after) or (sign and not _meant(sign)):
        found.append(_unreadable(text))
        return "", None
    with_commas = before.upper() in _WITH_COMMAS and "," in number
    if _UNCLEAR.fullmatch(number) and not with_commas:
        sentence = f"The unit value {shown(text)} may mean thousands or decimals"
        found.append(_left_open(text, "unit-value-ambiguous", sentence))
        return sign, None
    amount = _parsed(number, with_commas=with_commas)
    if amount is None:
        found.append(_unreadable(text))
        return sign, None
    return sign, _in_cents(amount, found)


def _parsed(number: str, *, with_commas: bool) -> Decimal | None:
    grouped = _GROUPED.fullmatch(number)
    if grouped and (with_commas or not _UNCLEAR.fullmatch(number)):
        digits = re.sub("[^0-9]", "", grouped["whole"])
        return Decimal(f"{digits}.{grouped['rest'] or 0}")
    return Decimal(number.replace(",", ".")) if _NUMBER.fullmatch(number) else None


def _in_cents(amount: Decimal, found: list[Finding]) -> Decimal | None:
    text = str(amount)
    if not 0 <= amount < _VALUE_LIMIT - _CENT / 2:
        sentence = f"The unit value {shown(text)} is out of range"
        found.append(_left_open(text, "unit-value-malformed", sentence))
        return None
    cents = amount.quantize(_CENT, ROUND_HALF_UP).copy_abs()
    if cents != amount:
        sentence = f"The unit value has more than two decimals; it is kept as {cents}."
        found.append(warning("unit_value", text, "unit-value-rounded", sentence))
    return cents


def _unreadable(text: str) -> Finding:
    return _left_open(text, "unit-value-malformed", f"'{shown(text)}' is not a unit value")


def _left_open(text: str, code: str, sentence: str) -> Finding:
    return warning("unit_value", text, code, f"{sentence}, so it is left open; {_WRITTEN_RIGHT}.")


def _meant(text: str) -> Sequence[str]:
    """The currencies that a text may mean."""
    text = text.strip(" .")
    code = text.upper()
    return (code,) if code in _CODES else _SIGNS.get(text.lower(), ())


def _currency(text: str, cell: str, sign: str, default: str, found: list[Finding], *, needed: bool) -> str:
    """The currency of an amount, '' where there is none, or none for certain."""
    meant = _meant(cell or sign or default)
    if cell and not meant:
        found.append(_doubtful(cell, "currency-malformed", f"'{shown(cell)}' is no currency that is known"))
    elif not needed:
        return ""
    elif not meant:
        found.append(_missing(text))
    elif cell and sign and not set(meant) & set(_meant(sign)):
        sentence = f"The unit value {shown(text)} is not in {shown(cell)}, which its currency says"
        found.append(_doubtful(cell, "currency-contradicts", sentence))
    else:
        both = [code for code in meant if not sign or code in _meant(sign)]
        return _chosen(cell or sign, both, default, found)
    return ""


def _chosen(said: str, meant: Sequence[str], default: str, found: list[Finding]) -> str:
    """The one that is meant among these."""
    if len(meant) == 1:
        return meant[0]
    if default in meant:
        return default
    if meant[0] == "USD":
        sentence = (
            f"'{shown(said)}' was read as USD; another dollar would be named by its letters, such as CAD."
        )
        found.append(warning("currency", said, "currency-assumed", sentence))
        return "USD"
    found.append(_doubtful(said, "currency-ambiguous", f"'{shown(said)}' may be {_listed(meant)}"))
    return ""


def _missing(text: str) -> Finding:
    sentence = (
        f"The unit value {shown(text)} has no currency, so it is left open; a column 'currency' would name it, or a"
        f" currency that is given for the whole file, in {_EXAMPLE}."
    )
    return warning("currency", "", "currency-missing", sentence)


def _doubtful(said: str, code: str, sentence: str) -> Finding:
    return warning(
        "currency", said, code, f"{sentence}, so the unit value is left open; it would be {_EXAMPLE}."
    )


def _listed(meant: Sequence[str]) -> str:
    return " or ".join(meant[:4])
