"""The command line as people and scripts meet it: real processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Also the width that a screen may have said: nobody looks at these.
_OURS = ("IMEI_GATEWAY_", "DATABASE_URL", "COLUMNS")


class Commands:
    """Commands that run with these settings."""

    def __init__(self, environ: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._environ = {**clean, **environ}
        self.said = ""

    def environ(self, key: str | None) -> dict[str, str]:
        return {**self._environ, **({"IMEI_GATEWAY_KEY": key} if key else {})}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "app.cli.main", *arguments]

    def run(self, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environ(key),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def told(self, *arguments: str, key: str | None = None) -> Any:
        """What a command that must succeed prints as JSON."""
        done = self.run(*arguments, "--json", key=key)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def approved(self, *arguments: str, key: str | None = None, by: str | None = None) -> Any:
        """What somebody proposes with a command, and somebody else approves; the proposal when it is done."""
        done = self.run(*arguments, "--json", key=key)
        assert done.returncode == 7, done.stderr
        waits = json.loads(done.stdout)["proposal"]
        return self.told("proposal", "approve", str(waits["id"]), "--digest", waits["digest"], key=by)

    @contextmanager
    def started(self, *arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """A command in the background, once it has said `until`; told to end afterwards."""
        process = subprocess.Popen(
            self.command(*arguments), env=self.environ(None), stdout=subprocess.PIPE, text=True
        )
        try:
            self.said = _read_until(process, until)
            yield process
        finally:
            process.terminate()
            process.wait(60)


class Gateway(Commands):
    """One data directory, and commands that run on it."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__({"IMEI_GATEWAY_DATA_DIR": str(data_dir)})
        self.data_dir = data_dir

    @property
    def url(self) -> str:
        found = re.search(r"http://\S+:\d+", self.said)
        assert found, self.said
        return found[0]

    def processes(self) -> list[str]:
        """Everything that runs on this data directory: the database stands in it, the rest knows of it."""
        return [
            name.name
            for name in Path("/proc").iterdir()
            if name.name.isdigit() and str(self.data_dir) in _place(name)
        ]


def _place(process: Path) -> str:
    try:
        return os.readlink(process / "cwd") + (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _read_until(process: subprocess.Popen[str], until: str) -> str:
    assert process.stdout
    said = ""
    while until not in said:
        line = process.stdout.readline()
        assert line, f"it ended, and had said: {said}"
        said += line
    return said
