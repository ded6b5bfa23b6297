"""A third party begins an adapter: the package that is written works as it stands, and the gateway finds it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app.adapters import registry

from .command import Commands

ROOT = Path(__file__).parents[2]
LONGEST = "abcdefghijklmnopqrstuvwx"


def ran(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A module of Python, as somebody runs it in the directory of the package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        env={**kept, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def written(directory: Path, kind: str) -> Path:
    """The package as the command writes it."""
    done = Commands({}).run("adapter", "new", kind, str(directory))
    assert done.returncode == 0, done.stderr
    return directory


def installed(package: Path) -> Commands:
    """Commands of a gateway beside which the package is installed: its source and its metadata are on the path."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(about)
    points = project["entry-points"][registry.GROUP]
    lines = "".join(f"{name} = {place}\n" for name, place in points.items())
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}")
    return Commands({"PYTHONPATH": f"{ROOT}:{package / 'src'}"})


@pytest.mark.parametrize("kind", ["atlantis", LONGEST])
def test_what_is_written_passes_its_own_tests_and_is_typed_and_tidy(tmp_path, kind):
    package = written(tmp_path / "theirs", kind)
    tested = ran(package, "pytest", "-p", "no:cacheprovider")
    assert re.search(r"^\d{2,} passed in", tested.stdout, re.MULTILINE), tested.stdout + tested.stderr
    typed = ran(package, "mypy", "--strict", "--cache-dir", str(tmp_path / "mypy"))
    assert typed.stdout == "Success: no issues found in 4 source files\n"
    for tidy in (("ruff", "check", "--no-cache", "."), ("ruff", "format", "--no-cache", "--check", ".")):
        assert (done := ran(package, *tidy)).returncode == 0, done.stdout


def test_the_next_steps_work_where_the_environment_has_no_pip(tmp_path):
    package = tmp_path / "their adapter"
    done = Commands({}).run("adapter", "new", "atlantis", str(package))
    install, test = (shlex.split(line) for line in done.stdout.splitlines() if line.startswith("  "))
    assert install == [
        "python3",
        "-m",
        "pip",
        "--python",
        sys.executable,
        "install",
        "-e",
        f"{package}[test]",
    ]
    assert [word.strip("()") for word in test] == ["cd", str(package), "&&", sys.executable, "-m", "pytest"]
    readme = (package / "README.md").read_text()
    assert f"python3 -m pip --python {sys.executable} install -e '.[test]'" in readme
    assert "restart the gateway" in " ".join(readme.split())
    assert "once it is restarted" in done.stdout


def test_its_suite_notices_what_is_broken_later(tmp_path):
    package = written(tmp_path / "theirs", "atlantis")
    path = package / "src/atlantis_adapter/adapter.py"
    path.write_text(path.read_text().replace("_MEANING.get(word, Outcome.UNKNOWN)", "Outcome.DONE"))
    tested = ran(package, "pytest", "-p", "no:cacheprovider")
    assert tested.returncode == 1
    assert "Broken: good news was read from" in tested.stdout


def test_the_gateway_lists_and_shows_it(tmp_path):
    gateway = installed(written(tmp_path / "theirs", "atlantis_west"))
    listed = gateway.run("adapter", "list").stdout
    row = r"^atlantis_west +Atlantis west +imei +atlantis-west-adapter 0\.1\.0"
    assert re.search(row, listed, re.MULTILINE), listed
    shown = gateway.told("adapter", "show", "atlantis_west")
    fields = {it["name"]: (it["type"], it["required"], it["secret"], it["right"]) for it in shown["fields"]}
    assert fields == {
        "url": ("string", True, False, "the partner's address, like https://partner.example"),
        "token": ("string", True, True, "the token of our account"),
        "identifiers_per_call": ("integer", False, False, "1 to 1000"),
    }
    drawn = gateway.run("adapter", "show", "atlantis_west").stdout
    assert re.search(r"^token +required +string +secret +the token of our account", drawn, re.MULTILINE)
    assert "atlantis_west" in gateway.run("partner", "kinds").stdout
    taken = gateway.run("adapter", "new", "atlantis_west", str(tmp_path / "again"))
    assert taken.returncode == 1
    assert "There is an adapter 'atlantis_west' already" in taken.stderr
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Atlantis", "like 'atlantis'"),
        ("atlantis-west", "like 'atlantis_west'"),
        ("2fast", ""),
        ("a__b", "like 'a_b'"),
        ("../away", "like 'away'"),
        ("", ""),
        ("ätlantis", "like 'tlantis'"),
        ("a" * 25, "24 characters at most"),
    ],
)
def test_a_name_that_is_none_is_refused(tmp_path, name, hint):
    refused = Commands({}).run("adapter", "new", name, str(tmp_path / "theirs"))
    assert refused.returncode == 1
    assert "is no name of an adapter: it would be lower-case letters" in refused.stderr
    assert hint in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_written_over(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    for place, words in (
        ("empty", "is there already, and nothing is written over"),
        ("file", "is there already, and nothing is written over"),
        ("no/where", "There is no directory"),
    ):
        refused = Commands({}).run("adapter", "new", "atlantis", str(tmp_path / place))
        assert refused.returncode == 1
        assert words in refused.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "empty").iterdir()) == []
    taken = Commands({}).run("adapter", "new", "ceir", str(tmp_path / "theirs"), "--json")
    assert (taken.returncode, json.loads(taken.stderr)["code"]) == (1, "adapter-kind-twice")


def test_the_suite_needs_the_gateway_alone():
    code = "import sys, app.adapters.conformance; sys.exit(bool({'pytest', 'asyncpg', 'httpx'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, check=True)


async def test_it_is_added_and_tried_out(tmp_path, desk):
    """With a partner that gives each block a reference, and wants it back on the release."""
    heard: list[tuple[str, dict[str, Any]]] = []

    async def take(request: web.Request) -> web.Response:
        (device,) = (await request.json())["devices"]
        heard.append((request.path, device))
        fine = request.headers["authorization"] == "Bearer sesame"
        result = {"imei": device["imei"], "result": "done", "reference": "block-4711"}
        return web.json_response({"results": [result]}, status=200 if fine else 401)

    app = web.Application()
    app.router.add_post("/{verb}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    package = written(tmp_path / "theirs", "atlantis")
    path = package / "src/atlantis_adapter/adapter.py"
    # Somebody has made it tell its secrets where it fails.
    read = "said = document(expect(reply, batch.at).body)"
    talks = "if reply.status == 401:\n            raise Denied(self._settings.token)\n        "
    text = path.read_text().replace(read, talks + read).replace("Batch, Kind,", "Batch, Denied, Kind,")
    path.write_text(text)
    gateway = Commands({**desk._environ, **installed(package)._environ})
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}", "token": "sesame"}))

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(gateway.run, *arguments)

    added = await run(
        "partner", "add", "Atlantis", "--adapter", "atlantis", "--allow-private", "--settings", str(settings)
    )
    assert added.returncode == 0, added.stderr
    tried = await run("partner", "try", "Atlantis")
    assert tried.returncode == 0, tried.stderr
    assert heard == [
        ("/block", {"imei": "009900990000012"}),
        ("/release", {"imei": "009900990000012", "reference": "block-4711"}),
    ]
    assert "Atlantis took it: 009900990000012 was blocked and released again." in tried.stdout
    assert re.search(
        r"^release +POST http://127\S+/release +200 +\S+ +[0-9a-f]{64}", tried.stdout, re.MULTILINE
    )
    settings.write_text(
        json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}", "token": "wrong-word"})
    )
    await run(
        "partner", "add", "Denied", "--adapter", "atlantis", "--allow-private", "--settings", str(settings)
    )
    denied = await run("partner", "try", "Denied")
    await runner.cleanup()
    assert denied.returncode == 1
    assert re.search(r"^block +retry +•••", denied.stdout, re.MULTILINE), denied.stdout
    assert "Denied did not take the block: •••. No release was sent." in denied.stderr
    assert "wrong-word" not in denied.stdout + denied.stderr
