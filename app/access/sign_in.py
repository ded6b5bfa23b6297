"""Signing in: a password and a second factor, or nothing. Whatever is wrong, the answer is the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from app.access import people, sessions
from app.access.people import Account
from app.access.sessions import Opened
from app.core.db import Connection
from app.core.errors import Missing, Unauthorised
from app.core.keyring import Keyring


class Proofs(NamedTuple):
    """What somebody shows besides a password: one of these."""

    code: str
    recovery_code: str


class Place(NamedTuple):
    """Where somebody signs in: the source as it is kept, the browser's token, and how long sessions last."""

    source: str
    browser: str
    lasts: timedelta


def failed() -> Unauthorised:
    """The one refusal: it does not tell what was wrong."""
    return Unauthorised(
        "That is no e-mail address, password and code that belong together. A code is good once: wait for the next.",
        "sign-in-failed",
    )


async def proven(
    conn: Connection, account: Account | None, matches: bool, proofs: Proofs, keyring: Keyring, now: datetime
) -> Account:
    """Who has shown both factors; `matches`: the password is that of `account` as it was read. Raises Unauthorised
    (`sign-in-failed`)."""
    if account is None or not matches:
        raise failed()
    try:
        who = await people.held(conn, account.person_id)
    except Missing:
        raise failed() from None
    if who.password_hash != account.password_hash or not await shows(conn, who, proofs, keyring, now):
        raise failed()
    return who


async def shows(conn: Connection, who: Account, proofs: Proofs, keyring: Keyring, now: datetime) -> bool:
    """Whether this is a second factor of his; it is taken then."""
    if bool(proofs.code) == bool(proofs.recovery_code):
        return False
    if proofs.recovery_code:
        return await people.shows_recovery_code(conn, who, proofs.recovery_code)
    return await people.shows_code(conn, who, proofs.code, keyring, now)


async def let_in(
    conn: Connection, who: Account, place: Place, now: datetime, random: Callable[[int], bytes]
) -> Opened:
    """A session, and from now on a browser that is known."""
    await sessions.know(conn, place.browser, who.person_id, now)
    return await sessions.open_(
        conn, who.person_id, source=place.source, now=now, lasts=place.lasts, random=random
    )
