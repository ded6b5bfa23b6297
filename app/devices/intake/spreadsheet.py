"""What spreadsheets do to numbers that are names, recognised for what it is.

Repaired is only what is certain: every digit is there, and the check digit holds. What is lost is named, with
the way to export it whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from app.core.imei import BadImei, shown, written

EXPORT = "In the spreadsheet, format the column as text, see that it shows all digits, and export it again."

# A spreadsheet keeps 15 digits of a number; a float holds every integer up to 2 to the 53rd.
_KEPT = 15
_EXACT = 2**53
# No identifier has more digits than an SSCC.
_LONGEST = 18
_SCIENTIFIC = re.compile(r"([0-9])(?:[.,]([0-9]+))?E\+?([0-9]{1,3})", re.IGNORECASE)
_DECIMALS = re.compile(r"([0-9]{8,})[.,]0+")
_THOUSANDS = re.compile(r"([0-9]{1,3}(?:([.,'’ ])[0-9]{3})(?:\2[0-9]{3})+)(?:[.,]0+)?")
_AS_TEXT = re.compile(r"""=\s*"([^"]*)"\s*""")
_SPACES = str.maketrans("\u00a0\u2007\u2009\u202f", "    ")
_SPACING = str.maketrans("", "", " -")
_LEADING = re.compile(r"[\s'’‘]*")
# A spreadsheet runs a cell that begins like this; some do so where the signs are of full width.
_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = (*_SIGNS, "\t", "\r", "\n")
# One that is set to another separator than the file's makes several cells of one. A sign at the end is a price's.
_BEGINS_INSIDE = rf'(?<=[,;|\t\r\n])([" ]*){{}}(?=[{re.escape(_SIGNS)}]\s*\S)'
_INSIDE, _GUARDED = re.compile(_BEGINS_INSIDE.format("")), re.compile(_BEGINS_INSIDE.format("'"))


class Damage(NamedTuple):
    """What became of a number: its digits, '' where some are lost, how it looks now, and whether a zero at the end
    of its digits is one that was not written."""

    digits: str
    manner: str
    assumed: bool = False


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, nor a part of it, for files that are given out. `bare` and
    `bare_code` read it as they read the text itself."""
    text = _INSIDE.sub(r"\1'", text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def unguarded(cell: str) -> str:
    """The cell, trimmed before its text, without the apostrophes that `harmless` puts into it. The same
    apostrophe of a sender's own stands before nothing but a formula, and is none of the text either."""
    if "'" in cell:
        cell = _GUARDED.sub(r"\1", cell)
    cell = cell.lstrip()
    while cell[:1] == "'" and cell[1:].startswith(_FORMULA):
        cell = cell[1:].lstrip()
    return cell


def bare(cell: str) -> str:
    """The text of a cell, trimmed, without what tells a spreadsheet that it is text: `="…"`, or an apostrophe
    before what would be calculated."""
    cell = unguarded(cell).rstrip()
    as_text = _AS_TEXT.fullmatch(cell)
    return as_text[1].strip() if as_text else cell


def bare_code(cell: str) -> str:
    """As `bare`, of a number or serial: these begin with no apostrophe, and their spaces are plain."""
    return bare(_LEADING.sub("", unguarded(cell).translate(_SPACES), count=1))


def damage(text: str) -> Damage | None:
    """What a spreadsheet did to a number; None for a text that looks like none that one has damaged."""
    if scientific := _SCIENTIFIC.fullmatch(text):
        return _expanded(scientific[1] + (scientific[2] or ""), int(scientific[3]) + 1)
    if decimals := _DECIMALS.fullmatch(text):
        return _kept(decimals[1], "with decimals")
    if thousands := _THOUSANDS.fullmatch(text):
        return _kept("".join(re.findall("[0-9]+", thousands[1])), "with thousands separators")
    return None


def _kept(digits: str, manner: str) -> Damage:
    return Damage(digits if len(digits) <= _KEPT else "", manner)


def _expanded(digits: str, length: int) -> Damage:
    """A number of that length that was written in scientific notation with these digits.

    One zero at its end may go unwritten. Had another digit been rounded away in its place, no check digit would
    hold with the zero: rounding up by one asks for a last digit of 2 or 3 (Luhn) or of 3 (GS1), and those are
    rounded down; unless it carries, which makes the last written digit a zero. Of two digits nothing is certain.
    """
    manner = "in scientific notation"
    if len(digits) == length - 1 < _KEPT and not digits.endswith("0"):
        return Damage(f"{digits}0", manner, assumed=True)
    whole = len(digits) >= length and not digits[length:].strip("0")
    kept = whole and length <= _LONGEST and not _is_rounded(digits[:length])
    return Damage(digits[:length] if kept else "", manner)


def _is_rounded(digits: str) -> bool:
    """Whether a long number may be what a float, or the 15 digits of a spreadsheet, have made of another."""
    number = int(digits)
    return len(digits) > _KEPT and (digits[-1] == "0" or (number > _EXACT and int(float(number)) == number))


def lost(text: str, what: str, found: Damage, why: str = "") -> str:
    """The sentence of a number that cannot be repaired."""
    wrong = "its check digit is wrong" if found.digits and not found.assumed else "digits of it are lost"
    return f"'{shown(text)}' is {what} that a spreadsheet has written {found.manner}, and {why or wrong}. {EXPORT}"


def imei(text: str) -> tuple[int, str]:
    """The key of an IMEI, and what was read for it where that was not plainly written ('' where it was).

    Raises BadImei, as `app.core.imei.written` does.
    """
    text = bare_code(text)
    try:
        return written(text), ""
    except BadImei as error:
        found = damage(text)
        if found is None:
            return _with_its_zero(text.translate(_SPACING), text, error)
        if not found.digits:
            raise BadImei("imei-not-digits", lost(text, "an IMEI", found)) from error
        return _whole(text, found)


def _whole(text: str, found: Damage) -> tuple[int, str]:
    try:
        return written(found.digits), f"a spreadsheet had written it {found.manner}"
    except BadImei as error:
        sentence = (
            f"'{shown(text)}' is a number that a spreadsheet has written {found.manner}. {error} {EXPORT}"
        )
        problem = BadImei(error.code, sentence)
        if found.assumed:
            problem = BadImei("imei-not-digits", lost(text, "an IMEI", found))
        key, manner = _with_its_zero(found.digits, text, problem)
        return key, f"{manner} and written it {found.manner}"


def _with_its_zero(digits: str, text: str, error: BadImei) -> tuple[int, str]:
    """An IMEI of reporting body 01 that a spreadsheet took for a number of 14 digits.

    Adding a check digit that is missing is no repair: any 14 digits can be completed, so nothing is confirmed
    by it. But where they could be an IMEI of reporting body 10 without its check digit, a zero that fits may
    fit by chance.
    """
    if len(digits) != 14 or not (digits.isascii() and digits.isdigit()) or digits[0] != "1":
        raise error
    try:
        key = written(f"0{digits}")
    except BadImei:
        raise error from None
    if digits[1] == "0":
        raise BadImei(
            "imei-length",
            f"'{shown(text)}' has 14 digits: a spreadsheet may have dropped a leading zero, and the IMEI would"
            f" be 0{digits}, or the check digit at its end is missing. {EXPORT}",
        ) from error
    return key, "a spreadsheet had dropped its leading zero"
