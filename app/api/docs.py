"""The API for people: one page drawn from the OpenAPI document, without script and without outside help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")


def page(document: dict[str, Any], address: str) -> bytes:
    """The page, with examples for the API at `address`."""
    drawn = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn.filters |= {"prose": _prose, "kind": _kind, "limits": _limits, "example": _example}
    sections = [(tag, _operations(document, tag["name"])) for tag in document["tags"]]
    text = drawn.get_template("docs.html").render(document=document, sections=sections, address=address)
    return text.encode()


def _operations(document: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    """The operations of one tag, with the responses that they refer to in full."""
    shared = document["components"]["responses"]
    return [
        {
            "parameters": [],
            "requestBody": None,
            "description": "",
            **operation,
            "method": method,
            "path": path,
            "responses": {
                status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                for status, answer in operation["responses"].items()
            },
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]


def _prose(text: str) -> Markup:
    """Paragraphs, and code between backticks."""
    paragraphs = [_CODE.sub(r"<code>\1</code>", str(escape(part))) for part in text.split("\n\n")]
    return Markup("".join(f"<p>{part}</p>" for part in paragraphs))  # noqa: S704 (escaped above)


def _kind(schema: dict[str, Any]) -> Markup:
    """What a value is, in a few words, with a link where it has a schema of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_kind(form) for form in schema["anyOf"])
    if schema.get("type") == "array":
        return Markup("list of {}").format(_kind(schema["items"])) if "items" in schema else Markup("list")
    if "enum" in schema:
        return Markup(" | ").join(Markup("<code>{}</code>").format(value) for value in schema["enum"])
    kind = schema.get("type", "anything")
    return escape(schema.get("format") or (" or ".join(kind) if isinstance(kind, list) else kind))


_LIMITS = {
    "minimum": "at least {:,}",
    "maximum": "at most {:,}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {:,} items",
    "maxItems": "at most {:,} items",
}


def _limits(schema: dict[str, Any]) -> str:
    """The bounds and the default of a value; the largest number that fits the database is no news."""
    found = [
        words.format(schema[name])
        for name, words in _LIMITS.items()
        if name in schema and schema[name] < 2**62
    ]
    if schema.get("default") not in (None, "", []):
        found.append(f"{msgspec.json.encode(schema['default']).decode()} where it is left out")
    return ", ".join(found)


def _example(value: object) -> str:
    """An example as it would be sent."""
    return value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value)).decode()
