"""Whoever comes with a key, with a token that a key's holder was given, or with a session is recognised here."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.access import keys, sessions, tokens
from app.access.keys import Claimed
from app.access.roles import Principal
from app.access.sessions import Worn
from app.access.tokens import Shown
from app.core.db import Connection
from app.core.errors import Unauthorised
from app.core.gather import Gathered

Bearer = Claimed | Shown | Worn
Doorman = Gathered[Bearer, Principal | None]


def claim(text: str, certificate: bytes | None) -> Claimed | Shown:
    """What somebody shows, with the SHA-256 of his certificate. Raises Unauthorised (`key-malformed`)."""
    return tokens.claim(text, certificate) if text.startswith(tokens.PREFIX) else keys.claim(text)


async def recognised(conn: Connection, bearers: Collection[Bearer]) -> Callable[[Bearer], Principal | None]:
    """Who they are; None for each that is not, or no longer, known."""
    claimed = [one for one in bearers if isinstance(one, Claimed)]
    shown = [one for one in bearers if isinstance(one, Shown)]
    worn = [one for one in bearers if isinstance(one, Worn)]
    of_key = await keys.recognised(conn, claimed) if claimed else None
    of_token = await tokens.recognised(conn, shown) if shown else None
    of_session = await sessions.recognised(conn, worn) if worn else None

    def whose(one: Bearer) -> Principal | None:
        if isinstance(one, Worn):
            return of_session(one) if of_session else None
        if isinstance(one, Shown):
            return of_token(one) if of_token else None
        return of_key(one) if of_key else None

    return whose


async def known(doorman: Doorman, bearer: Bearer) -> Principal:
    """Who it is. Raises Unauthorised: `key-unknown`, `token-unknown`, `session-unknown`."""
    found = await doorman.ask(bearer)
    if found is None and isinstance(bearer, Worn):
        raise Unauthorised("This session is over; POST /v1/sessions opens another.", "session-unknown")
    if found is None and isinstance(bearer, Shown):
        raise Unauthorised(
            "This token is unknown or over, or is bound to another certificate; POST /oauth2/token gives another.",
            "token-unknown",
        )
    return keys.known(found)
