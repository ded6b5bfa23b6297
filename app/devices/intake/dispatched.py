"""One item of a dispatch advice: what the segments of a LIN say of the devices that it names.

Its numbers are held until its end, since an amount may come after them and a set may say more of a number that
was listed; past what the directories allow (100 GIN and 100 GIR before MOA) they are given before that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from app.core.imei import shown
from app.devices.intake import amounts, serials
from app.devices.intake.cells import Finding, warning
from app.devices.intake.envelope import Segment
from app.devices.intake.lines import LINE_LIMIT
from app.devices.intake.rows import Read, Reading, Rows, SharedCells

COLUMNS = ("imei", "serial", "gtin", "pallet", "site", "owner", "model", "unit_value", "currency")
"""What is known of a device, as a file with a header would say it."""

_HELD = 4 * LINE_LIMIT
_MOST_NOTES = 50
_GTIN = frozenset(("SRV", "EN", "UP"))
# 7077: free text, long or short; 7081: none, article name, description, product.
_FREE = frozenset(("A", "E", "F", "B", ""))
_NAME = frozenset(("", "ANM", "DSC", "8"))
_PRICES = ("AAA", "INV", "CAL", "AAB", "AAF", "AAE")
_UNIT_PRICE = "146"
_NUMBER = re.compile(r"[0-9]{1,15}(?:[.,][0-9]{1,20})?")


class Message(NamedTuple):
    """What holds for every item of a message; `site`, `owner` and `currency` may be the submission's."""

    document: str = ""
    site: str = ""
    owner: str = ""
    currency: str = ""


class Marks:
    """The SSCCs of a package, and what the packages around it say: a device's pallet is the outermost SSCC that is
    the only one of its level.

    When pallets are gone, their SSCCs are named, and not those of the cartons or layers on them.
    """

    __slots__ = ("_above", "_own", "_unclear_above")

    def __init__(self, around: Marks | None = None) -> None:
        self._above = around.pallet if around else ""
        self._unclear_above = around is not None and around.unclear
        self._own: set[str] = set()

    def add(self, segment: Segment) -> None:
        """Take those of a GIN; a range counts as several."""
        for place in range(1, len(segment.elements)):
            self._own |= {segment.get(place), segment.get(place, 1)} - {""}
            self._own = set(sorted(self._own)[:2])

    @property
    def pallet(self) -> str:
        """The SSCC, or ''."""
        return self._above or (next(iter(self._own)) if len(self._own) == 1 else "")

    @property
    def unclear(self) -> bool:
        """Whether there are several, and nothing says on which of them a device stands."""
        return not self.pallet and (len(self._own) > 1 or self._unclear_above)


class _Named(NamedTuple):
    segment: Segment
    pallet: str


class Item:
    """Collects what is said of an item, and gives a reading for each device that it names."""

    def __init__(self, start: Segment, message: Message, marks: Marks, rows: Rows) -> None:
        self._start = start
        self._message = message
        self._around = marks
        self._marks = marks
        self._marking = False
        self._rows = rows
        self._gtin = _gtin(start, 2) if start.tag == "LIN" else ""
        self._model = ""
        self._price: tuple[int, str | Decimal] | None = None
        self._amount: tuple[str | Decimal, str] | None = None
        self._quantity: Decimal | None = None
        self._each = Decimal(1)
        self._packed = False
        self._held: list[_Named] = []
        self._size = 0
        self._count = 0
        self._given = False
        self._refused = False
        self._told = False
        self._notes: list[Finding] = []

    @property
    def is_full(self) -> bool:
        """Whether what is held is to be given now, before the item's end."""
        return self._size > _HELD

    def take(self, segment: Segment) -> None:
        """One more segment of the item."""
        if serials.is_set(segment) or serials.is_list(segment):
            self._name(segment)
            return
        tells = _TELLS.get(segment.tag)
        if tells is not None:
            if self._given and segment.tag in ("PIA", "IMD", "PRI", "MOA"):
                self._note_late(segment)
            tells(self, segment)

    def _name(self, segment: Segment) -> None:
        if self._marks.unclear and not self._told:
            self._told = True
            sentence = (
                "several SSCCs stand above the devices, and none is said to be theirs; they have no pallet"
            )
            self._note("pallet", "", "pallet-unclear", sentence)
        self._held.append(_Named(segment, self._marks.pallet))
        self._size += len(segment.text)
        self._marking = False

    def _mark(self, segment: Segment) -> None:
        if segment.get(0) not in ("BJ", "AW"):
            return
        if self._start.tag == "LIN" and not self._marking:
            self._marks = Marks(self._around)
            self._marking = True
        self._marks.add(segment)

    def _pack(self, segment: Segment) -> None:
        # What follows PCI is said of a package of the item.
        self._packed = True

    def _identify(self, segment: Segment) -> None:
        if segment.get(0) == "5" and not self._gtin:
            places = range(1, len(segment.elements))
            self._gtin = next((found for place in places if (found := _gtin(segment, place))), "")

    def _describe(self, segment: Segment) -> None:
        if segment.get(0) in _FREE and segment.get(1) in _NAME and not self._model:
            first, second = segment.get(2, 3), segment.get(2, 4)
            # Text that fills its field (35 characters in D.96A) goes on in the middle of a word.
            self._model = first + second if len(first) == 35 else f"{first} {second}".strip()

    def _measure(self, segment: Segment) -> None:
        qualifier, number = segment.get(0), _number(segment.get(0, 1))
        if self._start.tag != "LIN" or qualifier not in ("12", "59") or (self._packed and qualifier == "12"):
            return
        if not isinstance(number, Decimal):
            said = shown(segment.get(0, 1))
            sentence = f"the quantity '{said}' is no number, so the devices cannot be counted against it"
            self._note("quantity", said, "quantity-malformed", sentence, segment.number)
        elif qualifier == "12":
            self._quantity = number
        else:
            self._each = number

    def _prices(self, segment: Segment) -> None:
        qualifier, price, basis = (
            segment.get(0),
            _number(segment.get(0, 1)),
            _number(segment.get(0, 4) or "1"),
        )
        if qualifier not in _PRICES:
            return
        rank = _PRICES.index(qualifier)
        if self._price is None or rank < self._price[0]:
            known = isinstance(price, Decimal) and isinstance(basis, Decimal) and basis
            self._price = rank, Decimal(price) / Decimal(basis) if known else f"{price} per {basis}"

    def _values(self, segment: Segment) -> None:
        if segment.get(0) == _UNIT_PRICE:
            self._amount = _number(segment.get(0, 1)), segment.get(0, 2)

    def _note(self, field: str, value: str, code: str, sentence: str, line: int = 0) -> None:
        if len(self._notes) < _MOST_NOTES:
            said = f"In dispatch advice {self._message.document or 'without number'}, {sentence}."
            self._notes.append(warning(field, value, code, said, line or self._start.number))

    def _note_late(self, segment: Segment) -> None:
        sentence = f"{segment.tag} comes after so many serials that some are registered without it; it would come first"
        self._note(segment.tag, segment.text, "after-serials", sentence, segment.number)

    def give(self) -> Iterator[Reading]:
        """A reading for each device named so far, and for what is to be said of the item."""
        sets = [serials.tied(segment) for segment, _ in self._held if segment.tag == "GIR"]
        known = {name for unit in sets for name in unit.names}
        held, self._held, self._size, self._given = self._held, [], 0, True
        said = self._message
        for segment, pallet in held:
            shared = (self._gtin, pallet, said.site, said.owner, self._model, *self._worth())
            rest = [*shared[:5], _written(shared[5]), shared[6]]
            for unit in self._units(segment, known):
                row, found = self._read(segment.number, unit, shared)
                yield row, found, [" ".join(unit.imeis), unit.serial, *rest]
        yield from self._noted()

    def _noted(self) -> Iterator[Reading]:
        if self._notes:
            notes, self._notes = self._notes, []
            yield None, notes, []

    def _units(self, segment: Segment, known: set[str]) -> Iterator[serials.Unit]:
        if segment.tag == "GIR":
            self._count += 1
            yield serials.tied(segment)
            return
        for count, units in serials.listed(segment):
            self._refused |= not count
            for unit in units:
                if not known or not unit.names & known:
                    self._count += 1
                    yield unit

    def end(self) -> Iterator[Reading]:
        """What is left to give, with the count of the devices held against the quantity."""
        yield from self.give()
        expected = self._quantity
        if expected is None or self._refused or self._count in (expected, expected * self._each):
            return
        many = f"{expected:f} devices were dispatched (QTY+12), and"
        if self._count:
            self._note("quantity", f"{expected:f}", "quantity-differs", f"{many} {self._count} are named")
        else:
            sentence = f"{many} no serial is named (GIN or GIR); none can be registered"
            self._note("quantity", f"{expected:f}", "quantity-without-serials", sentence)
        yield from self._noted()

    def _read(self, line: int, unit: serials.Unit, shared: SharedCells) -> Read:
        if any(finding.rejected for finding in unit.findings):
            return None, [_placed(finding, line, unit) for finding in unit.findings]
        row, found = self._rows.read(line, unit.imeis, unit.serial, shared)
        return row, [_placed(_worded(finding), line, unit) for finding in (*found, *unit.findings)]

    def _worth(self) -> tuple[str | Decimal, str]:
        if self._price is not None:
            return self._price[1], self._message.currency
        if self._amount is not None:
            return self._amount[0], self._amount[1] or self._message.currency
        return "", ""


_TELLS: dict[str, Callable[[Item, Segment], None]] = {
    "GIN": Item._mark, "PCI": Item._pack, "PIA": Item._identify, "IMD": Item._describe, "QTY": Item._measure,
    "PRI": Item._prices, "MOA": Item._values,
}  # fmt: skip


def _placed(finding: Finding, line: int, unit: serials.Unit) -> Finding:
    """The finding with its segment and its device, of which a segment names many."""
    name = f"IMEI {'+'.join(unit.imeis)}" if unit.imeis else f"serial {unit.serial}" if unit.serial else ""
    named = f", {shown(name, 80)}" if name else ""
    return finding._replace(line=line, sentence=f"Segment {line}{named}: {finding.sentence}")


def _written(value: str | Decimal) -> str:
    """A price as a file with a header would have it."""
    return amounts.plainly(f"{value:.10f}") if isinstance(value, Decimal) else value


def _gtin(segment: Segment, place: int) -> str:
    return segment.get(place) if segment.get(place, 1) in _GTIN else ""


def _number(text: str) -> str | Decimal:
    """A number, which EDIFACT writes without marks between thousands; else the text itself."""
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else text


def _worded(finding: Finding) -> Finding:
    if finding.code != "text-encoding":
        return finding
    sentence = (
        f"The {finding.field} holds bytes that the interchange's character set does not have; UNB would name the"
        " one that was used, such as UNOC or UNOY."
    )
    return finding._replace(sentence=sentence)
