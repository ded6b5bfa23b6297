"""Files that hold keys: nobody but their owner, and a group that he chose, reads them, or we do not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from app.core.errors import Invalid

# Others may do anything, the group may write.
_TOO_OPEN = stat.S_IRWXO | stat.S_IWGRP


def read(path: Path, name: str) -> str:
    """The text of a key file, which `name` names. Raises Invalid: it cannot be read, or too many can."""
    try:
        return opened(path, name)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Invalid(f"{name} is {path}, which cannot be read: {why}.", "key-file") from None


def opened(path: Path, name: str) -> str:
    """The same; lets out OSError and UnicodeDecodeError."""
    with path.open(encoding="utf-8") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read()
    if mode & _TOO_OPEN:
        can = "read" if mode & stat.S_IROTH else "change"
        raise Invalid(
            f"{name} is {path}, which others may {can} (mode {mode:04o}). A key that others know is none: chmod 600"
            f" {path}, and make another key if somebody may have read it.",
            "key-file-open",
        )
    return text
