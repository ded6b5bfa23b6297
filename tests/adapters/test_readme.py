"""The README's adapter, taken as it stands there: it is found by its entry point, and keeps the contract."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from app.adapters import registry

ROOT = Path(__file__).parents[2]
_FILE = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package of the README's three files."""
    for name, text in _FILE.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_it_is_an_adapter_that_says_what_its_settings_are(package):
    points = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"][
        registry.GROUP
    ]
    (point,) = [EntryPoint(name, value, registry.GROUP) for name, value in points.items()]
    found = registry._load(point)
    assert found.kind == point.name
    assert set(found.settings.__struct_fields__) == {"url", "token"}


def test_it_passes_the_suite_as_the_readme_runs_it(package):
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    path = f"{ROOT}:{package}"
    done = subprocess.run(
        command, cwd=package, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{2,} passed in", done.stdout, re.MULTILINE), done.stdout
