"""Characters that show. Others give a terminal orders, turn the direction of what follows, or hide in a name."""

from __future__ import annotations

import re
import unicodedata

# What isprintable() takes for one of them, and is none: spaces of other widths, and the one that breaks no line.
_SPACES = "".join(char for char in map(chr, range(0x3001)) if unicodedata.category(char) == "Zs")
_OTHER_SPACES = re.compile(f"[{_SPACES}]")


def is_visible(text: str) -> bool:
    """Whether all of it shows; line breaks and tabs do not."""
    return text.isprintable() or _OTHER_SPACES.sub("", text).isprintable()


def visible(text: str) -> str:
    """The text with a dot for what does not show; line breaks stay."""
    if is_visible(text.replace("\n", "")):
        return text
    return "".join(char if char == "\n" or is_visible(char) else "·" for char in text)
