"""Who tries to sign in too often is not heard for a while. Owns the table sign_in_try.

Failures are counted by account and source, by account, and by source; for a browser from which the person has signed in
before, by that browser alone (OWASP's device cookies). So whoever guesses closes an account for browsers that are not
known, and never for its owner's. Accounts that do not exist are counted and closed alike.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import NamedTuple

from app.core.db import Connection
from app.core.errors import Exhausted
from app.core.sql import queries

WINDOW = 900
"""Seconds in which failures are counted, from the first on."""
OF_BROWSER, OF_ACCOUNT_AT_SOURCE, OF_ACCOUNT, OF_SOURCE = 10, 5, 20, 50
_FORGOTTEN_AT_ONCE = 10_000

_SQL = queries("lockout")


class Closed(Exhausted):
    """Too many tries; later."""

    title = "Too many tries"

    def __init__(self, wait: int) -> None:
        super().__init__(f"There were too many tries to sign in; try again in {wait} s.", wait)
        self.code = "sign-in-closed"


class Try(NamedTuple):
    """A try that was taken: `wait` seconds where there was none left; `newly` says what this one closed ('account',
    'account-at-source', 'source', 'browser')."""

    buckets: dict[str, bytes]
    wait: int
    newly: tuple[str, ...]

    def must_be_heard(self) -> None:
        """Raises Closed. Only after the try was committed: a try that is taken back was none."""
        if self.wait:
            raise Closed(self.wait)


async def attempt(conn: Connection, email: str, source: str, browser: bytes | None, now: datetime) -> Try:
    """Takes a try, before anything is compared, so that those at the same moment are counted too. `browser` is the
    digest of a known browser of this account."""
    limits = _limits(email, source, browser)
    buckets = {kind: bucket for kind, (bucket, _) in limits.items()}
    rows = await conn.fetch(
        _SQL.attempt, list(buckets.values()), [most for _, most in limits.values()], now, WINDOW
    )
    names = {bucket: kind for kind, bucket in buckets.items()}
    waits = [(row["until"] - now).total_seconds() for row in rows if row["is_closed"]]
    newly = tuple(names[row["bucket"]] for row in rows if row["is_new"])
    return Try(buckets, max(1, math.ceil(max(waits))) if waits else 0, newly)


def _limits(email: str, source: str, browser: bytes | None) -> dict[str, tuple[bytes, int]]:
    if browser is not None:
        return {"browser": (_bucket("browser", email, browser.hex()), OF_BROWSER)}
    return {
        "account-at-source": (_bucket("account-at-source", email, source), OF_ACCOUNT_AT_SOURCE),
        "account": (_bucket("account", email), OF_ACCOUNT),
        "source": (_bucket("source", source), OF_SOURCE),
    }


def _bucket(*parts: str) -> bytes:
    return hashlib.sha256("\n".join(parts).encode()).digest()


async def forgive(conn: Connection, taken: Try) -> None:
    """It was the person himself: his own tries are forgotten, others' against him are not."""
    own = [bucket for kind, bucket in taken.buckets.items() if kind in ("browser", "account-at-source")]
    others = [bucket for kind, bucket in taken.buckets.items() if kind in ("account", "source")]
    await conn.execute(_SQL.forgive, others, own)


async def forget(conn: Connection) -> int:
    """Removes tries that no longer count; how many went. Call it until none went."""
    return int(await conn.fetchval(_SQL.forget, _FORGOTTEN_AT_ONCE))
