"""The kinds of adapters that are installed, and what their settings are."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import rich_click as click
from rich.text import Text

from app.adapters import registry
from app.cli import options, show


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
        show.json({"adapters": [
            {"kind": kind, "title": it.title, "kinds": sorted(it.kinds), "enrols": it.enrols,
             "settings": msgspec.json.schema(it.settings)}
            for kind, it in found
        ]})  # fmt: skip
        return
    for kind, it in found:
        show.draw(Text.assemble((kind, "bold"), f"  {it.title}; blocks by {' and '.join(sorted(it.kinds))}"))
        show.draw(show.table("", ("setting", "default", "what it would be"), _rows(kind, it.settings)), "")


def _rows(kind: str, form: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    schema = msgspec.json.schema(form)
    properties = schema["$defs"][form.__name__]["properties"]
    return [
        (
            field.encode_name,
            _default(field),
            _right(kind, field.encode_name, properties[field.encode_name]),
        )
        for field in msgspec.structs.fields(form)
    ]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value in ("", None):
        return "–"
    return value if isinstance(value, str) else json.dumps(value)


def _right(kind: str, name: str, schema: dict[str, Any]) -> str:
    described = schema.get("description") or " or ".join(schema.get("enum", ())) or schema.get("type", "")
    secret = registry.public_settings(kind, {name: "shown"})[name] != "shown"
    return f"secret; {described}" if secret else described


def _plain(text: str, form: Any) -> Any:
    return msgspec.convert(text, form, strict=False)


def _json(text: str, form: Any) -> Any:
    return msgspec.json.decode(text, type=form)


def typed(form: type[msgspec.Struct], name: str, text: str) -> Any:
    """A setting's text, or its JSON, as its form wants it; left as it is where it cannot be: the registry
    says why."""
    for field in msgspec.structs.fields(form):
        if field.encode_name == name:
            for read in (_plain, _json):
                with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    return read(text, field.type)
    return text
