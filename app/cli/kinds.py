"""The kinds of adapters that are installed, and what their settings are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import product
from typing import Annotated, Any, get_args, get_origin

import msgspec
import rich_click as click
from rich.text import Text

from app.adapters import registry
from app.adapters.contract import Adapter
from app.cli import options, show

_FILES_ROOT = "IMEI_GATEWAY_FILES_ROOT"


@click.command()
@options.as_json
@options.acting
def kinds(as_json: bool) -> None:
    """List the kinds of adapters, with their settings. It needs no gateway.

    \b
    Example
      $ imei-gateway partner kinds
      $ cat ceir.json
      {"url": "https://ceir.example", "username": "gateway", "password": "…", "reasons": {"theft": "Stolen"}}
      $ imei-gateway partner add "National CEIR" --adapter ceir --settings ceir.json
    """
    found = sorted(registry.adapters().items())
    if as_json:
        show.json({"adapters": [described(kind, it) for kind, it in found]})
        return
    for kind, it in found:
        draw(kind, it)


def warn_of_files(texts: Iterable[Any]) -> None:
    """Says so where files on our own disk are meant by one of the texts, and this shell names no directory for them."""
    if any("file:///" in str(text) for text in texts) and not os.environ.get(_FILES_ROOT):
        show.say(
            f"{_FILES_ROOT} is not set here; a file:///… address only works where it is set for the workers.",
            "yellow",
        )


class Setting(msgspec.Struct, frozen=True):
    """One setting as people are told of it. `default` is null where it is required."""

    name: str
    type: str
    required: bool
    default: Any
    secret: bool
    right: str


def described(kind: str, it: type[Adapter]) -> dict[str, Any]:
    """A kind of adapter for programs: its settings one by one, and their JSON schema."""
    return {
        "kind": kind,
        "title": it.title,
        "kinds": sorted(it.kinds),
        "enrols": it.enrols,
        "package": registry.origin(kind),
        "fields": settings(kind, it.settings),
        "settings": msgspec.json.schema(it.settings),
    }


def draw(kind: str, it: type[Adapter]) -> None:
    """A kind of adapter for people."""
    enrols = "; enrols devices at goods-in" if it.enrols else ""
    told = f"  {it.title}; blocks by {' and '.join(sorted(it.kinds))}{enrols}"
    show.draw(Text.assemble((kind, "bold"), told))
    columns = ("setting", "default", "type", "secret", "what it would be")
    show.draw(show.table("", columns, map(_row, settings(kind, it.settings))), "")


def _row(it: Setting) -> tuple[str, ...]:
    return it.name, _default(it), it.type, "secret" if it.secret else "", it.right


def _default(it: Setting) -> str:
    if it.required:
        return "required"
    if it.default in ("", None):
        return "–"
    return it.default if isinstance(it.default, str) else json.dumps(it.default)


def settings(kind: str, form: type[msgspec.Struct]) -> list[Setting]:
    """The settings of a kind, one by one."""
    schema = msgspec.json.schema(form)
    properties = schema["$defs"][form.__name__]["properties"]
    return [
        Setting(
            name=(name := field.encode_name),
            type=_type(properties[name]),
            required=field.required,
            default=_preset(field),
            secret=registry.public_settings(kind, {name: "shown"})[name] != "shown",
            right=properties[name].get("description", ""),
        )
        for field in msgspec.structs.fields(form)
    ]


def _preset(field: msgspec.structs.FieldInfo) -> Any:
    if field.required:
        return None
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _type(schema: dict[str, Any]) -> str:
    """In the words of JSON; of a word that is one of a few, these few."""
    if words := schema.get("enum"):
        return " or ".join(map(json.dumps, words))
    if forms := schema.get("anyOf"):
        return " or ".join(map(_type, forms))
    return str(schema.get("type", "object"))


def _plain(text: str, form: Any) -> Any:
    return msgspec.convert(text, form, strict=False)


def _json(text: str, form: Any) -> Any:
    return msgspec.json.decode(text, type=form)


def typed(form: type[msgspec.Struct], name: str, text: str) -> Any:
    """A setting's text, or its JSON, as its form wants it; where that is out of its bounds, it is of its type all
    the same, and else left as it is: the registry says why."""
    for field in msgspec.structs.fields(form):
        if field.encode_name == name:
            bare = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
            loose = get_origin(bare) if get_origin(bare) in (list, dict) else bare
            for read, wanted in product((_plain, _json), (field.type, bare, loose)):
                with suppress(
                    msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError
                ):
                    return read(text, wanted)
    return text
