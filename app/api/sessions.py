"""Sessions over HTTP: people sign in, show the second factor anew, see where they are signed in, and sign out."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access import lockout, people, sessions, sign_in
from app.access.lockout import Try
from app.access.passwords import Hashing
from app.access.people import Account
from app.access.roles import Principal, Role
from app.access.sessions import Opened, Session
from app.access.sign_in import Place, Proofs
from app.api import address, body, cookies
from app.api.notes import Notes
from app.api.problems import AnyRequest
from app.audit.record import Entry, record
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import Missing
from app.core.keyring import Keyring

_FAILED = "That is no e-mail address, password and code that belong together."
_CLOSED = "There were too many tries."
_WITHOUT_TLS = "The gateway has no https:// address, so that nobody signs in from elsewhere."
_Short = Annotated[str, msgspec.Meta(max_length=320)]


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A password, and a code of the second factor or one of the recovery codes."""

    email: _Short
    password: _Short
    code: _Short = ""
    recovery_code: _Short = ""

    def __repr__(self) -> str:
        return "SignIn()"


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the second factor."""

    code: _Short

    def __repr__(self) -> str:
        return "Code()"


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password that is, and the one that is to be."""

    password: _Short
    new_password: _Short

    def __repr__(self) -> str:
        return "NewPassword()"


class SessionAnswer(msgspec.Struct, frozen=True):
    """Who is signed in. What changes something comes with `csrf_token` in a header X-CSRF-Token."""

    session_id: str
    person_id: str
    name: str
    role: Role
    groups: tuple[str, ...]
    fresh: bool
    csrf_token: str
    ends_at: datetime | None


class SessionList(msgspec.Struct, frozen=True):
    """Where you are signed in; `current` is this session."""

    sessions: list[Session]
    current: str


@post(
    "/",
    operation_id="signIn",
    summary="Sign in, with a password and a second factor",
    request_max_body_size=body.FEW,
    opt=Notes(open=True, unsigned=_FAILED, conflict=_WITHOUT_TLS, closed=_CLOSED, body=True).opt,
)
async def open_session(
    request: AnyRequest,
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    now: NamedDependency[datetime],
    settings: NamedDependency[Settings],
) -> Response[SessionAnswer]:
    """The session is in a cookie that no page can read. Whatever is wrong, the answer is the same; after some tries in
    a quarter of an hour it is 429, but for a browser from which the person has signed in before."""
    cookies.must_be_possible(request)
    cookies.must_come_from_us(request, said=False)
    said: SignIn = await body.read(request, SignIn)
    taken = await taken_try(request, pool, said.email, now)
    async with pool.acquire(timeout=10) as conn:
        account = await people.by_email(conn, people.folded(said.email))
    hashing: Hashing = request.app.state.hashing
    matches = await hashing.matches(account.password_hash if account else None, said.password)
    proofs = Proofs(said.code, said.recovery_code)
    place = place_of(request, settings)

    async def work(conn: Connection) -> tuple[Account, Opened]:
        who = await sign_in.proven(conn, account, matches, proofs, keyring, now)
        factor = "recovery-code" if proofs.recovery_code else "code"
        return who, await let_in(conn, who, place, taken, factor, now)

    who, made = await transaction(pool, work)
    return opened(request, principal(who, made), made, place.browser)


async def taken_try(request: AnyRequest, pool: Pool, email: str, now: datetime) -> Try:
    """A try of somebody who says that this is his address. Raises Closed."""
    folded, browser = people.folded(email), cookies.token(request, cookies.BROWSER)

    async def work(conn: Connection) -> Try:
        known = bool(browser) and await sessions.is_known(conn, browser, folded, now)
        digest = sessions.digest(browser) if known else None
        taken = await lockout.attempt(conn, folded, address.source(request), digest, now)
        if taken.newly:
            await record(conn, await _closings(conn, taken, folded, address.vicinity(request), now))
        return taken

    taken = await transaction(pool, work)
    taken.must_be_heard()
    return taken


async def _closings(conn: Connection, taken: Try, email: str, vicinity: str, now: datetime) -> list[Entry]:
    """What this try closed. Of an account that does not exist, only that its source was closed."""
    who = await people.by_email(conn, email)
    subject = f"person:{who.person_id}" if who else f"source:{vicinity}"
    kinds = [kind for kind in taken.newly if who or kind == "source"]
    return [
        Entry("sign-in.closed", subject, "nobody", now, {"of": kind, "source": vicinity}) for kind in kinds
    ]


async def let_in(
    conn: Connection, who: Account, place: Place, taken: Try | None, factor: str, now: datetime
) -> Opened:
    """A session, on the record."""
    if taken is not None:
        await lockout.forgive(conn, taken)
    made = await sign_in.let_in(conn, who, place, now, secrets.token_bytes)
    detail = {"session": made.session_id, "source": place.source, "factor": factor}
    await record(conn, [Entry("session.opened", f"person:{who.person_id}", who.label, now, detail)])
    return made


def place_of(request: AnyRequest, settings: Settings) -> Place:
    browser = cookies.token(request, cookies.BROWSER)
    # Another one each time: what a thief has read before is known no longer than the person wishes.
    made = browser if len(browser) == 43 else sessions.new_token(secrets.token_bytes)
    return Place(address.vicinity(request), made, timedelta(hours=settings.session_hours))


def principal(who: Account, made: Opened) -> Principal:
    return Principal(
        who.person_id, who.name, who.role, groups=who.groups, fresh=True, session=made.session_id
    )


def opened(
    request: AnyRequest, who: Principal, made: Opened, browser: str = "", status: int = 201
) -> Response[SessionAnswer]:
    cookie = [cookies.of_session(request, made.token, made.ends_at)]
    known = [cookies.of_browser(request, browser)] if browser else []
    return Response(_answer(who, made.token, made.ends_at), status_code=status, cookies=[*cookie, *known])


def _answer(who: Principal, token: str, ends_at: datetime | None) -> SessionAnswer:
    return SessionAnswer(
        who.session or "", who.key_id, who.name, who.role, who.groups, bool(who.fresh),
        sessions.csrf_token(token), ends_at,
    )  # fmt: skip


def must_be_signed_in(actor: Principal) -> str:
    """The session. Raises Missing (`no-session`) for a key."""
    if actor.session is None:
        raise Missing("There is no session: this came with a key. POST /v1/sessions opens one.", "no-session")
    return actor.session


@get(
    "/current",
    operation_id="readSession",
    summary="Who is signed in",
    opt=Notes(missing="This came with a key.").opt,
)
async def current(
    request: AnyRequest,
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
    settings: NamedDependency[Settings],
) -> SessionAnswer:
    """With the token that changes come with."""
    session = must_be_signed_in(actor)
    found = {one.session_id: one for one in await _listed(pool, actor, now, settings)}
    ends_at = found[session].ends_at if session in found else None
    return _answer(actor, cookies.token(request, cookies.SESSION), ends_at)


@get(
    "/",
    operation_id="listSessions",
    summary="Where you are signed in",
    opt=Notes(missing="This came with a key.").opt,
)
async def listed(
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
    settings: NamedDependency[Settings],
) -> SessionList:
    """Your own sessions, oldest first; of addresses their network alone."""
    session = must_be_signed_in(actor)
    return SessionList(await _listed(pool, actor, now, settings), session)


async def _listed(pool: Pool, actor: Principal, now: datetime, settings: Settings) -> list[Session]:
    async with pool.acquire(timeout=10) as conn:
        return await sessions.listed(conn, actor.key_id, now, now - timedelta(minutes=settings.idle_minutes))


@delete(
    "/current",
    operation_id="signOut",
    status_code=204,
    summary="Sign out",
    opt=Notes(missing="This came with a key.").opt,
)
async def sign_out(
    request: AnyRequest,
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
) -> Response[None]:
    """The session is over at once. The browser stays known."""
    await _end(pool, actor, must_be_signed_in(actor), now)
    return Response(None, status_code=204, cookies=[cookies.of_session(request, "", None)])


@delete(
    "/{session_id:str}", operation_id="endSession", status_code=204, summary="End a session of yours",
    opt=Notes(missing="You have no such session.").opt,
)  # fmt: skip
async def end_session(
    session_id: FromPath[str],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
) -> None:
    """For one that you have left open elsewhere."""
    must_be_signed_in(actor)
    await _end(pool, actor, session_id, now)


async def _end(pool: Pool, actor: Principal, session_id: str, now: datetime) -> None:
    async def work(conn: Connection) -> None:
        await sessions.end(conn, actor.key_id, session_id)
        entry = Entry("session.ended", actor.identity, actor.label, now, {"session": session_id})
        await record(conn, [entry])

    await transaction(pool, work)


@post(
    "/current/step-up",
    operation_id="stepUp",
    status_code=200,
    summary="Show the second factor anew",
    request_max_body_size=body.FEW,
    opt=Notes(missing="This came with a key.", closed=_CLOSED).opt,
)
async def step_up(
    request: AnyRequest,
    said: NamedDependency[Code],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    now: NamedDependency[datetime],
) -> Response[SessionAnswer]:
    """What decides about goods wants it of the last minutes. The session goes on under another cookie, and another
    `csrf_token`."""
    must_be_signed_in(actor)
    async with pool.acquire(timeout=10) as conn:
        found = await people.by_id(conn, actor.key_id)
    taken = await taken_try(request, pool, found.email if found else "", now)

    async def work(conn: Connection) -> Opened:
        who = await people.held(conn, actor.key_id)
        if not await sign_in.shows(conn, who, Proofs(said.code, ""), keyring, now):
            raise sign_in.failed()
        await lockout.forgive(conn, taken)
        made = await sessions.renew(conn, actor, now, secrets.token_bytes)
        detail = {"session": made.session_id}
        await record(conn, [Entry("session.stepped-up", actor.identity, actor.label, now, detail)])
        return made

    made = await transaction(pool, work)
    return opened(request, msgspec.structs.replace(actor, fresh=True), made, status=200)


@post(
    "/current/password",
    operation_id="changePassword",
    status_code=200,
    summary="Choose another password",
    request_max_body_size=body.FEW,
    opt=Notes(missing="This came with a key.", closed=_CLOSED).opt,
)
async def change_password(
    request: AnyRequest,
    said: NamedDependency[NewPassword],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
) -> Response[SessionAnswer]:
    """All your other sessions end, and this one goes on under another cookie."""
    must_be_signed_in(actor)
    actor.require_fresh()
    async with pool.acquire(timeout=10) as conn:
        found = await people.by_id(conn, actor.key_id)
    taken = await taken_try(request, pool, found.email if found else "", now)
    hashing: Hashing = request.app.state.hashing
    if found is None or not await hashing.matches(found.password_hash, said.password):
        raise sign_in.failed()
    hashed = await people.hashed(hashing, said.new_password, found)

    async def work(conn: Connection) -> Opened:
        who = await people.held(conn, actor.key_id)
        if who.password_hash != found.password_hash:
            raise sign_in.failed()
        await lockout.forgive(conn, taken)
        await people.set_password(conn, who, hashed, actor.session or "")
        await record(conn, [Entry("person.password-changed", actor.identity, actor.label, now)])
        return await sessions.renew(conn, actor, now, secrets.token_bytes)

    return opened(request, actor, await transaction(pool, work), status=200)


router = Router(
    "/v1/sessions",
    route_handlers=[open_session, current, listed, sign_out, end_session, step_up, change_password],
    tags=["People"],
)
