"""What the README shows of an adapter and its tests stands in the package that is written, to the letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.cli.skeleton import Package

ROOT = Path(__file__).parents[2]
SHOWN = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_something_is_shown():
    assert len(SHOWN) == 2


@pytest.mark.parametrize("text", SHOWN, ids=["adapter", "tests"])
def test_what_is_shown_is_what_is_written(text):
    assert any(text in written for written in Package("atlantis").texts().values())
