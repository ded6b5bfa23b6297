"""Everything that is wrong with a JSON value, by the form that it was to have, each flaw with its place.

msgspec stops at the first flaw; a request is mended sooner when all of them are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from app.core import clock
from app.core.errors import Flaw, below
from app.core.imei import shown
from app.core.misfit import sentence

MOST = 1000

_NOTHING = (type(None), msgspec.UnsetType)
_STEP = re.compile(r"\.([^.\[]+)|\[([0-9]+)\]")


def misfits(form: Any, value: object) -> tuple[Flaw, ...]:
    """What keeps a value from being read as `form`; nothing if it can be. At most the first 1,000 flaws."""
    return tuple(islice(_misfits(form, value, ""), MOST))


def impossible(said: object, at: str = "") -> Iterator[Flaw]:
    """The times in what a body said that nothing can have happened at."""
    if isinstance(said, datetime):
        if said.tzinfo and not clock.is_possible(said):
            yield Flaw(f"the time cannot be right; {clock.POSSIBLE}", at, "time-impossible")
    elif isinstance(said, msgspec.Struct):
        for field in msgspec.structs.fields(type(said)):
            yield from impossible(getattr(said, field.name), below(at, field.encode_name))
    elif isinstance(said, list | tuple):
        for place, inner in enumerate(said):
            yield from impossible(inner, below(at, place))


def first(message: str) -> Flaw:
    """The one flaw that msgspec names, `… - at `$.scope.imeis[3]``, with its place."""
    where = re.search(r" - at `(?:key in )?\$(.*)`$", message, re.DOTALL)
    parts = _STEP.findall(where[1]) if where else []
    pointer = "".join(below("", name or place) for name, place in parts)
    return Flaw(sentence(message), pointer, "malformed")


def said(form: Any, value: object, message: str) -> str:
    """What msgspec says of a value that was to have this form; of a word that is none of a few, these few."""
    words = _words(_plain(form, value))
    if words and isinstance(value, str):
        return f"'{shown(value)}' would be one of {', '.join(words)}"
    return sentence(message)


def _words(form: Any) -> Sequence[str]:
    if isinstance(form, type) and issubclass(form, Enum):
        return [member.value for member in form]
    return get_args(form) if get_origin(form) is Literal else ()


def _misfits(form: Any, value: object, at: str) -> Iterator[Flaw]:
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        inner = _inside(_plain(form, value), value, at)
        first = next(inner, None)
        yield first or Flaw(said(form, value, str(error)), at, "malformed")
        yield from inner


def _plain(form: Any, value: object) -> Any:
    """The type itself: without its notes, and without the null, or the silence, that the value is not."""
    if get_origin(form) is Annotated:
        form = get_args(form)[0]
    members = [member for member in get_args(form) if member not in _NOTHING]
    if type(None) in get_args(form) and len(members) == 1 and value is not None:
        return _plain(members[0], value)
    return form


def _inside(form: Any, value: object, at: str) -> Iterator[Flaw]:
    if isinstance(value, dict) and isinstance(form, type) and issubclass(form, msgspec.Struct):
        yield from _in_object(form, value, at)
    elif isinstance(value, list) and get_origin(form) in (list, tuple):
        for place, item in enumerate(value):
            yield from _misfits(get_args(form)[0], item, below(at, place))


def _in_object(form: type[msgspec.Struct], value: Mapping[str, object], at: str) -> Iterator[Flaw]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(form)}
    for name in value:
        if name not in fields and form.__struct_config__.forbid_unknown_fields:
            yield Flaw(_no_field(name, list(fields)), below(at, name), "field-unknown")
    for name, field in fields.items():
        if name in value:
            yield from _misfits(field.type, value[name], below(at, name))
        elif field.required:
            yield Flaw(f"the field '{name}' is missing", below(at, name), "field-missing")


def _no_field(name: str, names: Sequence[str]) -> str:
    return f"there is no field '{shown(name)}' here; there are {', '.join(names)}"
