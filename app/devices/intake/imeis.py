"""The IMEIs of one row: found in its cells, read, and held against what one device can have."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.core.imei import BODIES, BadImei, full, shown, written
from app.devices.intake import spreadsheet
from app.devices.intake.cells import Finding, flaw, warning

MOST_IMEIS = 4

# GSMA TS.06: bodies that allocate now, and those of older devices.
_TEST_BODIES = frozenset((0, 2, 3, 4, 5, 6, 7, 8, 9))

# One IMEI among several in a cell: a URN, a number that a spreadsheet damaged, or a run without separators.
_IMEI_IN_CELL = re.compile(
    r"urn:gsma:imei:[0-9-]+(?:;[a-z]+=[0-9]+)*"
    r"|[0-9][.,][0-9]+E\+?[0-9]+|[0-9]{13,16}[.,]0{1,6}(?![0-9])"
    r"|[0-9]{1,3}([.,'’\s])[0-9]{3}(?:\1[0-9]{3}){3}(?:[.,]0{1,6})?(?![0-9])"
    r"|[^\s,;|/]+",
    re.IGNORECASE,
)
_LONGEST_GROUP = 10
# The last six digits of a key are the serial number within its TAC.
_SERIALS = 10**6


def flawless(cells: Sequence[str]) -> list[int] | None:
    """The keys of cells that need no closer look, in order; None where some do."""
    keys = set()
    try:
        for cell in cells:
            if cell:
                key = written(cell)
                if key // 10**12 not in BODIES or not key % _SERIALS:
                    return None
                keys.add(key)
    except BadImei:
        return None
    return sorted(keys) if len(keys) <= MOST_IMEIS else None


def texts(cells: Sequence[str]) -> list[str]:
    """The IMEIs of all cells as texts; one that is only spaced or dashed inside stays whole."""
    return [text for cell in cells for text in _texts(cell)]


def _texts(cell: str) -> list[str]:
    cell = spreadsheet.unguarded(cell)
    parts = [match[0] for match in _IMEI_IN_CELL.finditer(cell)]
    if len(parts) > 1 and max(map(len, parts)) <= _LONGEST_GROUP:
        return [cell.strip()]
    return [part for part in parts if part.strip("-")]


def read(texts: Sequence[str], found: list[Finding]) -> list[int]:
    """The keys of a row's IMEIs, in order. What is wrong with them is added to `found`."""
    # Each IMEI may stand twice in different spelling; more texts than that are not worth a finding each.
    if len(set(texts)) > 2 * MOST_IMEIS:
        found.append(_too_many(len(set(texts)), texts[0]))
        return []
    keys = {key for text in dict.fromkeys(texts) if (key := _read(text, found))}
    if len(keys) > MOST_IMEIS:
        found.append(_too_many(len(keys), full(min(keys))))
    found += [_strange_body(key) for key in sorted(keys) if key // 10**12 not in BODIES]
    found += [_rounded(key) for key in sorted(keys) if not key % _SERIALS]
    return sorted(keys)


def _read(text: str, found: list[Finding]) -> int:
    """The key of an IMEI, or 0."""
    try:
        key, repaired = spreadsheet.imei(text)
    except BadImei as error:
        found.append(flaw("imeis", text, error.code, str(error)))
        return 0
    if repaired:
        sentence = f"'{shown(text)}' was read as IMEI {full(key)}: {repaired}."
        found.append(warning("imeis", text, "imei-repaired", sentence))
    return key


def _too_many(count: int, first: str) -> Finding:
    sentence = f"The row names {count} IMEIs; one device has at most {MOST_IMEIS}."
    return flaw("imeis", first, "too-many-imeis", sentence)


def _strange_body(key: int) -> Finding:
    body = key // 10**12
    why = "is a test range" if body in _TEST_BODIES else "belongs to no reporting body that we know"
    sentence = f"The IMEI begins with {body:02d}, which {why}; check that it was read from the device."
    return warning("imeis", full(key), "imei-reporting-body", sentence)


def _rounded(key: int) -> Finding:
    sentence = (
        f"The serial number in IMEI {full(key)} is 000000; a spreadsheet may have rounded the IMEI. Compare it with"
        " the device."
    )
    return warning("imeis", full(key), "imei-rounded", sentence)
