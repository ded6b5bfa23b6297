"""The API for people: one page drawn from the OpenAPI document, without script and without outside help."""

from __future__ import annotations

from typing import Any


def page(document: dict[str, Any]) -> bytes:
    """The page."""
    return repr(document).encode()
