"""A third party's package with an adapter, written anew: the texts beside this file, with its names in them.

What it writes works as it stands and passes the conformance suite. Nothing that is there is ever written over.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

import msgspec

from app.core.errors import Conflict, Invalid, Missing
from app.core.imei import shown

# Longer ones would break lines of what is written.
_LONGEST = 24
_KIND = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_RIGHT = f"lower-case letters, digits and single _, a letter first, {_LONGEST} characters at most"


class Package(msgspec.Struct, frozen=True):
    """The names of a package, all made of its adapter's kind: of `atlantis_west`, as in the comments."""

    kind: str

    @property
    def name(self) -> str:
        return "".join(word.capitalize() for word in self.kind.split("_"))  # AtlantisWest

    @property
    def title(self) -> str:
        return self.kind.replace("_", " ").capitalize()  # Atlantis west

    @property
    def module(self) -> str:
        return f"{self.kind}_adapter"

    @property
    def package(self) -> str:
        return self.module.replace("_", "-")

    def texts(self) -> dict[str, str]:
        """The files of the package, by their paths in it."""
        names = ("kind", "name", "title", "module", "package")
        said = {name: getattr(self, name) for name in names} | {
            "version": version("imei-gateway"),
            "python": interpreter(),
        }
        read = files(__name__)
        return {
            path: Template((read / source).read_text(encoding="utf-8")).substitute(said) if source else ""
            for path, source in self._sources().items()
        }

    def _sources(self) -> dict[str, str]:
        return {
            "pyproject.toml": "pyproject.toml.txt",
            "README.md": "README.md.txt",
            ".gitignore": "gitignore.txt",
            f"src/{self.module}/__init__.py": "init.py.txt",
            f"src/{self.module}/adapter.py": "adapter.py.txt",
            f"src/{self.module}/py.typed": "",
            "tests/practice.py": "practice.py.txt",
            f"tests/test_{self.kind}.py": "test.py.txt",
        }


def interpreter() -> str:
    """The Python of this gateway, as a shell takes it: its environment may have no pip of its own."""
    return shlex.quote(sys.executable)


def named(kind: str, taken: Collection[str]) -> Package:
    """The package of an adapter of this kind. Raises Invalid (no name of a kind) or Conflict (`taken` already)."""
    if len(kind) > _LONGEST or not _KIND.fullmatch(kind):
        better = "_".join(re.findall(r"[a-z0-9]+", kind.lower()))[:_LONGEST].strip("_")
        hint = f", like '{better}'" if _KIND.fullmatch(better) else ""
        raise Invalid(
            f"'{shown(kind)}' is no name of an adapter: it would be {_RIGHT}{hint}.", "adapter-name"
        )
    if kind in taken:
        text = f"There is an adapter '{kind}' already; there are {', '.join(sorted(taken))}. Choose another name."
        raise Conflict(text, "adapter-kind-twice")
    return Package(kind)


def write(package: Package, directory: Path) -> list[Path]:
    """Writes the package into a new directory; its files. Raises Conflict where anything of that name is there, and
    Missing where the directory above it is not."""
    try:
        directory.mkdir()
    except FileExistsError:
        text = f"{directory} is there already, and nothing is written over. Name a directory that is not there yet."
        raise Conflict(text, "directory-exists") from None
    except FileNotFoundError:
        raise Missing(f"There is no directory {directory.parent} to write in.", "directory-missing") from None
    written = []
    for name, text in package.texts().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
