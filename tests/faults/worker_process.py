"""A worker in a process of its own, with terms that a test can wait for: `worker_process.py DSN LEASE DEADLINE MARGIN`.

It logs to its standard error and ends when its input closes, so none outlives the test.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from app import worker
from app.cli import service
from app.core import log
from app.core.config import Settings
from app.delivery.send import Terms

if __name__ == "__main__":
    dsn, *seconds = sys.argv[1:]
    lease, deadline, margin = map(float, seconds)
    log.set_up("info")
    service.follow_input()
    settings = Settings(data_dir=Path(), database_url=dsn)
    uvloop.run(worker.run(settings, terms=Terms(lease, deadline, margin)))
