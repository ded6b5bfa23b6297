"""What msgspec says of a value that has not its form, in words for people."""

from __future__ import annotations

import re
from collections.abc import Callable

from app.core.imei import shown

_NOUNS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def sentence(message: str) -> str:
    """What msgspec says of a value, in our words."""
    message = message.partition(" - at `")[0]
    for pattern, words in _SENTENCES:
        if found := pattern.fullmatch(message):
            return words(found)
    return message


def _noun(name: str) -> str:
    return " or ".join(_NOUNS.get(part, part) for part in name.split(" | "))


_SENTENCES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"Expected `([^`]+)`, got `([^`]+)`"),
        lambda found: f"it would be {_noun(found[1])}, not {_noun(found[2])}",
    ),
    (
        re.compile(r"Expected `([^`]+)` (>=|<=|>|<) (\S+)"),
        lambda found: f"it would be {_noun(found[1])}, {_BOUNDS[found[2]]} {found[3]}",
    ),
    (
        re.compile(r"Expected `([^`]+)` of length (>=|<=|>|<) (\S+)"),
        lambda found: (
            f"it would be {_noun(found[1])} of {_BOUNDS[found[2]]} {int(found[3]):,} "
            + ("characters" if found[1] == "str" else "items")
        ),
    ),
    (
        re.compile(r"Expected `str` matching regex '(.+)'"),
        lambda found: f"it would be a string like {found[1]}",
    ),
    (
        re.compile(r"Invalid RFC3339 encoded datetime"),
        lambda _: "it would be a time such as 2026-12-22T02:00:00Z",
    ),
    (
        re.compile(r"Object contains unknown field `([^`]*)`", re.DOTALL),
        lambda found: f"there is no field '{shown(found[1])}' here",
    ),
    (
        re.compile(r"Object missing required field `([^`]+)`"),
        lambda found: f"the field '{found[1]}' is missing",
    ),
    (
        re.compile(r"Invalid enum value (.+)", re.DOTALL),
        lambda found: f"{shown(found[1])} is none of its words",
    ),
    (re.compile(r"Integer value out of range"), lambda _: "the number is out of range"),
)
