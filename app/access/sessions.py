"""Sessions: where people are signed in. Owns the tables session and known_browser.

Only the SHA-256 of a token is kept, and every sign-in and step-up gives another token. A session ends with its time,
with half an hour in which nobody used it, with its person, and with a change of what he may do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from app.access.roles import Principal, Role
from app.core.db import Connection
from app.core.errors import Missing
from app.core.reach import Reach
from app.core.sql import queries

MOST = 20
"""How many sessions a person may have; one more ends the oldest."""
BROWSER_KNOWN_FOR = timedelta(days=180)
_FORGOTTEN_AT_ONCE = 10_000

_SQL = queries("sessions")


class Worn(NamedTuple):
    """A session's token that came with a request, by its digest, and the request's time; since when it must have been
    used, and the second factor shown to be fresh."""

    digest: bytes
    at: datetime
    used_after: datetime
    fresh_after: datetime


class Opened(msgspec.Struct, frozen=True):
    """A session as it is shown once. Its repr leaves the token out."""

    session_id: str
    token: str
    ends_at: datetime

    def __repr__(self) -> str:
        return f"Opened(session_id={self.session_id!r})"


class Session(msgspec.Struct, frozen=True):
    """Where somebody is signed in. `factor_at`: when the second factor was last shown there."""

    session_id: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime
    factor_at: datetime
    source: str


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def new_token(random: Callable[[int], bytes]) -> str:
    return base64.urlsafe_b64encode(random(32)).decode().rstrip("=")


def csrf_token(token: str) -> str:
    """What a page that may read our answers says with each change, and no other page knows: it follows from the
    session's token, which no page can read, and not the other way round."""
    return hmac.new(token.encode(), b"imei-gateway csrf", hashlib.sha256).hexdigest()


async def open_(
    conn: Connection,
    person_id: str,
    *,
    source: str,
    now: datetime,
    lasts: timedelta,
    random: Callable[[int], bytes],
) -> Opened:
    """A new session of somebody who has proved who he is, with both factors."""
    session_id = "s_" + base64.b32encode(random(5)).decode().lower()
    made = Opened(session_id, new_token(random), now + lasts)
    await conn.execute(
        _SQL.open, digest(made.token), session_id, person_id, now, made.ends_at, now, source, MOST
    )
    return made


async def renew(conn: Connection, who: Principal, now: datetime, random: Callable[[int], bytes]) -> Opened:
    """The same session under another token: the second factor was shown. Raises Missing."""
    token = new_token(random)
    ends_at = await conn.fetchval(_SQL.renew, who.session, digest(token), now, who.key_id)
    if ends_at is None:
        raise _missing()
    return Opened(who.session or "", token, ends_at)


async def recognised(conn: Connection, worn: Collection[Worn]) -> Callable[[Worn], Principal | None]:
    """Whose sessions they are; None for one that is unknown or over. That they were used is written down."""
    at, used_after = max(one.at for one in worn), max(one.used_after for one in worn)
    rows = await conn.fetch(_SQL.live, [one.digest for one in worn], at, used_after)
    found = {row["token_hash"]: row for row in rows}

    def whose(one: Worn) -> Principal | None:
        row = found.get(one.digest)
        if row is None or row["ends_at"] <= one.at or row["seen_at"] <= one.used_after:
            return None
        return Principal(
            row["person_id"],
            row["name"],
            Role(row["role"]),
            reach=Reach.of(row["owners"], row["sites"]),
            groups=tuple(row["groups"]),
            fresh=row["factor_at"] > one.fresh_after,
            session=row["session_id"],
        )

    return whose


async def listed(conn: Connection, person_id: str, now: datetime, used_after: datetime) -> list[Session]:
    """Where somebody is signed in, oldest first."""
    rows = await conn.fetch(_SQL.listed, person_id, now, used_after)
    return [msgspec.convert(dict(row), Session) for row in rows]


async def end(conn: Connection, person_id: str, session_id: str) -> None:
    """Ends a session of his. Raises Missing."""
    if not await conn.fetchval(_SQL.end, session_id, person_id):
        raise _missing()


def _missing() -> Missing:
    return Missing("You have no session of that id; the list of sessions shows all.", "session-missing")


async def end_others(conn: Connection, person_id: str, but: str = "") -> None:
    """Ends all his sessions but this one."""
    await conn.execute(_SQL.end_others, person_id, but)


async def know(conn: Connection, browser: str, person_id: str, now: datetime) -> None:
    """He has signed in from this browser, which has this token."""
    await conn.execute(_SQL.know, digest(browser), person_id, now + BROWSER_KNOWN_FOR)


async def is_known(conn: Connection, browser: str, email: str, now: datetime) -> bool:
    """Whether whoever has this address has signed in from there."""
    return bool(await conn.fetchval(_SQL.is_known, digest(browser), email, now))


async def forget_browsers(conn: Connection, person_id: str) -> None:
    """None of his browsers is known any longer."""
    await conn.execute(_SQL.forget_browsers, person_id)


async def forget(conn: Connection) -> int:
    """Removes what is over; how many went. Call it until none went."""
    return int(await conn.fetchval(_SQL.forget, _FORGOTTEN_AT_ONCE))
