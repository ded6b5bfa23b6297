"""The import contracts of pyproject.toml hold, and each one breaks when it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .source import ROOT

_CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
# One bad import for each contract: where it is written, and what.
_BAD = {
    "floors": ("app/core/imei.py", "import app.devices.find"),
    "sandbox-users": ("app/worker.py", "import app.sandbox.server"),
    "sandbox": ("app/sandbox/stage.py", "import app.delivery.engine"),
    "http": ("app/incidents/decide.py", "import litestar"),
    "terminal": ("app/devices/register.py", "import rich"),
    "adapters": ("app/adapters/webhook.py", "import asyncpg"),
    "wire": ("app/delivery/send.py", "import httpx"),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    env = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_contracts_hold():
    linted = _lint(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the tree with a bad import for each contract."""
    folder = tmp_path_factory.mktemp("spoilt")
    shutil.copytree(ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, line in _BAD.values():
        with (folder / path).open("a") as file:
            file.write(f"\n{line}\n")
    linted = _lint(folder)
    assert linted.returncode == 1, linted.stdout + linted.stderr
    return " ".join(linted.stdout.split())


@pytest.mark.parametrize("contract", _CONFIG["contracts"], ids=lambda contract: contract["id"])
def test_a_bad_import_is_refused(contract, spoilt):
    assert contract["id"] in _BAD, "give the new contract a bad import"
    assert f"{contract['name']} BROKEN" in spoilt


def test_a_room_without_a_floor_is_refused(tmp_path):
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "app" / "attic").mkdir()
    (tmp_path / "app" / "attic" / "__init__.py").touch()
    assert "attic" in _lint(tmp_path).stdout
