"""The serials and IMEIs that GIN and GIR segments name, unit by unit.

GIN lists: two components are the first and last of a range (EANCOM's notes on C208, EIDX), never two IMEIs of a
handset. A GIR set (7297: 1 product, 3 package) ties what it lists to one unit (UN/EDIFACT DESADV, LIN group); a
handset's IMEIs stand there. BN is a serial; EI an IMEI, since D.20A: D.96A, D.01B and EANCOM have no code for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from app.core import imei
from app.core.imei import shown
from app.devices.intake.cells import Finding, flaw, warning
from app.devices.intake.envelope import Segment

LONGEST_RANGE = 10_000

_SERIAL, _IMEI = "BN", "EI"
_UNIT_SETS = frozenset(("1", "3"))
_COUNTED = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)


class Unit(NamedTuple):
    """What is said of one device: its IMEIs as they came, its serial or '', and what looks odd."""

    imeis: tuple[str, ...]
    serial: str
    findings: tuple[Finding, ...] = ()

    @property
    def names(self) -> set[str]:
        """Each identity of the unit."""
        return {*self.imeis, self.serial} - {""}


def is_set(segment: Segment) -> bool:
    """Whether the segment ties identities to one unit."""
    return segment.tag == "GIR" and segment.get(0) in _UNIT_SETS and any(_identities(segment))


def is_list(segment: Segment) -> bool:
    """Whether the segment names units one by one or as ranges."""
    return segment.tag == "GIN" and segment.get(0) in (_SERIAL, _IMEI)


def tied(segment: Segment) -> Unit:
    """The unit of a set."""
    named = list(_identities(segment))
    imeis = tuple(value for value, qualifier in named if qualifier == _IMEI or _is_imei(value))
    serials = list(dict.fromkeys(value for value, _ in named if value not in imeis))
    if len(serials) > 1:
        listed = shown(", ".join(serials), 100)
        sentence = (
            f"The set names {len(serials)} serials that are no IMEIs ({listed}); one device has one serial."
        )
        # Neither is taken for it, also where the row comes again as it is.
        return Unit(imeis, "", (flaw("serial", serials[1], "too-many-serials", sentence),))
    serial = "".join(serials)
    if _is_long(serial) and not imeis:
        return _wrong_imei(serial)
    return Unit(imeis, serial, _doubtful(serial))


def _identities(segment: Segment) -> Iterator[tuple[str, str]]:
    for place in range(1, len(segment.elements)):
        value, qualifier = segment.get(place), segment.get(place, 1)
        if value and (qualifier in (_SERIAL, _IMEI) or (not qualifier and _is_imei(value))):
            yield value, qualifier


def listed(segment: Segment) -> Iterator[tuple[int, Iterator[Unit]]]:
    """Each single number or range with how many units it names; a range that is refused counts as none."""
    certain = segment.get(0) == _IMEI
    for place in range(1, len(segment.elements)):
        first, last = segment.get(place), segment.get(place, 1)
        if first and last and first != last:
            yield _range(first, last, certain)
        elif first or last:
            yield 1, iter((_single(first or last, certain),))


def _single(value: str, certain: bool) -> Unit:
    if certain or _is_imei(value):
        return Unit((value,), "")
    return _wrong_imei(value) if _is_long(value) else Unit((), value)


def _range(first: str, last: str, certain: bool) -> tuple[int, Iterator[Unit]]:
    if _is_imei(first) and _is_imei(last):
        low, high = int(first[:14]), int(last[:14])
        if imei.tac(low) != imei.tac(high):
            why = "an IMEI range stays within one TAC; the IMEIs of one handset stand in a GIR set"
            return _refused(first, last, "range-wrong", why)
        units = (Unit((imei.full(key),), "") for key in range(low, high + 1))
        return _bounded(first, last, high - low + 1, units)
    if certain or (_is_long(first) and _is_long(last)):
        return _refused(
            first, last, "range-wrong", "both would be IMEIs of 15 digits with the right check digit"
        )
    start, end = _COUNTED.fullmatch(first), _COUNTED.fullmatch(last)
    if start is None or end is None or start[1] != end[1] or len(start[2]) != len(end[2]):
        why = "both would be alike but for the digits at their end, and as long"
        return _refused(first, last, "range-wrong", why)
    low, high, width = int(start[2]), int(end[2]), len(start[2])
    serials = (Unit((), f"{start[1]}{number:0{width}d}") for number in range(low, high + 1))
    return _bounded(first, last, high - low + 1, serials)


def _bounded(first: str, last: str, count: int, units: Iterator[Unit]) -> tuple[int, Iterator[Unit]]:
    if count < 1:
        return _refused(first, last, "range-wrong", "the first comes after the last")
    if count > LONGEST_RANGE:
        why = f"it would name {count:,} devices, and a range may name {LONGEST_RANGE:,}; send it in parts"
        return _refused(first, last, "range-too-long", why)
    return count, units


def _refused(first: str, last: str, code: str, why: str) -> tuple[int, Iterator[Unit]]:
    said = f"{first}:{last}"
    sentence = f"'{shown(said, 80)}' is not a range: {why}."
    return 0, iter((Unit((), "", (flaw("serial", said, code, sentence),)),))


def _is_imei(value: str) -> bool:
    return _is_long(value) and imei.check_digit(int(value[:14])) == int(value[14])


def _is_long(value: str) -> bool:
    return len(value) == 15 and value.isascii() and value.isdigit()


def _wrong_imei(value: str) -> Unit:
    # Taken for a serial, it could never be corrected.
    right = imei.check_digit(int(value[:14]))
    sentence = (
        f"IMEI {value} fails the Luhn check: its last digit would be {right}. If it is a serial, it would stand in the"
        " serial column of the rejected rows, or beside an IMEI in a GIR set."
    )
    return Unit((value,), "", (flaw("imeis", value, "imei-check-digit", sentence),))


def _doubtful(serial: str) -> tuple[Finding, ...]:
    if not _is_long(serial):
        return ()
    sentence = (
        f"{serial} has the length of an IMEI and fails its Luhn check, so it is taken as a serial; as an IMEI it"
        f" would be {imei.full(int(serial[:14]))}."
    )
    return (warning("serial", serial, "serial-or-imei", sentence),)
