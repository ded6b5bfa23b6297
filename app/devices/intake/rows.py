"""From the texts of one row to a device: all flaws of a row are found at once.

Knows no file format. Never looks at another row: a line that comes twice is two rows here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

from app.core.errors import Flaw, Invalid
from app.core.imei import BODIES, BadImei, body, full, written
from app.devices.intake import cells
from app.devices.intake.cells import Finding, flaw, warning

MOST_IMEIS = 4

_TEST_BODIES = frozenset((0, 2, 3, 4, 5, 6, 7, 8, 9))

# One IMEI among several in a cell: a URN, a number that a spreadsheet damaged, or a run without separators.
_IMEI_IN_CELL = re.compile(
    r"urn:gsma:imei:[0-9-]+(?:;[a-z]+=[0-9]+)*"
    r"|[0-9][.,][0-9]+E\+?[0-9]+|[0-9]{13,16}[.,]0{1,6}(?![0-9])"
    r"|[^\s,;|/]+",
    re.IGNORECASE,
)
_LONGEST_GROUP = 10
_SHARED_KEPT = 256


class Shared(NamedTuple):
    """What the rows of one article on one pallet have in common; texts are '' where there is none."""

    gtin: str
    pallet: str
    site: str
    owner: str
    model: str
    unit_value: Decimal | None
    currency: str


class Row(NamedTuple):
    """A device as a goods-in file names it; a line may name several. Keys are sorted and single; neighbours hold the
    same `shared`."""

    line: int
    keys: list[int]
    serial: str
    shared: Shared


class Defaults(NamedTuple):
    """What holds for every row that does not say otherwise."""

    site: str = ""
    owner: str = ""
    currency: str = ""


def read_defaults(*, site: str = "", owner: str = "", currency: str = "") -> Defaults:
    """What a submission says of all its rows. Raises Invalid `defaults-wrong` with every flaw."""
    found: list[Finding] = []
    defaults = Defaults(
        cells.text("site", site, found), cells.text("owner", owner, found), cells.currency(currency, found)
    )
    if found:
        flaws = tuple(Flaw(finding.sentence, finding.field, finding.code) for finding in found)
        raise Invalid(" ".join(flaw.detail for flaw in flaws), "defaults-wrong", flaws)
    return defaults


# What a row says: the device, or None when a finding rejects it; warnings come with either.
Read: TypeAlias = tuple[Row | None, Sequence[Finding]]

# The answer to one data row: what it says, and its own cells, so that it can be given back as it came (as the
# one cell: of a JSON object its text, of a device in a dispatch advice the segments of its item and its own).
Reading: TypeAlias = tuple[Row | None, Sequence[Finding], Sequence[str]]


class Submission(NamedTuple):
    """A file that is being read: the names of its columns (none where rows have no cells), and its rows."""

    columns: tuple[str, ...]
    readings: Iterator[Reading]


# The same as Shared, as the file has it.
SharedCells: TypeAlias = tuple[str, str, str, str, str, str | Decimal, str]


class _Checked(NamedTuple):
    shared: Shared
    findings: tuple[Finding, ...]


class Rows:
    """Reads the rows of one file. Keeps the latest shared texts with what was found in them."""

    def __init__(self, defaults: Defaults) -> None:
        self._checked = lru_cache(maxsize=_SHARED_KEPT)(partial(_check, defaults))

    def read(self, line: int, imeis: Sequence[str], serial: str, cells_shared: SharedCells) -> Read:
        """What one row says. `imeis` are cells: each may be empty or hold several IMEIs."""
        shared, findings = checked = self._checked(cells_shared)
        keys = _flawless_keys(imeis)
        serial = serial.strip()
        if keys and not findings and len(serial) <= cells.TEXT_LIMIT and serial.isprintable():
            return Row(line, keys, serial, shared), ()
        return _read_closely(line, imeis, serial, cells_shared[0], checked)


def _flawless_keys(imeis: Sequence[str]) -> list[int]:
    """The keys, or nothing where a closer look is needed."""
    keys = []
    try:
        for imei in imeis:
            if imei:
                key = written(imei)
                if key // 10**12 not in BODIES:
                    return []
                keys.append(key)
    except BadImei:
        return []
    keys = sorted(set(keys)) if len(keys) > 1 else keys
    return keys if len(keys) <= MOST_IMEIS else []


def _read_closely(line: int, imeis: Sequence[str], serial: str, gtin: str, checked: _Checked) -> Read:
    found: list[Finding] = []
    texts = [text for cell in imeis for text in _imeis_in(cell)]
    keys = _read_imeis(texts, found)
    serial = cells.serial(serial, found)
    if not texts and not (serial and gtin.strip()):
        sentence = (
            "A device without IMEI needs a serial and a GTIN; the row names no IMEI and not both of them."
        )
        found.append(flaw("imeis", "", "not-identified", sentence))
    found += checked.findings
    findings = [finding._replace(line=line) for finding in found]
    if any(finding.rejected for finding in findings):
        return None, findings
    return Row(line, keys, serial, checked.shared), findings


def _imeis_in(cell: str) -> list[str]:
    """The IMEIs of a cell as texts; one that is only spaced or dashed inside stays whole."""
    parts = _IMEI_IN_CELL.findall(cell)
    if len(parts) > 1 and max(map(len, parts)) <= _LONGEST_GROUP:
        return [cell.strip()]
    return [part for part in parts if part.strip("-")]


def _read_imeis(texts: list[str], found: list[Finding]) -> list[int]:
    # Each IMEI may stand twice in different spelling; more texts than that are not worth a finding each.
    if len(set(texts)) > 2 * MOST_IMEIS:
        found.append(_too_many(len(set(texts)), texts[0]))
        return []
    keys = set()
    for text in dict.fromkeys(texts):
        try:
            keys.add(written(text))
        except BadImei as error:
            found.append(flaw("imeis", text, error.code, str(error)))
    if len(keys) > MOST_IMEIS:
        found.append(_too_many(len(keys), full(min(keys))))
    found += [_strange_body(key) for key in sorted(keys) if body(key) not in BODIES]
    return sorted(keys)


def _too_many(count: int, first: str) -> Finding:
    sentence = f"The row names {count} IMEIs; one device has at most {MOST_IMEIS}."
    return flaw("imeis", first, "too-many-imeis", sentence)


def _strange_body(key: int) -> Finding:
    first = body(key)
    why = "is a test range" if first in _TEST_BODIES else "belongs to no reporting body that we know"
    sentence = f"The IMEI begins with {first:02d}, which {why}; check that it was read from the device."
    return warning("imeis", full(key), "imei-reporting-body", sentence)


def _check(defaults: Defaults, shared: SharedCells) -> _Checked:
    gtin, pallet, site, owner, model, unit_value, currency = shared
    found: list[Finding] = []
    amount = cells.unit_value(unit_value, found)
    named = currency.strip() or defaults.currency
    code = cells.currency(named, found)
    if amount is not None and not named:
        sentence = "The unit value has no currency; name one in three letters, such as EUR."
        found.append(flaw("currency", "", "currency-missing", sentence))
    values = Shared(
        cells.gtin(gtin, found),
        cells.pallet(pallet, found),
        cells.text("site", site, found) or defaults.site,
        cells.text("owner", owner, found) or defaults.owner,
        cells.description(model, found),
        amount,
        code if amount is not None else "",
    )
    return _Checked(values, tuple(found))
