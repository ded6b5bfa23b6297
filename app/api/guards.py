"""What every request must be before anybody looks at it: its path and its query can be read in one way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote_to_bytes

from litestar.exceptions import NotFoundException

from app.api import notes
from app.api.problems import AnyRequest
from app.core.errors import Flaw, Invalid
from app.core.imei import shown

_LARGEST = 2**63
# What would be taken for a whole number, and is not written as one: 1e3, 1.0, -0.
_WRITTEN_OTHERWISE = re.compile(rb"-0|-?[0-9]+[.eE].*", re.DOTALL)


async def well_formed(request: AnyRequest) -> None:
    """Raises NotFoundException or Invalid for what could be read in two ways, or not at all."""
    if not _is_canonical(request):
        raise NotFoundException
    query, handler = request.scope["query_string"], request.route_handler
    if query and handler.resolve_include_in_schema():
        known, any_other = frozenset(notes.parameters(handler).values()), notes.of(handler).any_query
        found = tuple(_query_flaws(query, known, notes.numbers(handler), any_other))
        if found:
            detail = f"The query cannot be read: {found[0].pointer}: {found[0].detail}."
            raise Invalid(detail, "query-wrong", found)


def _is_canonical(request: AnyRequest) -> bool:
    """Whether each number in the path has its one form there: int() would take 007, 1_0 and ٣ as well."""
    numbers = [value for value in request.path_params.values() if isinstance(value, int)]
    # Of the path, not of a template: another parameter of it may be any text.
    parts = request.scope["path"].split("/")
    return all(0 < value < _LARGEST and parts.count(str(value)) >= numbers.count(value) for value in numbers)


def _query_flaws(
    query: bytes, known: frozenset[str], numbers: frozenset[str], any_other: bool
) -> Iterator[Flaw]:
    seen: set[str] = set()
    for pair in query.split(b"&"):
        raw_name, _, raw_value = pair.replace(b"+", b" ").partition(b"=")
        name = shown(unquote_to_bytes(raw_name).decode("utf-8", "replace"))
        if any_other and name not in known:
            continue
        flaw = parameter_flaw(name, unquote_to_bytes(raw_value), seen, known, numbers)
        if flaw:
            yield flaw
        seen.add(name)


def parameter_flaw(
    name: str, value: bytes, seen: Collection[str], known: Collection[str], numbers: Collection[str]
) -> Flaw | None:
    """Why a parameter could be read in two ways, or not at all; `seen` are those that were given before it."""
    if name not in known:
        there = ", ".join(sorted(known)) or "none here"
        return Flaw(f"there is no such parameter; there are {there}", name, "parameter-unknown")
    if name in seen:
        return Flaw("it is given twice; nobody can tell which is meant", name, "parameter-twice")
    if not _is_text(value):
        return Flaw("it would be UTF-8 text without the character NUL", name, "parameter-text")
    if name in numbers and _WRITTEN_OTHERWISE.fullmatch(value):
        return Flaw("it would be a whole number, in digits alone", name, "parameter-wrong")
    return None


def _is_text(value: bytes) -> bool:
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False
