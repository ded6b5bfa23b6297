"""GS1 keys: SSCC (pallet), GTIN, serialised GTIN and GLN, in the forms that files, scanners and events send
(GS1 General Specifications, EPC Tag Data Standard, GS1 Digital Link).

Check digits occur wrong in the wild, so a wrong one is a warning here and never a refusal.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from app.core.imei import shown

_EPC_SSCC = re.compile(r"urn:epc:id:sscc:([0-9]{6,12})\.([0-9])([0-9]{4,10})\Z")
_LINK = re.compile(r"https?://[^/]+(?:/[^/]+)*/(00|01)/([0-9]+)(?:[/?#].*)?\Z")
_EPC_SGTIN = re.compile(r"urn:epc:id:sgtin:([0-9]{6,12})\.([0-9])([0-9]{0,6})\.([^.]{1,60})\Z")
_EPC_SGLN = re.compile(r"urn:epc:id:sgln:([0-9]{6,12})\.([0-9]{0,6})\.(.{1,60})\Z")
# The keys that a Digital Link of ours begins with: SSCC, GTIN, GLN, and the number of a cellular phone.
_PRIMARY = ("00", "01", "414", "8002")
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


class Item(NamedTuple):
    """One unit: its GTIN as 14 digits and its serial (AI 21, up to 20 characters)."""

    gtin: str
    serial: str


class Place(NamedTuple):
    """A GLN of 13 digits, and its extension (AI 254), '' where there is none."""

    gln: str
    extension: str


def linked(value: str) -> dict[str, str]:
    """What a GS1 Digital Link URI says, by application identifier: {'01': …, '21': …}. Empty for any other text."""
    scheme, _, rest = value.partition("://")
    if scheme not in ("https", "http"):
        return {}
    parts = re.split(r"[?#]", rest, maxsplit=1)[0].rstrip("/").split("/")[1:]
    start = next((place for place, part in enumerate(parts) if part in _PRIMARY), len(parts))
    names, texts = parts[start::2], parts[start + 1 :: 2]
    if len(names) != len(texts) or not all(
        name.isdecimal() and text for name, text in zip(names, texts, strict=True)
    ):
        return {}
    return dict(zip(names, map(unquote, texts), strict=True))


def item(value: str) -> Item | None:
    """The unit that an EPC URI or a GS1 Digital Link names; None where the text is neither of a unit.

    Raises BadKey `sgtin-malformed` for an EPC URI of that kind that cannot be right.
    """
    epc = _EPC_SGTIN.match(value)
    if epc and len(epc[1] + epc[2] + epc[3]) == 13:
        body = f"{epc[2]}{epc[1]}{epc[3]}"
        return Item(f"{body}{check_digit(body)}", _serial(unquote(epc[4]), value))
    if value.startswith("urn:epc:id:sgtin:"):
        right = "13 digits in its first two parts, and a serial"
        raise BadKey("sgtin-malformed", f"'{shown(value)}' is not an SGTIN; it would have {right}.")
    said = linked(value)
    if "21" in said and re.fullmatch(r"[0-9]{14}", said.get("01", "")):
        return Item(said["01"], _serial(said["21"], value))
    return None


def _serial(text: str, value: str) -> str:
    if not (0 < len(text) <= 20 and text.isascii() and text.isprintable()):
        raise BadKey(
            "sgtin-malformed", f"The serial of '{shown(value)}' would be 1 to 20 printable characters."
        )
    return text


def place(value: str) -> Place | None:
    """The location that digits, an EPC URI or a GS1 Digital Link name; None where the text is no GLN."""
    if re.fullmatch(r"[0-9]{13}", value):
        return Place(value, "")
    epc = _EPC_SGLN.match(value)
    if epc and len(epc[1] + epc[2]) == 12:
        body = f"{epc[1]}{epc[2]}"
        return Place(f"{body}{check_digit(body)}", "" if epc[3] == "0" else unquote(epc[3]))
    said = linked(value)
    if re.fullmatch(r"[0-9]{13}", said.get("414", "")):
        return Place(said["414"], "" if said.get("254") == "0" else said.get("254", ""))
    return None


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
