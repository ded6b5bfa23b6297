"""What one cell of a goods-in file may say: each check takes the text and adds what is wrong to `found`.

Findings are made for line 0; the row that they belong to gives them its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple
from unicodedata import category

from app.core import gs1
from app.core.imei import shown
from app.devices.intake import spreadsheet
from app.devices.intake.spreadsheet import Damage

TEXT_LIMIT = 200

_CENT = Decimal("0.01")
_VALUE_LIMIT = Decimal(10**12)
_NUMBER = re.compile(r"[0-9]{1,12}(?:[.,][0-9]{1,20})?")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_WRITTEN_RIGHT = "write it like 1234.50, with at most 12 digits before the point"
# `3E14` may be a serial; nobody's serial is `3.52099E14`.
_EXPONENT = re.compile(r"[.,][0-9]+E", re.IGNORECASE)
_CONTROL = frozenset(("Cc", "Cs", "Zl", "Zp"))
_WIDE_SPACES = str.maketrans("\u00a0\u2007\u202f", "   ")


class Finding(NamedTuple):
    """What a person should look at: a flaw that rejects the row, or a warning on a row that stands."""

    line: int
    rejected: bool
    field: str
    value: str
    code: str
    sentence: str


def flaw(field: str, value: str, code: str, sentence: str, line: int = 0) -> Finding:
    """A finding that rejects its row; the value is cut and made printable."""
    return Finding(line, True, field, shown(value), code, sentence)


def warning(field: str, value: str, code: str, sentence: str, line: int = 0) -> Finding:
    """A finding on a row that is registered all the same."""
    return Finding(line, False, field, shown(value), code, sentence)


def text(field: str, value: str, found: list[Finding], refused: frozenset[str] = _CONTROL) -> str:
    """A word of the sender: trimmed, at most 200 characters, no control character."""
    value = spreadsheet.bare(value)
    if not value.isprintable():
        value = value.translate(_WIDE_SPACES)
        char = next((char for char in value if category(char) in refused), "")
        if char:
            found.append(_unprintable(field, value, char))
    if len(value) > TEXT_LIMIT:
        sentence = f"The {field} has {len(value)} characters; it may have {TEXT_LIMIT}."
        found.append(flaw(field, value, "text-too-long", sentence))
    return value


def is_plain(serial: str) -> bool:
    """Whether a serial, or none, has nothing in it that `serial` would look at."""
    plain = serial.isalnum() or not serial or serial.replace("-", "").isalnum()
    return plain and len(serial) <= TEXT_LIMIT


def serial(value: str, found: list[Finding]) -> str:
    """A serial number: as `text`, and without characters of no width, which make two serials look alike.

    Nothing in a serial confirms a repair, so that of a spreadsheet's number nothing is made.
    """
    value = text("serial", spreadsheet.bare_code(value), found, _CONTROL | {"Cf"})
    damage = spreadsheet.damage(value)
    if damage and (_EXPONENT.search(value) or "+" in value):
        sentence = spreadsheet.lost(value, "a serial", damage, "nothing confirms the digits of a serial")
        found.append(flaw("serial", value, "serial-rounded", sentence))
    elif damage and value[-2:] in (".0", ",0"):
        sentence = f"The serial {shown(value)} may be a number to which a spreadsheet has added decimals."
        found.append(warning("serial", value, "serial-decimals", f"{sentence} {spreadsheet.EXPORT}"))
    return value


def description(value: str, found: list[Finding]) -> str:
    """A model's name, in which a line break or a tab counts as a space."""
    value = spreadsheet.bare(value)
    return text("model", value if value.isprintable() else re.sub(r"[\r\n\t]+", " ", value), found)


def _unprintable(field: str, value: str, char: str) -> Finding:
    # Bytes that are no UTF-8 come as lone surrogates (see lines.py).
    if category(char) == "Cs":
        sentence = f"The {field} is not UTF-8 text; save the file as UTF-8 and send it again."
        return flaw(field, value, "text-encoding", sentence)
    sentence = f"The {field} holds a character that cannot be seen (U+{ord(char):04X}); remove it."
    return flaw(field, value, "text-control", sentence)


def pallet(value: str, found: list[Finding]) -> str:
    """The 18 digits of an SSCC, or '' for none."""
    return _gs1_key("pallet", "an SSCC", gs1.sscc, spreadsheet.bare_code(value), found)


def gtin(value: str, found: list[Finding]) -> str:
    """A GTIN as 14 digits, or '' for none."""
    return _gs1_key("gtin", "a GTIN", gs1.gtin, spreadsheet.bare_code(value), found)


def _gs1_key(
    field: str, what: str, normalised: Callable[[str], str], value: str, found: list[Finding]
) -> str:
    if not value:
        return ""
    try:
        key = normalised(value)
    except gs1.BadKey as error:
        damage = spreadsheet.damage(value)
        if damage is None:
            found.append(flaw(field, value, error.code, str(error)))
            return ""
        return _repaired_key(field, what, normalised, value, damage, found)
    if not gs1.has_right_check_digit(key):
        sentence = f"The {field} {key} has a wrong check digit: it would be {gs1.check_digit(key[:-1])}."
        found.append(warning(field, value, f"{field}-check-digit", sentence + _rounded(key)))
    return key


def _repaired_key(
    field: str,
    what: str,
    normalised: Callable[[str], str],
    value: str,
    damage: Damage,
    found: list[Finding],
) -> str:
    """The key whose digits are all there, which its check digit has to confirm."""
    try:
        key = normalised(damage.digits)
    except gs1.BadKey:
        key = ""
    if key and gs1.has_right_check_digit(key):
        sentence = (
            f"'{shown(value)}' was read as {field} {key}: a spreadsheet had written it {damage.manner}."
        )
        found.append(warning(field, value, f"{field}-repaired", sentence))
        return key
    found.append(flaw(field, value, f"{field}-malformed", spreadsheet.lost(value, what, damage)))
    return ""


def _rounded(key: str) -> str:
    # A spreadsheet keeps 15 digits of a number and puts zeros for the rest.
    lost = len(key) == 18 and key.endswith("000")
    return " A spreadsheet may have rounded it; export the column as text." if lost else ""


def unit_value(value: str | Decimal, found: list[Finding]) -> Decimal | None:
    """What one device is worth, with two decimals; None for none. `1234,50` is read, `1.234` is ambiguous."""
    amount = value if isinstance(value, Decimal) else _amount(spreadsheet.bare_code(value), found)
    if amount is None:
        return None
    if not 0 <= amount < _VALUE_LIMIT - _CENT / 2:
        sentence = f"The unit value {shown(str(value))} is out of range; {_WRITTEN_RIGHT}."
        found.append(flaw("unit_value", str(value), "unit-value-malformed", sentence))
        return None
    cents = amount.quantize(_CENT, ROUND_HALF_UP).copy_abs()
    if cents != amount:
        sentence = f"The unit value has more than two decimals; it is kept as {cents}."
        found.append(warning("unit_value", str(value), "unit-value-rounded", sentence))
    return cents


def _amount(value: str, found: list[Finding]) -> Decimal | None:
    if not value:
        return None
    if _GROUPED.fullmatch(value):
        sentence = f"The unit value {value} may mean thousands or decimals; {_WRITTEN_RIGHT}."
        found.append(flaw("unit_value", value, "unit-value-ambiguous", sentence))
        return None
    if not _NUMBER.fullmatch(value):
        sentence = f"'{shown(value)}' is not a unit value; {_WRITTEN_RIGHT}."
        found.append(flaw("unit_value", value, "unit-value-malformed", sentence))
        return None
    return Decimal(value.replace(",", "."))


def currency(value: str, found: list[Finding]) -> str:
    """A currency in its three letters (ISO 4217), or '' for none."""
    value = spreadsheet.bare(value)
    if value and not (len(value) == 3 and value.isascii() and value.isalpha()):
        sentence = f"'{shown(value)}' is not a currency; it would be three letters, such as EUR."
        found.append(flaw("currency", value, "currency-malformed", sentence))
        return ""
    return value.upper()
