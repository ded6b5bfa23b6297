"""A worker in a process of its own, with terms that a test can wait for: `worker_process DSN LEASE DEADLINE MARGIN
LONGEST_TRANSACTION`, in seconds.

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

from .people import SECRETS_KEY

if __name__ == "__main__":
    dsn, *seconds = sys.argv[1:]
    lease, deadline, margin, worker.LONGEST_TRANSACTION = map(float, seconds)
    log.set_up("info")
    service.follow_input()
    settings = Settings(data_dir=Path(), database_url=dsn, secrets_key=SECRETS_KEY)
    uvloop.run(worker.run(settings, terms=Terms(lease, deadline, margin)))
