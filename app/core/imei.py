"""IMEI and IMEISV: forms, check digit and key (3GPP TS 23.003 clause 6.2 and annex B; RFC 7254).

The key of a device is the first 14 digits (TAC and SNR) as an integer: a network sends the 15th digit as
0 and an IMEISV carries a software version there, so `imei-<14>0`, `imei-<14><luhn>` and
`imeisv-<14><svn>` are one handset. The check digit is held against files and people, never against a
network's question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

KEY_LIMIT = 10**14

# GSMA TS.06: reporting bodies (the first two digits) that allocate now, and those of older devices.
BODIES = frozenset((1, 10, 30, 33, 35, 44, 45, 49, 50, 51, 52, 53, 54, 86, 91, 98, 99))

# Reporting body 00 is the range of test IMEIs (GSMA TS.06) of countries whose code has two digits, which come next:
# none has 99, so nobody allocates it. Others are not safe; 004401… stands in lists of telephones that were sold.
TEST_TAC = 990099

_URN = re.compile(
    r"urn:gsma:imei:([0-9]{8})-?([0-9]{6})-?([0-9])(?:;svn=[0-9]{2})?(?:;vers=[0-9]+)?\Z",
    re.IGNORECASE | re.ASCII,
)
_PEI = re.compile(r"(?:imei-([0-9]{14})[0-9]|imeisv-([0-9]{14})[0-9]{2})\Z")
_ASKED = re.compile(r"([0-9]{14})[0-9]{0,2}\Z")
_SPACING = str.maketrans("", "", " -\u00a0")


def _luhn_weights() -> tuple[int, ...]:
    """What four digits add to the Luhn sum where the last of the four is doubled."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    return tuple(n // 1000 + doubled[n // 100 % 10] + n // 10 % 10 + doubled[n % 10] for n in range(10_000))


_FOUR = _luhn_weights()


def check_digit(key: int) -> int:
    """The Luhn digit that completes 14 digits (TS 23.003 annex B): 49015420323751 → 8."""
    high, low = divmod(key, 10**8)
    total = _FOUR[high // 10_000] + _FOUR[high % 10_000] + _FOUR[low // 10_000] + _FOUR[low % 10_000]
    return -total % 10


def full(key: int) -> str:
    """The 15 digits that people write: 14 of the key, and the check digit."""
    high, low = divmod(key, 10**8)
    total = _FOUR[high // 10_000] + _FOUR[high % 10_000] + _FOUR[low // 10_000] + _FOUR[low % 10_000]
    return f"{key * 10 + -total % 10:015d}"


def tac(key: int) -> int:
    """The Type Allocation Code: the first 8 digits."""
    return key // 10**6


def body(key: int) -> int:
    """The reporting body: the first two digits."""
    return key // 10**12


class BadImei(ValueError):
    """Not an IMEI. `code` is stable; the text says what is wrong and what would be right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def certain(digits: str) -> int:
    """The key of 15 digits with the right check digit, and 0 for anything else: `spelled` tells why not."""
    if len(digits) != 15 or not (digits.isascii() and digits.isdigit()):
        return 0
    key, last = divmod(int(digits), 10)
    high, low = divmod(key, 10**8)
    total = _FOUR[high // 10_000] + _FOUR[high % 10_000] + _FOUR[low // 10_000] + _FOUR[low % 10_000]
    return 0 if (total + last) % 10 else key


def written(value: str) -> int:
    """The key of an IMEI of a device, as people and files write it: as `spelled`, and none for tests.

    Raises BadImei: as `spelled`, and `imei-test`.
    """
    key = spelled(value)
    _must_not_be_for_tests(key)
    return key


def is_for_tests(key: int) -> bool:
    """Whether it is an IMEI that nobody's device has: it can be asked for, and never be registered or declared."""
    return key // 10**6 == TEST_TAC


def _must_not_be_for_tests(key: int) -> None:
    if is_for_tests(key):
        sentence = (
            f"IMEI {full(key)} is for tests (its TAC is {TEST_TAC:08d}) and cannot be registered or declared; it would"
            " be that of a device."
        )
        raise BadImei("imei-test", sentence)


def spelled(value: str) -> int:
    """The key of any IMEI, written as 15 digits, perhaps spaced, or as an IMEI URN.

    Raises BadImei: `imei-empty`, `imei-not-digits`, `imei-length`, `imei-check-digit`, `imei-placeholder`.
    """
    if key := certain(value):
        return key
    digits = _digits(value)
    key, last = divmod(int(digits), 10)
    right = check_digit(key)
    if last != right and not (last == 0 and _URN.match(value.strip())):
        raise BadImei(
            "imei-check-digit", f"IMEI {digits} fails the Luhn check: its last digit would be {right}."
        )
    if not key:
        raise BadImei("imei-placeholder", "IMEI 000000000000000 stands for 'none'; leave the cell empty.")
    return key


def _digits(value: str) -> str:
    urn = _URN.match(value.strip())
    if urn:
        return "".join(urn.groups())
    digits = value.strip().translate(_SPACING)
    if not digits:
        raise BadImei("imei-empty", "The IMEI is empty; it would be 15 digits.")
    if not (digits.isascii() and digits.isdigit()):
        raise BadImei("imei-not-digits", f"'{shown(value)}' is not an IMEI: {_why_not_digits(digits)}.")
    if len(digits) != 15:
        raise BadImei("imei-length", f"'{shown(value)}' has {len(digits)} digits; {_right_length(digits)}.")
    return digits


def _why_not_digits(digits: str) -> str:
    if re.fullmatch(r"[0-9](?:[.,][0-9]+)?E\+?[0-9]+", digits, re.IGNORECASE):
        return "a spreadsheet has turned it into a rounded number; export the column as text"
    if re.fullmatch(r"[0-9]{13,16}[.,]0+", digits):
        return "a spreadsheet has added decimals; export the column as text"
    return "it would be 15 digits 0-9"


def _right_length(digits: str) -> str:
    if len(digits) == 14 and digits[0] == "1" and check_digit(int(digits[:13])) == int(digits[13]):
        return f"a spreadsheet may have dropped a leading zero, and with it the IMEI would be 0{digits}"
    if len(digits) == 14:
        return f"an IMEI has 15, and with its check digit it would be {full(int(digits))}"
    if len(digits) == 16:
        return "that is an IMEISV, whose last two digits are a software version; goods-in takes the IMEI"
    return "an IMEI has 15"


def recognised(value: str) -> int | None:
    """The key of a text that can hardly be anything but an IMEI: 15 digits of a known reporting body with the
    right check digit. One in ten serials of 15 digits passes the check digit alone. Raises BadImei (`imei-test`)."""
    if not (len(value) == 15 and value.isascii() and value.isdigit()):
        return None
    key, last = divmod(int(value), 10)
    if last != check_digit(key):
        return None
    _must_not_be_for_tests(key)
    return key if body(key) in BODIES else None


def asked(value: str) -> int | None:
    """The key in a question of 14, 15 or 16 digits or an IMEI URN; None for anything else. No Luhn check."""
    match = _ASKED.match(value)
    if match:
        return int(match[1])
    urn = _URN.match(value)
    return int(urn[1] + urn[2]) if urn else None


def asked_all(values: Iterable[str]) -> list[int | None]:
    """The same for many."""
    return [int(value[:14]) if _ASKED.match(value) else asked(value) for value in values]


class BadPei(ValueError):
    """A PEI that starts like an IMEI and is none; the text says what would be right."""


def pei(value: str) -> int | None:
    """The key in a PEI of a 5G core (TS 29.571); None for a PEI that carries no IMEI (mac-, eui-, other). One of 14 to
    16 digits alone, as a core that is set up wrongly sends it, is taken for an IMEI: it might be blocked.

    Raises BadPei where it claims an IMEI or IMEISV and is malformed, or is empty.
    """
    match = _PEI.match(value)
    if match:
        return int(match[1] or match[2])
    if bare := _ASKED.match(value):
        return int(bare[1])
    if not value or value.startswith(("imei-", "imeisv-")):
        raise BadPei(f"'{shown(value)}' is not a PEI; it would be imei- and 15 digits, or imeisv- and 16.")
    return None


def masked(value: str) -> str:
    """An identifier as logs may show it: the TAC, and the last two digits."""
    return f"{value[:8]}…{value[-2:]}" if len(value) > 10 else "…"


def shown(value: str, limit: int = 40) -> str:
    """A foreign value as an error may quote it: one line, bounded, printable."""
    if len(value) <= limit and value.isprintable():
        return value
    text = "".join(char if char.isprintable() else "·" for char in value[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "…"
