"""The project's files as the rules read them: what git knows or would add; without git, what lies here."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Module(NamedTuple):
    """A Python file: its path from the root, and its tree."""

    path: PurePosixPath
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        """`delivery` for app/delivery/send.py, `worker` for app/worker.py."""
        return PurePosixPath(self.path.parts[1]).stem if len(self.path.parts) > 1 else ""


def module(path: str, text: str) -> Module:
    """A Python file of this text, as if it stood at `path`."""
    return Module(PurePosixPath(path), ast.parse(text), len(text.splitlines()))


@cache
def files() -> tuple[PurePosixPath, ...]:
    """Every file of the project, relative to its root."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(sorted(_walked(ROOT)))
    named = (PurePosixPath(name) for name in told.split("\0") if name)
    return tuple(sorted(path for path in named if (ROOT / path).is_file()))


def _walked(folder: Path) -> Iterator[PurePosixPath]:
    ignored = [*(ROOT / ".gitignore").read_text().split(), ".git/"]
    for path in folder.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if any(fnmatch(name, pattern) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _walked(path)
        else:
            yield PurePosixPath(path.relative_to(ROOT).as_posix())


def text(path: PurePosixPath) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def modules(folder: str = "") -> tuple[Module, ...]:
    """The Python files, of one top-level folder or of all."""
    return tuple(
        module(str(path), text(path))
        for path in files()
        if path.suffix == ".py" and (not folder or path.parts[0] == folder)
    )


def report(faults: Iterator[str]) -> None:
    """Fails with every fault, one a line."""
    found = list(faults)
    assert not found, "\n" + "\n".join(found)
