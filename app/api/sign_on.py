"""Single sign-on over HTTP: a browser is sent to the OpenID provider, comes back, and where the provider has asked for
no second factor shows a code here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from app.access import oidc, people, sessions, sign_in
from app.access.oidc import Back, Claims
from app.access.people import Account
from app.access.roles import Principal
from app.access.sessions import Opened
from app.access.sign_in import Proofs
from app.api import body, caller, cookies
from app.api.notes import Notes
from app.api.problems import AnyRequest
from app.api.sessions import (
    Code,
    SessionAnswer,
    let_in,
    must_be_signed_in,
    opened,
    place_of,
    principal,
    taken_try,
)
from app.audit.record import Entry, record
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import Forbidden
from app.core.keyring import Keyring

BACK = "/v1/sign-on/back"
_NOT_TAKEN = "The sign-on did not begin in this browser, took too long, or is not the provider's."
_NO_PROVIDER = "There is no OpenID provider here."


@get("/", operation_id="beginSignOn", status_code=303, summary="Sign in by the OpenID provider",
    opt=Notes(open=True, missing=_NO_PROVIDER).opt)  # fmt: skip
async def begin(
    *,
    request: AnyRequest,
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
    settings: NamedDependency[Settings],
    step_up: Annotated[
        bool, QueryParameter(description="To show the second factor anew, in this session.")
    ] = False,
) -> Response[None]:
    """Sends a browser to the provider."""
    oidc.configured(settings)
    cookies.must_be_possible(request)
    session = must_be_signed_in(await caller.actor(request)) if step_up else None
    about, left = await oidc.discovered(settings), oidc.new(secrets.token_bytes)
    await transaction(pool, lambda conn: oidc.leave(conn, left, now, session_id=session))
    where = oidc.address(settings, about, left, _back(request, settings), anew=step_up)
    return _sent(request, where, left.browser)


def _back(request: AnyRequest, settings: Settings) -> str:
    ours = settings.public_url.rstrip("/") or f"http://{request.headers.get('host', '')}"
    return f"{ours}{BACK}"


def _sent(request: AnyRequest, where: str, browser: str) -> Response[None]:
    seconds = int(oidc.LASTS.total_seconds()) if browser else 0
    cookie = cookies.of_sign_on(request, browser, seconds)
    return Response(None, status_code=303, headers={"Location": where}, cookies=[cookie])


@get("/back", operation_id="endSignOn", status_code=303, summary="Come back from the OpenID provider",
    opt=Notes(open=True, any_query=True, unsigned=_NOT_TAKEN, missing=_NO_PROVIDER).opt)  # fmt: skip
async def back(
    request: AnyRequest,
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
    settings: NamedDependency[Settings],
) -> Response[None]:
    """A session, and on to `/`; or to `/?sign-on=code`, where a code of the second factor is owed."""
    oidc.configured(settings)
    said: Mapping[str, str] = dict(request.query_params)
    browser = cookies.token(request, cookies.SIGN_ON)
    kept = await transaction(pool, lambda conn: oidc.come_back(conn, said.get("state", ""), browser, now))
    about = await oidc.discovered(settings)
    oidc.must_be_of(settings, about, said)
    claims = await oidc.redeemed(settings, about, said.get("code", ""), kept, _back(request, settings), now)
    has_factor = oidc.shows_second_factor(settings, claims)
    if kept.session_id is not None:
        return await _stepped_up(request, pool, settings, kept, claims, now)
    owing, place = oidc.new(secrets.token_bytes), place_of(request, settings)

    async def work(conn: Connection) -> tuple[Account, Opened | None]:
        who = await _whose(conn, settings, claims, now)
        if has_factor:
            return who, await let_in(conn, who, place, None, "provider", now)
        if who.totp_secret is None:
            raise Forbidden(
                "The provider asked for no second factor, and you have none here.", "factor-missing"
            )
        await oidc.leave(conn, owing, now, person_id=who.person_id)
        return who, None

    _, made = await transaction(pool, work)
    if made is None:
        # What is owed is found by the cookie alone, which holds both halves.
        return _sent(request, "/?sign-on=code", f"{owing.state}.{owing.browser}")
    answer = _sent(request, "/", "")
    answer.cookies += [
        cookies.of_session(request, made.token, made.ends_at),
        cookies.of_browser(request, place.browser),
    ]
    return answer


async def _whose(conn: Connection, settings: Settings, claims: Claims, now: datetime) -> Account:
    """Who is linked to this subject; else who has the address that the provider has verified, from now on."""
    found = await people.by_subject(conn, settings.oidc_issuer, claims.sub)
    if found is not None:
        return await people.held(conn, found.person_id)
    named = await people.by_email(conn, people.folded(claims.email)) if claims.email_verified else None
    if named is None or not await people.link(conn, named.person_id, settings.oidc_issuer, claims.sub):
        raise Forbidden(
            "Nobody here is who the provider says you are; an admin can add you.", "person-unknown"
        )
    entry = Entry(
        "person.linked", f"person:{named.person_id}", named.label, now, {"issuer": settings.oidc_issuer}
    )
    await record(conn, [entry])
    return named


async def _stepped_up(
    request: AnyRequest, pool: Pool, settings: Settings, kept: Back, claims: Claims, now: datetime
) -> Response[None]:
    async def work(conn: Connection) -> Opened:
        who = await people.by_subject(conn, settings.oidc_issuer, claims.sub)
        is_new = claims.auth_time >= now.timestamp() - oidc.LEEWAY
        if who is None or not is_new or not oidc.shows_second_factor(settings, claims):
            raise Forbidden(
                "The provider does not say that you showed a second factor just now.", "step-up-needed"
            )
        of_session = Principal(who.person_id, who.name, who.role, session=kept.session_id)
        made = await sessions.renew(conn, of_session, now, secrets.token_bytes)
        detail = {"session": made.session_id, "by": "provider"}
        await record(conn, [Entry("session.stepped-up", of_session.identity, of_session.label, now, detail)])
        return made

    made = await transaction(pool, work)
    answer = _sent(request, "/", "")
    answer.cookies.append(cookies.of_session(request, made.token, made.ends_at))
    return answer


@post("/code", operation_id="finishSignOn", summary="Show the code that a sign-on owes",
    request_max_body_size=body.FEW, opt=Notes(open=True, body=True, unsigned=_NOT_TAKEN).opt)  # fmt: skip
async def finish(
    request: AnyRequest,
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    now: NamedDependency[datetime],
    settings: NamedDependency[Settings],
) -> Response[SessionAnswer]:
    """Where the provider has asked for no second factor. A wrong code ends the sign-on."""
    cookies.must_come_from_us(request, said=False)
    said: Code = await body.read(request, Code)
    state, _, browser = cookies.token(request, cookies.SIGN_ON).partition(".")
    kept = await transaction(pool, lambda conn: oidc.come_back(conn, state, browser, now, owes=True))
    async with pool.acquire(timeout=10) as conn:
        found = await people.by_id(conn, kept.person_id or "")
    taken = await taken_try(request, pool, found.email if found else "", now)
    place = place_of(request, settings)

    async def work(conn: Connection) -> tuple[Account, Opened]:
        who = await people.held(conn, kept.person_id or "")
        if not await sign_in.shows(conn, who, Proofs(said.code, ""), keyring, now):
            raise sign_in.failed()
        return who, await let_in(conn, who, place, taken, "provider and code", now)

    who, made = await transaction(pool, work)
    return opened(request, principal(who, made), made, place.browser)


router = Router("/v1/sign-on", route_handlers=[begin, back, finish], tags=["People"])
