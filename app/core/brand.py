"""When two spellings are one brand. Knows no brand by name."""

from __future__ import annotations

from unicodedata import normalize


def folded(brand: str) -> str:
    """The form in which brands are compared: without case, width and spare spaces (`OPPO ` is `oppo`)."""
    return " ".join(normalize("NFKC", normalize("NFKC", brand).casefold()).split())
