"""JSON that is strictly JSON: no name twice in an object, nothing that cannot be stored, no deeper than DEPTH.

A large text is taken apart one level at a time, so that what is inside becomes a Python value only once it is known
to be small: building values of a hostile text takes seconds in which a process does nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from app.core.errors import Flaw, Invalid, TooLarge, below

DEPTH = 64
# Commas and brackets of a text that is taken apart; sixty megabytes of EPCs have a quarter of that.
MOST_PARTS = 4_000_000
MOST_FLAWS = 1000

_LARGEST = 2**63
_OBJECT, _LIST = re.compile(rb"\s*\{"), re.compile(rb"\s*\[")
T = TypeVar("T")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def value(text: bytes) -> Any:
    """What the text says. Raises Invalid `body-empty`, `body-malformed`, `body-name-twice`, `body-wrong`."""
    said = _decoded(text, msgspec.json.decode)
    if _is_deep(said):
        raise _malformed(f"it is nested more than {DEPTH} levels deep")
    _must_say_each_once(text, msgspec.json.encode(said))
    if b"\\u0000" in text and (found := unstorable(said)):
        raise wrong(found)
    return said


def members(text: bytes) -> dict[str, msgspec.Raw]:
    """The members of an object, as they stand: none twice, but what is inside them is not looked at. Raises Invalid
    `body-empty`, `body-malformed`, `body-name-twice`; TooLarge `body-too-many-parts`."""
    parts = sum(map(text.count, (b",", b"[", b"{")))
    if parts > MOST_PARTS:
        raise TooLarge(
            f"The body has {parts:,} commas and brackets; {MOST_PARTS:,} are taken at once. Send it in parts.",
            "body-too-many-parts",
        )
    found = _decoded(text, _members)
    _must_say_each_once(text, msgspec.json.encode(found))
    return found


def elements(text: bytes) -> list[msgspec.Raw]:
    """The elements of a list, as they stand, not looked at. Raises Invalid `body-empty`, `body-malformed`."""
    return _decoded(text, _elements)


def is_object(text: bytes | msgspec.Raw) -> bool:
    return _OBJECT.match(text) is not None


def is_list(text: bytes | msgspec.Raw) -> bool:
    return _LIST.match(text) is not None


def must_say_something(text: bytes) -> None:
    if not text.strip():
        raise Invalid("The body is empty; it would be a JSON object.", "body-empty")


def unstorable(value: object) -> tuple[Flaw, ...]:
    """The texts with a NUL and the numbers beyond 64 bits in a value: PostgreSQL keeps neither."""
    return tuple(islice(_unstorable(value, ""), MOST_FLAWS))


def wrong(found: tuple[Flaw, ...]) -> Invalid:
    """The refusal of a body with these flaws."""
    if len(found) == 1:
        detail = f"The body cannot be read: {found[0].pointer or 'the whole of it'}: {found[0].detail}."
    else:
        detail = f"The body cannot be read: {len(found):,} things in it are wrong."
    return Invalid(detail, "body-wrong", found)


def read(text: bytes, how: Callable[[bytes], T]) -> T:
    """What `how` makes of a text. Raises Invalid where it is no JSON."""
    try:
        return how(text)
    except msgspec.DecodeError as error:
        raise _malformed(str(error)) from None
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None


def _decoded(text: bytes, decode: Callable[[bytes], T]) -> T:
    must_say_something(text)
    return read(text, decode)


def _malformed(why: str) -> Invalid:
    return Invalid(f"The body is not JSON: {why}.", "body-malformed")


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, (dict, list)) for inner in level)


def _must_say_each_once(text: bytes, again: bytes) -> None:
    """Colons stand between names and values, and in strings: a name that stands twice takes its own along."""
    if _colons(text) != _colons(again):
        raise Invalid(
            "The body says a name twice in one object; nobody can tell which is meant.", "body-name-twice"
        )


def _colons(text: bytes) -> int:
    # Behind a backslash that is itself escaped, u003a is no colon.
    text = text.replace(b"\\\\", b"") if b"\\\\" in text else text
    return sum(map(text.count, (b":", b"\\u003a", b"\\u003A")))


def _unstorable(value: object, at: str) -> Iterator[Flaw]:
    if isinstance(value, str) and "\0" in value:
        yield Flaw("it holds the character NUL, which no text may", at, "nul")
    elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        yield Flaw("the number is out of range; it would have at most 18 digits", at, "number-range")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _unstorable(name, below(at, name))
            yield from _unstorable(inner, below(at, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _unstorable(inner, below(at, place))
