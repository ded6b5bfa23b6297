"""From the texts of one row to a device: all flaws of a row are found at once.

Knows no file format. Never looks at another row: a line that comes twice is two rows here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from app.core.errors import Flaw, Invalid
from app.devices.intake import amounts, cells, imeis, spreadsheet
from app.devices.intake.cells import Finding, flaw

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
        cells.text("site", site, found),
        cells.text("owner", owner, found),
        amounts.default_currency(currency, found),
    )
    if found:
        flaws = tuple(Flaw(finding.sentence, finding.field, finding.code) for finding in found)
        raise Invalid(" ".join(flaw.detail for flaw in flaws), "defaults-wrong", flaws)
    return defaults


# What a row says: the device, or None when a finding rejects it; warnings come with either.
Read: TypeAlias = tuple[Row | None, Sequence[Finding]]

# The answer to one data row: what it says, and its own cells, so that it can be given back as it came (as the
# one cell the text of a JSON object; of a device in a dispatch advice what the advice says of it).
# With the first row, after its own findings, comes what is said of the file as a whole.
Reading: TypeAlias = tuple[Row | None, Sequence[Finding], Sequence[str]]


class Columns(NamedTuple):
    """How rows are given back: the names of their columns, none where rows have no cells, and what a CSV has
    between its cells."""

    names: Sequence[str] = ()
    delimiter: str = ","


class Submission(NamedTuple):
    """A file that is being read: the names of its columns (none where rows have no cells), and its rows."""

    columns: tuple[str, ...]
    readings: Iterator[Reading]
    delimiter: str = Columns().delimiter


# The same as Shared, as the file has it.
SharedCells: TypeAlias = tuple[str, str, str, str, str, str | Decimal, str]


def shared_cells(*, gtin: str = "", site: str = "", owner: str = "", model: str = "") -> SharedCells:
    """Cells of a device that nobody has put on a pallet or priced."""
    return gtin, "", site, owner, model, "", ""


class _Checked(NamedTuple):
    shared: Shared
    findings: tuple[Finding, ...]


class _CheckedCells(dict[SharedCells, _Checked]):
    """The latest shared cells, with what was found in them; they are forgotten when they become many."""

    def __init__(self, defaults: Defaults) -> None:
        super().__init__()
        self._defaults = defaults

    def __missing__(self, shared: SharedCells) -> _Checked:
        if len(self) >= _SHARED_KEPT:
            self.clear()
        checked = self[shared] = _check(self._defaults, shared)
        return checked


class Rows:
    """Reads the rows of one file."""

    def __init__(self, defaults: Defaults) -> None:
        self._checked = _CheckedCells(defaults)

    def read(
        self,
        line: int,
        imei_cells: Sequence[str],
        serial: str,
        cells_shared: SharedCells,
        keys: list[int] | None = None,
    ) -> Read:
        """What one row says. Each IMEI cell may be empty or hold several IMEIs; `keys` are what they say,
        where that is known already."""
        shared, findings = checked = self._checked[cells_shared]
        serial = serial.strip()
        if not findings and cells.is_plain(serial):
            if keys is None:
                keys = imeis.flawless(imei_cells)
            if keys or (keys is not None and serial and shared.gtin):
                return Row(line, keys, serial, shared), ()
        return _read_closely(line, imei_cells, serial, cells_shared[0], checked)


def _read_closely(line: int, imei_cells: Sequence[str], serial: str, gtin: str, checked: _Checked) -> Read:
    found: list[Finding] = []
    texts = imeis.texts(imei_cells)
    keys = imeis.read(texts, found)
    serial = cells.serial(serial, found)
    if not texts and not (serial and spreadsheet.bare_code(gtin)):
        sentence = (
            "A device without IMEI needs a serial and a GTIN; the row names no IMEI and not both of them."
        )
        found.append(flaw("imeis", "", "not-identified", sentence))
    found += checked.findings
    findings = [finding._replace(line=line) for finding in found]
    if any(finding.rejected for finding in findings):
        return None, findings
    return Row(line, keys, serial, checked.shared), findings


def _check(defaults: Defaults, shared: SharedCells) -> _Checked:
    gtin, pallet, site, owner, model, unit_value, currency = shared
    found: list[Finding] = []
    amount, code = amounts.worth(unit_value, currency, defaults.currency, found)
    values = Shared(
        cells.gtin(gtin, found),
        cells.pallet(pallet, found),
        cells.text("site", site, found) or defaults.site,
        cells.text("owner", owner, found) or defaults.owner,
        cells.description(model, found),
        amount,
        code,
    )
    return _Checked(values, tuple(found))
