"""Single sign-on by an OpenID provider: authorization code with PKCE, state and nonce. Owns the table sign_on.

The provider says who somebody is, and never what he may do: nobody is let in who was not added here. Calls go to the
issuer's own origin alone, with a deadline and a limit, and follow no redirect.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.access import sessions
from app.core.config import Settings
from app.core.db import Connection
from app.core.errors import Invalid, Missing, Unauthorised, Unavailable
from app.core.sql import queries

LASTS = timedelta(minutes=10)
DEADLINE, LARGEST = 10.0, 256 * 1024
LEEWAY = 60
"""Seconds by which the provider's clock may be wrong, and which a fresh sign-on may be old."""
_ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FORGOTTEN_AT_ONCE = 10_000

_SQL = queries("oidc")


class Metadata(msgspec.Struct, frozen=True):
    """What is needed of a discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    authorization_response_iss_parameter_supported: bool = False


class Left(NamedTuple):
    """A sign-on on its way: what goes with the browser, and what stays here."""

    state: str
    browser: str
    nonce: str
    verifier: str


class Back(NamedTuple):
    """What was kept of one that comes back."""

    nonce: str
    verifier: str
    session_id: str | None
    person_id: str | None


class Claims(msgspec.Struct, frozen=True):
    """What an id_token says that was found good."""

    sub: str
    email: str = ""
    email_verified: bool = False
    auth_time: int = 0
    amr: tuple[str, ...] = ()
    acr: str = ""


def configured(settings: Settings) -> None:
    """Raises Missing (`no-provider`) where there is no provider."""
    if not settings.oidc_issuer or not settings.oidc_client_id:
        raise Missing("There is no OpenID provider here: IMEI_GATEWAY_OIDC_ISSUER names one.", "no-provider")


def shows_second_factor(settings: Settings, claims: Claims) -> bool:
    """Whether the provider says that it has asked for one."""
    wanted = {word.strip() for word in settings.oidc_second_factor.split(",") if word.strip()}
    return bool(wanted & {*claims.amr, claims.acr})


def new(random: Callable[[int], bytes]) -> Left:
    return Left(*(sessions.new_token(random) for _ in range(4)))


async def leave(
    conn: Connection,
    left: Left,
    now: datetime,
    *,
    session_id: str | None = None,
    person_id: str | None = None,
) -> None:
    """Keeps what must come back the same."""
    hashes = sessions.digest(left.state), sessions.digest(left.browser)
    await conn.execute(_SQL.leave, *hashes, left.nonce, left.verifier, now + LASTS, session_id, person_id)


async def come_back(conn: Connection, state: str, browser: str, now: datetime, *, owes: bool = False) -> Back:
    """What was kept; it comes back once. Raises Unauthorised (`sign-on-unknown`)."""
    hashes = sessions.digest(state), sessions.digest(browser)
    row = await conn.fetchrow(_SQL.come_back, *hashes, now, owes)
    if row is None:
        raise _refused("it did not begin in this browser, or took longer than ten minutes")
    return Back(**row)


def _refused(why: str) -> Unauthorised:
    return Unauthorised(
        f"This sign-on is not taken: {why}. GET /v1/sign-on begins another.", "sign-on-unknown"
    )


def address(settings: Settings, about: Metadata, left: Left, back: str, *, anew: bool) -> str:
    """Where the browser is sent; `anew` asks the provider to have somebody prove himself again."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(left.verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code",
        "client_id": settings.oidc_client_id,
        "redirect_uri": back,
        "scope": "openid email",
        "state": left.state,
        "nonce": left.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"max_age": "0", "prompt": "login"} if anew else {}),
    }
    return f"{about.authorization_endpoint}{'&' if '?' in about.authorization_endpoint else '?'}{urlencode(asked)}"


async def discovered(settings: Settings) -> Metadata:
    """What the provider says of itself. Raises Unavailable (`provider-away`) and Invalid (`provider-wrong`)."""
    issuer = settings.oidc_issuer
    text = await _asked("GET", issuer, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    about: Metadata = _read(text, Metadata)
    if about.issuer != issuer:
        raise Invalid("The OpenID provider calls itself by another name than we do.", "provider-wrong")
    return about


def must_be_of(settings: Settings, about: Metadata, said: Mapping[str, str]) -> None:
    """Raises Unauthorised where another provider answers (RFC 9207), so that no code is shown to the wrong one."""
    issuer = said.get("iss")
    if issuer is None and about.authorization_response_iss_parameter_supported:
        raise _refused("the provider does not say who it is")
    if issuer is not None and issuer != settings.oidc_issuer:
        raise _refused("it comes from another provider than the one that it began with")


async def redeemed(
    settings: Settings, about: Metadata, code: str, back: Back, redirect: str, now: datetime
) -> Claims:
    """Who somebody is, for the code that he brings. Raises Unauthorised (`sign-on-unknown`)."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": back.verifier,
        "client_id": settings.oidc_client_id,
    }
    secret = _secret(settings)
    given = await _asked(
        "POST", about.issuer, about.token_endpoint, data=form,
        auth=httpx.BasicAuth(settings.oidc_client_id, secret) if secret else None,
    )  # fmt: skip
    token = _read(given, dict).get("id_token")
    keys = _read(await _asked("GET", about.issuer, about.jwks_uri), dict)
    if not isinstance(token, str):
        raise _refused("the provider gave no id_token")
    return read(settings, token, keys, back.nonce, now)


def read(settings: Settings, token: str, keys: Any, nonce: str, now: datetime) -> Claims:
    """What an id_token says (OpenID Connect Core, 3.1.3.7). Raises Unauthorised (`sign-on-unknown`)."""
    try:
        said = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS).claims
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _refused("its signature is not the provider's") from error
    wrong = _wrong(settings, said, nonce, now.timestamp())
    if wrong:
        raise _refused(wrong)
    try:
        return msgspec.convert(said, Claims)
    except msgspec.ValidationError as error:
        raise _refused("its claims are not in form") from error


def _wrong(settings: Settings, said: Mapping[str, Any], nonce: str, now: float) -> str:
    audience = said.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    ends, made = said.get("exp"), said.get("iat")
    if said.get("iss") != settings.oidc_issuer:
        return "it is another provider's"
    if settings.oidc_client_id not in audiences:
        return "it is meant for somebody else"
    if said.get("azp", settings.oidc_client_id) != settings.oidc_client_id or (
        len(audiences) > 1 and "azp" not in said
    ):
        return "it was given to somebody else"
    if said.get("nonce") != nonce or not said.get("sub"):
        return "it belongs to another sign-on, or to nobody"
    in_time = isinstance(ends, int | float) and ends > now - LEEWAY
    began = isinstance(made, int | float) and made <= now + LEEWAY
    return "" if in_time and began else "it is over, or of a time to come"


def _secret(settings: Settings) -> str:
    if not settings.oidc_client_secret_file:
        return settings.oidc_client_secret
    try:
        return Path(settings.oidc_client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise Invalid(
            "IMEI_GATEWAY_OIDC_CLIENT_SECRET_FILE names a file that cannot be read.", "provider-wrong"
        ) from None


async def _asked(method: str, issuer: str, url: str, **more: Any) -> bytes:
    """The answer of the issuer's own origin."""
    ours, theirs = urlsplit(issuer), urlsplit(url)
    if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc) or (
        ours.scheme != "https" and ours.hostname not in _LOOPBACK
    ):
        raise Invalid(
            "The OpenID provider would be asked elsewhere than at its https:// issuer.", "provider-wrong"
        )
    try:
        async with asyncio.timeout(DEADLINE), httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
            return await _received(client, method, url, more)
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unavailable(
            "The OpenID provider cannot be reached; try again in a moment.", "provider-away"
        ) from error


async def _received(client: httpx.AsyncClient, method: str, url: str, more: Mapping[str, Any]) -> bytes:
    parts, size = [], 0
    async with client.stream(method, url, headers={"accept": "application/json"}, **more) as answer:
        async for part in answer.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise Invalid("The OpenID provider's answer is too large.", "provider-wrong")
        if answer.status_code >= 500:
            raise Unavailable(
                "The OpenID provider cannot answer now; try again in a moment.", "provider-away"
            )
        if answer.status_code != 200:
            raise _refused(f"the provider answered {answer.status_code}")
    return b"".join(parts)


def _read(text: bytes, form: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid("The OpenID provider's answer cannot be read.", "provider-wrong") from error


async def forget(conn: Connection) -> int:
    """Removes sign-ons that never came back; how many went. Call it until none went."""
    return int(await conn.fetchval(_SQL.forget, _FORGOTTEN_AT_ONCE))
