"""A form without files, as browsers and curl send it (application/x-www-form-urlencoded)."""

from __future__ import annotations

from urllib.parse import parse_qsl

from app.core.errors import Invalid

TYPE = "application/x-www-form-urlencoded"


def fields(text: bytes) -> dict[str, str]:
    """What a form says. Raises Invalid `form-not-text`, `form-name-twice`."""
    try:
        pairs = parse_qsl(text.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid("The form is no UTF-8 text.", "form-not-text") from None
    said = dict(pairs)
    if len(said) < len(pairs):
        raise Invalid("The form says one thing twice; nobody can tell which is meant.", "form-name-twice")
    return said
