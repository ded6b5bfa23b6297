"""Cookies: of a session, of a browser that is known, and of a sign-on on its way. A browser sends them by itself, also
for pages of others, so what changes something must come with a token that only our own pages know, and from ours."""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from litestar.datastructures import Cookie

from app.access import sessions
from app.access.sessions import BROWSER_KNOWN_FOR, Worn
from app.api.problems import AnyRequest
from app.core.config import Settings
from app.core.errors import Conflict, Forbidden

CSRF = "x-csrf-token"
SESSION, BROWSER, SIGN_ON = "imei-session", "imei-browser", "imei-sign-on"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")


def token(request: AnyRequest, kind: str) -> str:
    """What the cookie of this kind says; empty where there is none."""
    return request.cookies.get(_name(request, kind), "")


def worn(request: AnyRequest) -> Worn | None:
    """The session that came with the request, if one did. Raises Forbidden (`csrf-token`, `origin-foreign`) where a
    change did not come from a page of ours."""
    shown = token(request, SESSION)
    if not shown:
        return None
    if request.method not in _SAFE:
        _must_be_ours(request, shown)
    settings: Settings = request.app.state.settings
    at: datetime = request.app.state.now()
    idle, fresh = timedelta(minutes=settings.idle_minutes), timedelta(minutes=settings.step_up_minutes)
    return Worn(sessions.digest(shown), at, at - idle, at - fresh)


def _must_be_ours(request: AnyRequest, shown: str) -> None:
    must_come_from_us(request, said=True)
    if not hmac.compare_digest(request.headers.get(CSRF, "").encode(), sessions.csrf_token(shown).encode()):
        raise Forbidden(
            "What changes something comes with a header X-CSRF-Token, as GET /v1/sessions/current gives it.",
            "csrf-token",
        )


def must_come_from_us(request: AnyRequest, *, said: bool) -> None:
    """Raises Forbidden (`origin-foreign`) for what a page of others sent, and with `said` also where the browser does
    not say whose page it was."""
    origins, sites = request.headers.getall("origin", []), request.headers.getall("sec-fetch-site", [])
    ours = all(origin == _origin(request) for origin in origins) and all(
        site in ("same-origin", "none") for site in sites
    )
    if not ours or (said and not origins and not sites):
        raise Forbidden(
            "This did not come from a page of this gateway: Origin would be its own address, or Sec-Fetch-Site"
            " same-origin.",
            "origin-foreign",
        )


def must_be_possible(request: AnyRequest) -> None:
    """Raises Conflict (`no-public-url`) where cookies would go over a network in the clear."""
    host = request.headers.get("host", "")
    if not _is_secure(request) and not _LOOPBACK.fullmatch(host):
        raise Conflict(
            "People sign in over TLS: IMEI_GATEWAY_PUBLIC_URL would be the https:// address of this gateway. Without it"
            " they can on the machine itself alone.",
            "no-public-url",
        )


def of_session(request: AnyRequest, value: str, ends_at: datetime | None) -> Cookie:
    """The session's cookie; without an end it is taken away."""
    left = 0 if ends_at is None else int((ends_at - request.app.state.now()).total_seconds())
    return _cookie(request, SESSION, value, left)


def of_browser(request: AnyRequest, value: str) -> Cookie:
    """By this the browser is known again, though nobody is signed in there."""
    return _cookie(request, BROWSER, value, int(BROWSER_KNOWN_FOR.total_seconds()))


def of_sign_on(request: AnyRequest, value: str, seconds: int) -> Cookie:
    """By this it is known that the browser that comes back is the one that was sent. It must come along from the
    provider's page."""
    made = _cookie(request, SIGN_ON, value, seconds)
    made.samesite = "lax"
    return made


def _cookie(request: AnyRequest, kind: str, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=_name(request, kind),
        value=value,
        path="/",
        max_age=seconds,
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def _name(request: AnyRequest, kind: str) -> str:
    return f"__Host-{kind}" if _is_secure(request) else kind


def _is_secure(request: AnyRequest) -> bool:
    settings: Settings = request.app.state.settings
    return settings.public_url.startswith("https://")


def _origin(request: AnyRequest) -> str:
    """Our own, as browsers say it."""
    if _is_secure(request):
        said = urlsplit(request.app.state.settings.public_url)
        return f"{said.scheme}://{said.netloc}".lower()
    host = request.headers.get("host", "")
    return f"http://{host}" if _LOOPBACK.fullmatch(host) else ""
