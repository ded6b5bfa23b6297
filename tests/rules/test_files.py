"""What lies in the repository: its top-level folders, and nothing that ties it to one machine or registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import pytest

from .source import ROOT, files, report

FOLDERS = {"app", "deploy", "openapi", "sql", "tests"}
LOOSE = {"LICENSE", "README.md", "pyproject.toml"}

# Put together here, so that this file does not name them either.
_HOSTS = "|".join(
    rf"{host}\.{top}"
    for host, top in [
        ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"),
        ("debian", "org"), ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"), ("golang", "org"),
    ]
)  # fmt: skip
_PLACES = "|".join(["work", "root", "opt/pypi", "opt/wheels", r"home/\w+", r"tmp/\w+"])
_AWAY = "sha" + "red"
_TIED = re.compile(rf"\b(?:{_HOSTS})\b|(?<![\w.~}}*-])/(?:{_PLACES})\b|\b{_AWAY}/(?=[A-Z])|\.\./{_AWAY}\b")


def is_untied(path: str, text: str) -> Iterator[str]:
    """Names no package registry, and no place of the machine that it was written on."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TIED.search(line):
            yield f"{path}:{number}: '{found[0]}' ties us to one machine or registry; leave it out"


def stand_in_their_folders(paths: Sequence[PurePosixPath]) -> Iterator[str]:
    for path in paths:
        first = path.parts[0]
        known = FOLDERS if len(path.parts) > 1 else LOOSE
        if not first.startswith(".") and first not in known:
            yield f"{path}: the top level holds {', '.join(sorted(FOLDERS | LOOSE))} and dotfiles only"


def test_nothing_is_tied_to_a_machine():
    texts = ((str(path), (ROOT / path).read_bytes().decode(errors="replace")) for path in files())
    report(fault for path, text in texts for fault in is_untied(path, text))


def test_everything_stands_in_its_folder():
    report(stand_in_their_folders(files()))


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install --index-url https://" + "pypi" + ".org/simple .",
        "FROM " + "docker" + ".io/library/python",
        "see ../" + _AWAY + "/DESIGN.md",
        "cd /" + "work/main",
        "--data-dir=/" + "root/x",
    ],
)
def test_ties_are_refused(line):
    assert list(is_untied("deploy/sample", line))


@pytest.mark.parametrize(
    "line", ["/var/lib/imei-gateway", "{url}/" + "work", "~/" + "work", f"a {_AWAY}/exclusive lock"]
)
def test_other_places_are_allowed(line):
    assert not list(is_untied("deploy/sample", line))


@pytest.mark.parametrize("path", ["scripts/run.py", "notes.md", "docs/index.md"])
def test_strays_are_refused(path):
    assert list(stand_in_their_folders([PurePosixPath(path)]))
