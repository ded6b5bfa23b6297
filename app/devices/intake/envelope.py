"""The envelope of an EDIFACT interchange (ISO 9735): what opens is closed, and the counts and references agree."""

from __future__ import annotations

from typing import NamedTuple

from app.core.errors import Invalid
from app.core.imei import shown

_ENDS = {"UNT": "UNH", "UNE": "UNG", "UNZ": "UNB"}
_NAMES = {"UNH": "message", "UNG": "group", "UNB": "interchange"}
# Where its reference stands, and which levels may be open around it.
_REFERENCES = {"UNB": 4, "UNG": 4, "UNH": 0}
_AROUND: dict[str, list[list[str]]] = {"UNB": [[]], "UNG": [["UNB"]], "UNH": [["UNB"], ["UNB", "UNG"]]}
_TEST = "1"


class Segment(NamedTuple):
    """A segment: its number in the file, its elements after the tag, and its text as it came, with its end."""

    number: int
    tag: str
    elements: list[list[str]]
    text: str

    def get(self, element: int, component: int = 0) -> str:
        """A component, both counted from 0; '' where there is none."""
        if element < len(self.elements) and component < len(self.elements[element]):
            return self.elements[element][component].strip()
        return ""


def broken(segment: Segment, right: str, code: str = "edifact-malformed") -> Invalid:
    """The refusal of an interchange for one of its segments."""
    return Invalid(f"Segment {segment.number} ({segment.tag}): {right}.", code)


class _Open:
    """A level that is open, and how much it has held so far."""

    def __init__(self, start: Segment) -> None:
        self.start = start
        self.reference = start.get(_REFERENCES[start.tag])
        self.held = 0


class Envelope:
    """Follows the service segments of one interchange."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._ended = False

    def admits(self, segment: Segment) -> bool:
        """Whether the segment belongs to a message, from its UNH to its UNT. Raises Invalid."""
        if self._ended:
            raise broken(segment, "it stands after UNZ; a file holds one interchange")
        if segment.tag in _AROUND:
            self._begin(segment)
        elif segment.tag in _ENDS:
            self._end(segment)
        elif not self._open or self._open[-1].start.tag != "UNH":
            raise broken(segment, "it stands outside a message; UNH would begin one")
        else:
            self._open[-1].held += 1
        return segment.tag in ("UNH", "UNT") or segment.tag not in _AROUND.keys() | _ENDS.keys()

    def close(self) -> None:
        """Raises Invalid where the interchange has no end."""
        if not self._ended:
            start = self._open[-1].start
            name = _NAMES[start.tag]
            raise broken(start, f"the {name} that begins here has no end; the file was cut off")

    def _begin(self, segment: Segment) -> None:
        around = [level.start.tag for level in self._open]
        if around not in _AROUND[segment.tag]:
            where = f"inside {around[-1]}" if around else "before UNB"
            raise broken(segment, f"it cannot stand {where}; an end is missing, or the beginning")
        if segment.tag == "UNB" and segment.get(10) == _TEST:
            text = "the interchange is marked as a test (0035 is 1); send it without that mark"
            raise broken(segment, text, "edifact-test")
        if self._open:
            self._open[-1].held += 1
        self._open.append(_Open(segment))

    def _end(self, segment: Segment) -> None:
        level = self._open.pop() if self._open else None
        if level is None or level.start.tag != _ENDS[segment.tag]:
            raise broken(segment, f"it ends no {_ENDS[segment.tag]}; each has one end")
        # A message counts its segments with UNH and UNT, an interchange its groups or else its messages.
        count = level.held + (2 if segment.tag == "UNT" else 0)
        self._count(segment, level.start, count)
        if segment.get(1) != level.reference:
            text = (
                f"the reference is '{shown(segment.get(1))}' where {level.start.tag}, segment"
                f" {level.start.number}, has '{shown(level.reference)}'; both would be the same"
            )
            raise broken(segment, text, "edifact-references")
        self._ended = segment.tag == "UNZ"

    def _count(self, segment: Segment, start: Segment, count: int) -> None:
        said = segment.get(0)
        if not (said.isascii() and said.isdigit() and len(said) <= 12 and int(said) == count):
            what = "segments, with UNH and UNT" if segment.tag == "UNT" else "messages or groups"
            since = f"since {start.tag}, segment {start.number}, there are {count} {what}"
            text = f"the count is '{shown(said)}', but {since}"
            raise broken(segment, text, "edifact-counts")
