"""Checkpoints (C2SP tlog-checkpoint): which log, how many leaves, and the tree hash over them. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from app.core.errors import Invalid

_TEXT = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,17})\n(?P<root>[^\n]+)\n(?:[^\n]+\n)*",
)


class Head(NamedTuple):
    """What a checkpoint says: the log's name, its leaves, and the RFC 6962 tree hash over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def read(text: str) -> Head:
    """What the text of a checkpoint says; further lines are passed over. Raises Invalid (`checkpoint-wrong`)."""
    match = _TEXT.fullmatch(text)
    root = _root(match["root"]) if match else None
    if match is None or root is None:
        raise Invalid(
            "That is no checkpoint: it would be the log's name, its size and the base64 of its tree hash, a line each.",
            "checkpoint-wrong",
        )
    return Head(match["origin"], int(match["size"]), root)


def _root(text: str) -> bytes | None:
    try:
        root = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return root if len(root) == 32 else None
