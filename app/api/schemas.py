"""JSON schemas of what goes over the wire, by the types that read and write it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, get_args

import msgspec

REF = "#/components/schemas/{name}"


class Schemas:
    """The schemas of some types, those that they consist of among them, by name."""

    def __init__(self, kinds: Sequence[Any]) -> None:
        found, components = msgspec.json.schema_components(kinds, ref_template=REF)
        self._schemas = dict(zip(kinds, found, strict=True))
        # As JSON has it: a default of a tuple is a list there.
        self.components: dict[str, Any] = msgspec.json.decode(
            msgspec.json.encode(dict(sorted(components.items())))
        )
        for struct in {struct for kind in kinds for struct in _structs(kind)}:
            _complete(self.components[struct.__name__], struct)
        for schema in self.components.values():
            if "description" in schema:
                schema["description"] = inspect.cleandoc(schema["description"])

    def of(self, kind: Any) -> dict[str, Any]:
        """A reference to one of them."""
        found: dict[str, Any] = self._schemas[kind]
        return found


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from _structs(field.type)
    for inner in get_args(kind):
        yield from _structs(inner)


def _complete(schema: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Says of times that they are times, which msgspec leaves out."""
    for field in msgspec.structs.fields(struct):
        if _is_time(field.type):
            said = schema["properties"][field.encode_name]
            for form in (said, *said.get("anyOf", ())):
                if form.get("type") == "string":
                    form["format"] = "date-time"


def _is_time(kind: Any) -> bool:
    return kind is datetime or any(map(_is_time, get_args(kind)))
