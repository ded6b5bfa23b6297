"""Dispatch advices (EANCOM DESADV, D.96A and D.01B) as goods-in: a reading per serial or IMEI that they name.

After EANCOM 1997 and 2002: CPS names a package and the one around it, PCI and GIN+BJ (or AW) give a package's SSCC,
LIN an item with its GTIN (SRV, EN, UP), QTY+12 what was dispatched, NAD+DP the delivery party. What GIN and GIR may
say is in serials.py. A device's pallet is the outermost package around it that has an SSCC (see `Marks`).
A line is a segment's number in the file, which may name many. BY and SU are parties and no owners, so they give none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from app.core.errors import Invalid
from app.core.imei import shown
from app.devices.intake import edifact
from app.devices.intake.dispatched import COLUMNS, Item, Marks, Message
from app.devices.intake.envelope import Segment, broken
from app.devices.intake.rows import Defaults, Reading, Rows, Submission

MOST_DEVICES = 1_000_000

# EANCOM allows 9,999 CPS in a message.
_MOST_PACKAGES = 50_000
_GS1 = ("9", "")
_CANCELLED = "1"


def read(source: BinaryIO, defaults: Defaults) -> Submission:
    """A reading per device, with its cells under COLUMNS, and one without row or cells for what is to be said of an
    item as a whole.

    Raises Invalid where a segment breaks the interchange, wherever that is (see edifact.py), and
    `desadv-expected`, `desadv-cancelled`, `desadv-too-many`, `file-empty`.
    """
    return Submission(COLUMNS, _readings(source, defaults))


def _readings(source: BinaryIO, defaults: Defaults) -> Iterator[Reading]:
    advice = _Advice(Rows(defaults), defaults)
    count = 0
    for segment in edifact.segments(source):
        for reading in advice.take(segment):
            # What is said of an item has no cells.
            count += bool(reading[2])
            if count > MOST_DEVICES:
                text = f"the file names more than {MOST_DEVICES:,} devices; send it in parts"
                raise broken(segment, text, "desadv-too-many")
            yield reading
    if not count:
        text = "The dispatch advice names no device; serials and IMEIs would stand in GIN (BN, EI) or GIR segments."
        raise Invalid(text, "file-empty")


class _Advice:
    """Follows one message after the other: what holds for all of it, its packages, and the item at hand."""

    def __init__(self, rows: Rows, defaults: Defaults) -> None:
        self._rows = rows
        self._defaults = defaults
        self._nothing = Message(site=defaults.site, owner=defaults.owner, currency=defaults.currency)
        self._message = self._nothing
        self._packages: dict[str, Marks] = {}
        self._marks = Marks()
        self._item: Item | None = None

    def take(self, segment: Segment) -> Iterator[Reading]:
        """One more segment; what it completes."""
        begins = _BEGINS.get(segment.tag)
        if begins is not None:
            if self._item is not None:
                yield from self._item.end()
            begins(self, segment)
        elif self._item is None:
            tells = _HEADER.get(segment.tag)
            if tells is not None:
                tells(self, segment)
        else:
            self._item.take(segment)
            if self._item.is_full:
                yield from self._item.give()

    def _begin_message(self, segment: Segment) -> None:
        kind = segment.get(1)
        if kind != "DESADV":
            text = f"the message is '{shown(kind)}'; goods-in takes DESADV, a dispatch advice"
            raise broken(segment, text, "desadv-expected")
        self._message, self._packages, self._marks, self._item = self._nothing, {}, Marks(), None

    def _begin_package(self, segment: Segment) -> None:
        number, around = segment.get(0), segment.get(1)
        self._marks = Marks(self._packages.get(around) if around != number else None)
        self._packages[number] = self._marks
        if len(self._packages) > _MOST_PACKAGES:
            raise broken(segment, f"the message has more than {_MOST_PACKAGES:,} packages; send it in parts")
        self._begin_item(segment)

    def _begin_item(self, segment: Segment) -> None:
        self._item = Item(segment, self._message, self._marks, self._rows)

    def _end_message(self, segment: Segment) -> None:
        self._item = None

    def _name_document(self, segment: Segment) -> None:
        if segment.get(2) == _CANCELLED:
            text = f"the dispatch advice {shown(segment.get(1))} is a cancellation (1225 is 1); it brings no goods"
            raise broken(segment, text, "desadv-cancelled")
        self._message = self._message._replace(document=shown(segment.get(1)))

    def _name_party(self, segment: Segment) -> None:
        number = segment.get(1)
        is_gln = len(number) == 13 and number.isascii() and number.isdigit() and segment.get(1, 2) in _GS1
        if segment.get(0) == "DP" and is_gln and not self._defaults.site:
            self._message = self._message._replace(site=number)

    def _name_currency(self, segment: Segment) -> None:
        self._message = self._message._replace(currency=segment.get(0, 1) or self._nothing.currency)

    def _refuse_serials(self, segment: Segment) -> None:
        raise broken(
            segment, "it stands before the first CPS and LIN; it would stand in a package or an item"
        )


_BEGINS: dict[str, Callable[[_Advice, Segment], None]] = {
    "UNH": _Advice._begin_message, "CPS": _Advice._begin_package, "LIN": _Advice._begin_item,
    "UNT": _Advice._end_message,
}  # fmt: skip
_HEADER: dict[str, Callable[[_Advice, Segment], None]] = {
    "BGM": _Advice._name_document, "NAD": _Advice._name_party, "CUX": _Advice._name_currency,
    "GIN": _Advice._refuse_serials, "GIR": _Advice._refuse_serials,
}  # fmt: skip
