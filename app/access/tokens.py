"""Tokens: what a key's holder may do for a while without showing the key again. Owns the table access_token.

Only the SHA-256 of a token is kept. It ends with its time or with its key, whichever is first, and its time is the
database's, so that all processes agree on it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgspec

from app.access import keys
from app.access.roles import ALLOWED, Permission, Principal
from app.core.db import Connection
from app.core.errors import Invalid
from app.core.imei import shown
from app.core.sql import queries

PREFIX = "imei_t_"
MOST = 1000
"""How many live tokens a key may have; one more ends the one that would end first."""
_FORGOTTEN_AT_ONCE = 10_000

_SQL = queries("tokens")


class Grant(msgspec.Struct, frozen=True):
    """A token as it is shown once, with what it allows. Its repr leaves the token out."""

    token: str
    scopes: tuple[Permission, ...]
    seconds: int

    def __repr__(self) -> str:
        return f"Grant(scopes={self.scopes!r}, seconds={self.seconds!r})"


class Shown(NamedTuple):
    """A token that somebody shows, by its digest, and the SHA-256 of the certificate that he shows with it."""

    digest: bytes
    certificate: bytes | None


async def issue(
    conn: Connection,
    holder: Principal,
    scopes: Sequence[str],
    *,
    seconds: int,
    certificate: bytes | None,
    random: Callable[[int], bytes],
) -> Grant:
    """A token for some of what the holder may do; without scopes, for all of it. With the SHA-256 of a certificate it
    is bound to that (RFC 8705). Raises Invalid (`scope-unknown`)."""
    granted = _granted(holder, scopes)
    token = PREFIX + base64.urlsafe_b64encode(random(32)).decode().rstrip("=")
    await conn.execute(_SQL.issue, _digest(token), holder.key_id, granted, certificate, seconds, MOST)
    return Grant(token, granted, seconds)


def _granted(holder: Principal, scopes: Sequence[str]) -> tuple[Permission, ...]:
    allowed = tuple(sorted(ALLOWED[holder.role]))
    for scope in scopes:
        if scope not in allowed:
            right = f"the role {holder.role} has {' '.join(allowed)}"
            raise Invalid(
                f"The scope '{shown(scope)}' cannot be had with this key; {right}.", "scope-unknown"
            )
    return tuple(Permission(scope) for scope in dict.fromkeys(scopes)) or allowed


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def claim(token: str, certificate: bytes | None) -> Shown:
    """What a token is known by."""
    return Shown(_digest(token), certificate)


async def recognised(conn: Connection, claims: Collection[Shown]) -> Callable[[Shown], Principal | None]:
    """Whose tokens they are, of one moment; None for one that is unknown or over, or that came without its
    certificate."""
    rows = await conn.fetch(_SQL.live, [one.digest for one in claims])
    live = {row["token_hash"]: row for row in rows}

    def whose(one: Shown) -> Principal | None:
        row = live.get(one.digest)
        if row is None or row["certificate"] not in (None, one.certificate):
            return None
        # A permission that this release does not know is none.
        scopes = frozenset(Permission) & frozenset(row["scopes"])
        granted = frozenset(map(Permission, scopes))
        return keys.principal(row, granted)

    return whose


async def forget(conn: Connection) -> int:
    """Removes tokens whose time is over; how many went. Call it until none went."""
    return int(await conn.fetchval(_SQL.forget, _FORGOTTEN_AT_ONCE))
