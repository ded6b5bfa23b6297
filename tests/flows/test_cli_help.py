"""Help: every command has some, with an example, and it comes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import rich_click as click
from click.testing import CliRunner

from app.cli.main import _COMMANDS, _loaded, cli
from app.core.config import ROOT_STATE


def _helps() -> Iterator[tuple[str, ...]]:
    for name in _COMMANDS:
        command = _loaded(name)
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.commands)


@pytest.mark.parametrize("command", list(_helps()), ids=" ".join)
def test_help_shows_an_example(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"])
    assert shown.exit_code == 0
    assert "$ imei-gateway " in shown.output


def test_help_says_where_the_data_are() -> None:
    shown = CliRunner().invoke(cli, ["up", "--help"]).output
    assert str(ROOT_STATE) in "".join(shown.replace("│", "").split())


def test_help_comes_at_once() -> None:
    heavy = "import app.cli.main, sys; assert not {'asyncpg', 'litestar', 'httpx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", heavy], check=True)
