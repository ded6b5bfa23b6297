"""The service where it happens to be started: what lies in that folder is none of its business."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.sandbox.server import KINDS

_TRAP = "import os; os.write(2, b'TRAPPED')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose files bear the names of modules that every part of the service imports."""
    found = tmp_path / "folder"
    (found / "app").mkdir(parents=True)
    for name in ("app/__init__", "csv", "json", "msgspec", "asyncpg", "litestar", "jinja2"):
        (found / f"{name}.py").write_text(_TRAP)
    return found


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The installed command, called in that folder."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IMEI_GATEWAY_")}
    script = [sys.executable, "-P", "-m", "app.cli.main", *arguments]
    return subprocess.Popen(
        script, cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def until_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not become ready")


def test_runs_no_code_of_the_folder_it_is_started_in_and_logs_json_alone(
    folder: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    data = tmp_path / "data"
    up = command(folder, "up", "--port", str(port), "--data-dir", str(data))
    until_ready(f"http://127.0.0.1:{port}")
    postmaster = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGKILL)
    time.sleep(2)
    until_ready(f"http://127.0.0.1:{port}")
    up.terminate()
    said, logged = up.communicate(timeout=60)
    assert "TRAPPED" not in said + logged
    lines = logged.splitlines()
    assert any("asyncpg" in line for line in lines), "the outage left no trace of the library"
    for line in lines:
        assert json.loads(line)["event"], line


def test_practice_partners_run_no_code_of_the_folder(folder: Path) -> None:
    practice = command(folder, "sandbox", "--ports", ",".join("0" for _ in KINDS))
    said = ""
    for line in practice.stdout or ():
        said += line
        if line.startswith("They run until"):
            break
    practice.send_signal(signal.SIGINT)
    _, logged = practice.communicate(timeout=30)
    assert "TRAPPED" not in said + logged
    assert "practice webhook" in said, logged


def test_a_port_that_is_taken_makes_no_key(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        up = command(folder, "up", "--port", port, "--data-dir", str(data))
        _, logged = up.communicate(timeout=60)
    assert up.returncode == 1
    assert "Cannot listen" in logged
    assert not (data / "admin.key").exists()
