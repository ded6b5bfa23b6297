"""What partners answer when they are broken or wicked: bodies for the conformance suite.

Some are the same for every protocol, the others are a good answer of the protocol, spoiled.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

RETRY_AFTER = (
    "7",
    "Wed, 21 Oct 2099 07:28:00 GMT",
    "Wed, 21 Oct 2099 07:28:00 +99999999999999999999",
    "-5",
    "1000000000",
    "9" * 5000,
    "soon",
    "",
)

BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n",
    "null": b"null",
    "true": b"true",
    "zero": b"0",
    "text": b'"ok"',
    "no-items": b"[]",
    "no-members": b"{}",
    "items-of-nothing": b"[null, [], {}, 1]",
    "nan": b"NaN",
    "nan-inside": b'{"status": NaN, "results": [NaN]}',
    "huge-number": b"1" * 100_000,
    "huge-exponent": b"[1e999999]",
    "deep-lists": b"[" * 100_000,
    "deep-objects": b'{"a":' * 100_000,
    "deep-and-whole": b"[" * 50_000 + b"]" * 50_000,
    "invalid-utf8": b'{"status": "\xff\xfe"}',
    "byte-order-mark": b"\xef\xbb\xbf{}",
    "lone-surrogate": b'["\\ud800"]',
    "nul": b"\x00",
    "nul-inside": b'{"status": "\\u0000"}',
    "html": b"<!doctype html><title>Gateway</title><h1>It works!</h1>",
    "long": b"a" * 2**20,
    "compressed": gzip.compress(b"{}", mtime=0),
}

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "\x00",
    "\ud800",
    "\u202e\n\x1b[31m",
    "9" * 100_000,
    [],
    {},
    [[]],
)

Lists = Callable[[list[Any]], list[Any]]


def broken(good: bytes) -> Iterator[tuple[str, bytes]]:
    """A good answer that did not arrive whole, or with something else behind it."""
    if good.strip():
        yield "cut", good[: len(good) // 2]
        yield "cut-by-one", good.rstrip()[:-1]
        yield "followed", good + b"\n<!-- cached -->"


def relisted(document: Any, change: Lists) -> Any:
    """The document with every list of objects in it changed."""
    if isinstance(document, dict):
        return {name: relisted(value, change) for name, value in document.items()}
    if isinstance(document, list) and document and all(isinstance(item, dict) for item in document):
        return change(document)
    return document


def spoiled(document: Any, keep: Callable[[Any], bool], value: Any) -> Any:
    """The document with every value replaced, but for those to keep."""
    if isinstance(document, dict):
        return {name: spoiled(inner, keep, value) for name, inner in document.items()}
    if isinstance(document, list):
        return [spoiled(inner, keep, value) for inner in document]
    return document if keep(document) else value


def doubled(document: Any, other: Any) -> str:
    """JSON in which every member is there twice, first with the value of `other`."""
    if isinstance(document, dict):
        twice = (
            f"{json.dumps(name)}:{doubled(value, value)},{json.dumps(name)}:{doubled(inner, inner)}"
            for (name, inner), value in zip(document.items(), other.values(), strict=True)
        )
        return "{" + ",".join(twice) + "}"
    if isinstance(document, list):
        return "[" + ",".join(map(doubled, document, other)) + "]"
    return json.dumps(document)
