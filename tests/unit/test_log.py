"""Log lines of many processes in one pipe: each whole, on a line of its own."""

from __future__ import annotations

import json
import subprocess
import sys

_SPEAK = """
import logging, sys
from app.core import log
log.set_up()
ours, theirs = log.get("tests"), logging.getLogger("library")
for number in range(2000):
    ours.info("said", number=number, by=sys.argv[1], words="x" * 200)
    if number % 10 == 0:
        theirs.warning("said %s", number)
"""


def test_lines_of_two_processes_do_not_run_into_each_other() -> None:
    reading = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert reading.stdin
    speaking = [subprocess.Popen([sys.executable, "-c", _SPEAK, name], stderr=reading.stdin) for name in "ab"]
    assert [one.wait(60) for one in speaking] == [0, 0]
    lines = reading.communicate(timeout=60)[0].decode().splitlines()
    said = [json.loads(line) for line in lines]
    assert len(said) == 2 * 2200
    for name in "ab":
        assert [it["number"] for it in said if it.get("by") == name] == list(range(2000))
