"""What one cell of a goods-in file may say: each check takes the text and adds what is wrong to `found`.

Findings are made for line 0; the row that they belong to gives them its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from unicodedata import category

from app.core import gs1
from app.core.imei import shown
from app.devices.intake import spreadsheet
from app.devices.intake.spreadsheet import Damage

TEXT_LIMIT = 200

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
    """The 18 digits of an SSCC, or '' for none, as of one that a spreadsheet has rounded: many pallets would be one."""
    value = spreadsheet.bare_code(value)
    if not _may_be_rounded(value):
        return _gs1_key("pallet", "an SSCC", gs1.sscc, value, found)
    damage = Damage("", "as a number of 15 digits")
    if not gs1.has_right_check_digit(value):
        found.append(flaw("pallet", value, "pallet-malformed", spreadsheet.lost(value, "an SSCC", damage)))
        return ""
    sentence = (
        f"The pallet {value} ends in 000; a spreadsheet may have rounded it. Compare it with its label."
    )
    found.append(warning("pallet", value, "pallet-rounded", sentence))
    return value


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
        found.append(warning(field, value, f"{field}-check-digit", sentence))
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


def _may_be_rounded(pallet: str) -> bool:
    # A spreadsheet keeps 15 digits of a number and puts zeros for the rest.
    return len(pallet) == 18 and pallet.endswith("000") and pallet.isascii() and pallet.isdigit()
