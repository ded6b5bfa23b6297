"""How a partner's answer is read: as hostile input, into bounded words that repeat none of our secrets.

For every adapter, ours and third parties'. What is not understood becomes `unknown` or a Failing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from app.adapters.contract import Answer, Failing, Outcome
from app.adapters.settings import MASK
from app.core.imei import shown

CODE_LIMIT = 60
REF_LIMIT = 120
WORDS_LIMIT = 200
LIST_LIMIT = 1_000_000
# Entries of another form that a list of results may hold: each takes as long to refuse as ten good ones to read.
STRANGE_LIMIT = 1000

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
    """The entries of a list that have the form; any other says nothing about anybody. Raises Failing for a list that
    is full of others."""
    if not isinstance(listed, list):
        raise Failing("the answer holds no list of results")
    found, strange = list[Item](), 0
    for entry in listed:
        try:
            found.append(msgspec.convert(entry, form))
        except (msgspec.ValidationError, UnicodeError):  # UnicodeError: an entry with a lone surrogate
            strange += 1
            if strange > STRANGE_LIMIT:
                raise Failing(f"more than {STRANGE_LIMIT:,} of the results have another form") from None
    return found


def entries(listed: object, form: type[Item]) -> list[Item]:
    """Every entry of an inventory, in its form. Raises Failing where one has another: passed over, it would count
    as not there."""
    try:
        return msgspec.convert(listed, list[form])  # type: ignore[valid-type]
    except (msgspec.ValidationError, UnicodeError):
        raise Failing("the answer holds something else than it would") from None


async def whole(
    page: Callable[[int], Awaitable[Sequence[Item]]], name: Callable[[Item], Hashable], size: int
) -> list[Item]:
    """An inventory that comes in pages of about `size`, counted from 0, until one is empty: a partner may give
    fewer a page than it was asked for. Raises Failing where it repeats itself or has no end."""
    found: dict[Hashable, Item] = {}
    for number in range(LIST_LIMIT // size + 2):
        listed = await page(number)
        if not listed:
            return list(found.values())
        known = len(found)
        found.update((name(entry), entry) for entry in listed)
        if len(found) == known:
            raise Failing("the pages of the partner's list repeat themselves")
        if len(found) > LIST_LIMIT:
            break
    raise Failing(f"the partner's list does not end where {LIST_LIMIT:,} entries would")


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
            outcome, self.tidy(code, CODE_LIMIT), self.tidy(words, WORDS_LIMIT), self.tidy(ref, REF_LIMIT)
        )

    def tidy(self, said: object, limit: int) -> str:
        """What a partner said, short and printable, with our secrets masked."""
        text = plain(said)
        if not text:
            return ""
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
