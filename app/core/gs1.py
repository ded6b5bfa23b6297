"""GS1 keys: SSCC (pallet) and GTIN, in the forms that files and scanners send (GS1 General Specifications).

Check digits occur wrong in the wild, so a wrong one is a warning here and never a refusal.
"""

from __future__ import annotations

import re

from app.core.imei import shown

_EPC_SSCC = re.compile(r"urn:epc:id:sscc:([0-9]{6,12})\.([0-9])([0-9]{4,10})\Z")
_LINK = re.compile(r"https?://[^/]+(?:/[^/]+)*/(00|01)/([0-9]+)(?:[/?#].*)?\Z")
_SPACING = str.maketrans("", "", " -\u00a0")


class BadKey(ValueError):
    """Not a GS1 key of that kind; the text says what would be right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_digit(digits: str) -> int:
    """GS1 mod-10 over the digits before the check digit: weights 3, 1, 3 … from the right."""
    return -(3 * sum(map(int, digits[::-2])) + sum(map(int, digits[-2::-2]))) % 10


def has_right_check_digit(key: str) -> bool:
    """Whether the last digit of an SSCC or GTIN is the one that the others ask for."""
    return key[-1:] == str(check_digit(key[:-1]))


def sscc(value: str) -> str:
    """The 18 digits of an SSCC given as digits, with AI (00), as EPC URI or as GS1 Digital Link.

    Raises BadKey `pallet-malformed`.
    """
    if len(value) == 18 and value.isascii() and value.isdigit():
        return value
    digits = _plain(value, "00")
    if len(digits) == 20 and digits.startswith("00"):
        digits = digits[2:]
    if not re.fullmatch(r"[0-9]{18}", digits):
        raise BadKey("pallet-malformed", f"'{shown(value)}' is not an SSCC; it would be 18 digits.")
    return digits


def gtin(value: str) -> str:
    """A GTIN-8, -12, -13 or -14 as 14 digits. Raises BadKey `gtin-malformed`."""
    digits = value if value.isascii() and value.isdigit() else _plain(value, "01")
    if len(digits) == 16 and digits.startswith("01"):
        digits = digits[2:]
    if not re.fullmatch(r"[0-9]{8}|[0-9]{12,14}", digits):
        raise BadKey("gtin-malformed", f"'{shown(value)}' is not a GTIN; it would be 8, 12, 13 or 14 digits.")
    return digits.zfill(14)


def _plain(value: str, ai: str) -> str:
    value = value.strip()
    epc = _EPC_SSCC.match(value)
    if epc and ai == "00":
        company, extension, reference = epc.groups()
        body = f"{extension}{company}{reference}"
        return f"{body}{check_digit(body)}"
    link = _LINK.match(value)
    if link and link[1] == ai:
        return link[2]
    return value.removeprefix(f"({ai})").translate(_SPACING)
