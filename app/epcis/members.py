"""The members of a JSON object, read one by one; what is wrong with each is noted with its pointer (RFC 6901).

What cannot be read comes back empty, so that reading goes on and finds the next flaw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.core import clock
from app.core.errors import Flaw, below
from app.core.imei import shown
from app.epcis import identity, words
from app.epcis.identity import BadEpc, Epc
from app.epcis.words import Vocabulary

# More flaws of one event help nobody.
_MOST_FLAWS = 1_000

_ZONED = re.compile(r"[Tt].*(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z")


def moment(value: str) -> datetime | None:
    """A time that says its zone, in UTC; None for any other text."""
    said = _said(value)
    return said.astimezone(UTC) if said and clock.is_possible(said) else None


def _said(value: str) -> datetime | None:
    try:
        return msgspec.convert(value, datetime) if _ZONED.search(value) else None
    except msgspec.ValidationError:
        return None


def written(at: datetime) -> str:
    """A time as events carry it: UTC, with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def no_time(value: str) -> str:
    """Why a text is no time of an event."""
    if _said(value):
        return f"'{shown(value)}' cannot be right: {clock.POSSIBLE}."
    right = "it would be a time with its zone, such as 2026-12-22T02:00:00.000+01:00"
    return f"'{shown(value)}' is not a time: {right}."


class Members:
    """One object, where it stands, and the list to which its flaws go (objects inside it share the list)."""

    def __init__(self, value: Mapping[str, Any], at: str = "", flaws: list[Flaw] | None = None) -> None:
        self._value = value
        self._at = at
        self.flaws: list[Flaw] = [] if flaws is None else flaws

    def flaw(self, name: str, detail: str, code: str) -> None:
        """Notes a flaw of one member; of the object itself where `name` is ''."""
        self._note(below(self._at, name) if name else self._at, detail, code)

    def _note(self, at: str, detail: str, code: str) -> None:
        if len(self.flaws) < _MOST_FLAWS:
            self.flaws.append(Flaw(detail, at, code))

    def has(self, name: str) -> bool:
        return name in self._value

    def fills(self, name: str) -> bool:
        """Whether it is a list with something in it."""
        value = self._value.get(name)
        return isinstance(value, list) and bool(value)

    def missing(self, name: str, why: str = "") -> None:
        self.flaw(name, f"The member '{name}' is missing{why}.", "member-missing")

    def text(self, name: str, *, required: bool = False) -> str:
        if name in self._value:
            return self._text(self._value[name], below(self._at, name))
        if required:
            self.missing(name)
        return ""

    def _text(self, value: object, at: str) -> str:
        if isinstance(value, str) and value.strip():
            return value
        self._note(at, "It would be a text that says something.", "not-a-text")
        return ""

    def uri(self, name: str, *, required: bool = False) -> str:
        return self._uri(self.text(name, required=required), below(self._at, name))

    def _uri(self, value: str, at: str) -> str:
        if value and not identity.is_uri(value):
            self._note(at, f"'{shown(value)}' would be a URI.", "not-a-uri")
            return ""
        return value

    def uris(self, name: str) -> tuple[str, ...]:
        return tuple(self._uri(self._text(item, at), at) for item, at in self.items(name))

    def time(self, name: str, *, required: bool = False) -> datetime | None:
        """In UTC. A time without a zone is refused: nobody can tell which it means."""
        value = self.text(name, required=required)
        found = moment(value)
        if value and found is None:
            self.flaw(name, no_time(value), "time-malformed")
        return found

    def word(self, name: str, vocabulary: Vocabulary) -> str:
        return self._word(self.text(name), below(self._at, name), vocabulary)

    def words(self, name: str, vocabulary: Vocabulary) -> tuple[str, ...]:
        """The words of a list, each once, in their order."""
        if self._value.get(name) == []:
            self.flaw(name, f"It would hold at least one {vocabulary.noun}.", "list-empty")
        found = [self._word(self._text(item, at), at, vocabulary) for item, at in self.items(name)]
        return tuple(dict.fromkeys(word for word in found if word))

    def _word(self, value: str, at: str, vocabulary: Vocabulary) -> str:
        found = words.word(value, vocabulary) if value else ""
        if found is None:
            right = "it would be a word of CBV 2.0, or a URI of another vocabulary"
            self._note(at, f"'{shown(value)}' is no {vocabulary.noun}: {right}.", "word-unknown")
        return found or ""

    def epc(self, name: str) -> Epc | None:
        return self._epc(self.text(name), below(self._at, name))

    def epcs(self, name: str) -> tuple[Epc, ...]:
        found = (self._epc(self._text(item, at), at) for item, at in self.items(name))
        return tuple(epc for epc in found if epc is not None)

    def _epc(self, value: str, at: str) -> Epc | None:
        try:
            return identity.epc(value) if value else None
        except BadEpc as error:
            self._note(at, str(error), error.code)
            return None

    def items(self, name: str) -> Iterator[tuple[Any, str]]:
        """What a list holds, each with its pointer."""
        value = self._value.get(name, [])
        at = below(self._at, name)
        if isinstance(value, list):
            yield from ((item, f"{at}/{place}") for place, item in enumerate(value))
        else:
            self._note(at, "It would be a list.", "not-a-list")

    def inside(self, name: str) -> Members | None:
        """An object inside this one."""
        return self._inside(self._value[name], below(self._at, name)) if name in self._value else None

    def objects(self, name: str) -> Iterator[Members]:
        for item, at in self.items(name):
            if inner := self._inside(item, at):
                yield inner

    def _inside(self, value: object, at: str) -> Members | None:
        if isinstance(value, dict):
            return Members(value, at, self.flaws)
        self._note(at, "It would be an object.", "not-an-object")
        return None

    def known(self, names: frozenset[str], what: str) -> None:
        """Notes members that neither stand among `names` nor, by a colon, belong to another vocabulary."""
        for name in self._value:
            if name not in names and ":" not in name:
                right = "one of your own would have a prefix, as in my:name"
                self.flaw(name, f"{what} has no member '{shown(name)}'; {right}.", "member-unknown")

    def foreign(self) -> dict[str, Any]:
        """The members of other vocabularies."""
        return {name: value for name, value in self._value.items() if ":" in name}
