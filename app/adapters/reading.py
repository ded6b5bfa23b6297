"""How a partner's answer is read: as hostile input, into bounded words that repeat none of our secrets.

For every adapter, ours and third parties'. What is not understood becomes `unknown` or a Failing.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

import msgspec

from app.adapters.contract import Answer, Failing, Outcome
from app.adapters.settings import MASK
from app.core.imei import shown

CODE_LIMIT = 60
REF_LIMIT = 120
WORDS_LIMIT = 200

MISSING = Answer(Outcome.UNKNOWN, words="the partner's answer does not name this identifier")
CONFLICT = Answer(Outcome.UNKNOWN, words="the partner's answer contradicts itself about this identifier")

Item = TypeVar("Item", bound=msgspec.Struct)
Key = TypeVar("Key", bound=Hashable)


def document(body: bytes) -> Any:
    """The JSON in an answer. Raises Failing also for what parsers disagree on: NaN, a name given twice."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Failing("the answer is not JSON that we understand") from None


def items(listed: object, form: type[Item]) -> list[Item]:
    """The entries of a list that have the form; any other says nothing about anybody."""
    if not isinstance(listed, list):
        raise Failing("the answer holds no list of results")
    return [item for item in (_formed(entry, form) for entry in listed) if item is not None]


def one_each(keys: Iterable[Key], said: Iterable[tuple[Key, Answer]]) -> list[Answer]:
    """One answer per key, in the order of the keys; missing or contradicted is unknown, extras fall away."""
    heard: dict[Key, Answer] = {}
    for key, answer in said:
        if heard.setdefault(key, answer).outcome is not answer.outcome:
            heard[key] = CONFLICT
    return [heard.get(key, MISSING) for key in keys]


class Reader:
    """Makes answers of a partner's words. Holds the secrets that those words must not repeat."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def answer(self, outcome: Outcome, code: object = "", words: object = "", ref: object = "") -> Answer:
        """Our reading of one result; a code, words or a reference that is no text or number is dropped."""
        return Answer(
            outcome, self._tidy(code, CODE_LIMIT), self._tidy(words, WORDS_LIMIT), self._tidy(ref, REF_LIMIT)
        )

    def _tidy(self, said: object, limit: int) -> str:
        text = plain(said)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return shown(text, limit)


def plain(said: object) -> str:
    """A text or whole number of a foreign document as text; nothing for anything else."""
    if isinstance(said, str):
        return said
    small = isinstance(said, int) and not isinstance(said, bool) and abs(said) < 10**18
    return str(said) if small else ""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is given twice")
    return members


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _formed(entry: object, form: type[Item]) -> Item | None:
    try:
        return msgspec.convert(entry, form)
    except (msgspec.ValidationError, UnicodeError):  # UnicodeError: an entry with a lone surrogate
        return None
