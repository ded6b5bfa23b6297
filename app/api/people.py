"""People over HTTP: an admin adds, changes and ends them; who is invited enrols."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access import people
from app.access.passwords import Hashing
from app.access.people import Enrolment, Invitation, NewPerson, Person, PersonChanges
from app.access.roles import Permission, Principal
from app.api import body
from app.api.doing import Doing, told
from app.api.notes import Notes
from app.api.problems import AnyRequest
from app.audit.record import Entry, record
from app.core.db import Connection, Pool, transaction
from app.core.errors import Forbidden
from app.core.keyring import Keyring
from app.proposals.proposal import Proposal
from app.proposals.rights import AddPerson, ChangePerson, ResetFactor

_NO_PERSON = "There is no such person, or he has ended."
_NOT_INVITED = "The invitation is unknown, used or over."
_WRITES = Permission.PEOPLE_WRITE
_Short = Annotated[str, msgspec.Meta(max_length=320)]


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation, and the password that the person chooses."""

    token: _Short
    password: _Short

    def __repr__(self) -> str:
        return "Chosen()"


class Confirmed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation, and a code that the app shows for the secret."""

    token: _Short
    code: _Short

    def __repr__(self) -> str:
        return "Confirmed()"


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Each is good once, in place of a code of the second factor. They are shown this once."""

    recovery_codes: list[str]

    def __repr__(self) -> str:
        return "RecoveryCodes()"


class People(msgspec.Struct, frozen=True):
    """All people, those who have ended too."""

    people: list[Person]


@get("/", operation_id="listPeople", summary="Who is let in", opt=Notes(needs=Permission.PEOPLE_READ).opt)
async def listed(actor: NamedDependency[Principal], pool: NamedDependency[Pool]) -> People:
    """Oldest first."""
    actor.require(Permission.PEOPLE_READ)
    async with pool.acquire(timeout=10) as conn:
        return People(await people.listed(conn))


@post(
    "/", operation_id="addPerson", summary="Let somebody in", request_max_body_size=body.FEW,
    opt=Notes(needs=_WRITES, proposes=True, conflict="There is a person of this e-mail address already.").opt,
)  # fmt: skip
async def add(
    said: NamedDependency[NewPerson], pool: NamedDependency[Pool], doing: NamedDependency[Doing]
) -> Response[Invitation | Proposal]:
    """The answer is an invitation, shown this once and good for 72 hours: hand it over, and the person chooses a
    password and a second factor with it. Where others must approve it first, ask for another one (`invite`) then."""
    return told(await transaction(pool, lambda conn: doing(conn, AddPerson(said))), 201, "/v1/people")


def _may_write(actor: Principal) -> None:
    actor.require(_WRITES)
    actor.require_fresh()


@patch(
    "/{person_id:str}", operation_id="changePerson", summary="Change what somebody may do",
    request_max_body_size=body.FEW, opt=Notes(needs=_WRITES, proposes=True, missing=_NO_PERSON).opt,
)  # fmt: skip
async def change(
    person_id: FromPath[str],
    said: NamedDependency[PersonChanges],
    pool: NamedDependency[Pool],
    doing: NamedDependency[Doing],
) -> Response[PersonChanges | Proposal]:
    """His sessions end. Nobody changes what he may do himself."""
    return told(await transaction(pool, lambda conn: doing(conn, ChangePerson(person_id, said))), 200)


@post(
    "/{person_id:str}/end", operation_id="endPerson", status_code=204, summary="Let somebody in no longer",
    opt=Notes(needs=_WRITES, missing=_NO_PERSON).opt,
)  # fmt: skip
async def end(
    person_id: FromPath[str],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
) -> None:
    """At once, wherever he is signed in."""
    _may_write(actor)

    async def work(conn: Connection) -> None:
        await people.end(conn, person_id, actor.label, now)
        await record(conn, [Entry("person.ended", f"person:{person_id}", actor.label, now)])

    await transaction(pool, work)


@post(
    "/{person_id:str}/invite", operation_id="invitePerson", summary="Another invitation",
    opt=Notes(needs=_WRITES, missing=_NO_PERSON, conflict="The person has enrolled.").opt,
)  # fmt: skip
async def invite(
    person_id: FromPath[str],
    actor: NamedDependency[Principal],
    pool: NamedDependency[Pool],
    now: NamedDependency[datetime],
) -> Response[Invitation]:
    """For somebody who has not enrolled; the one before is over."""
    _may_write(actor)
    if person_id == actor.key_id:
        raise Forbidden("Nobody gives himself an invitation; another admin can.", "own-rights")

    async def work(conn: Connection) -> Invitation:
        made = await people.invite(conn, person_id, now, secrets.token_bytes)
        await record(conn, [Entry("person.invited", f"person:{person_id}", actor.label, now)])
        return made

    return told(await transaction(pool, work), 201, "/v1/people")


@post(
    "/{person_id:str}/reset-factor", operation_id="resetFactor", summary="Take away a lost second factor",
    opt=Notes(needs=_WRITES, proposes=True, missing=_NO_PERSON).opt,
)  # fmt: skip
async def reset_factor(
    person_id: FromPath[str], pool: NamedDependency[Pool], doing: NamedDependency[Doing]
) -> Response[Invitation | Proposal]:
    """With it go his password, his recovery codes and his sessions: he enrols anew, by this invitation. Nobody does so
    for himself. Where others must approve it first, ask for an invitation (`invite`) then."""
    return told(await transaction(pool, lambda conn: doing(conn, ResetFactor(person_id))), 201, "/v1/people")


router = Router(
    "/v1/people", route_handlers=[listed, add, change, end, invite, reset_factor], tags=["People"]
)


@post(
    "/", operation_id="enrol", status_code=200, summary="Choose a password, and be given a second factor",
    request_max_body_size=body.FEW, opt=Notes(open=True, unsigned=_NOT_INVITED, body=True).opt,
)  # fmt: skip
async def enrol(
    request: AnyRequest,
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    now: NamedDependency[datetime],
) -> Response[Enrolment]:
    """Nothing counts before a code is confirmed; asked again, it gives another secret."""
    said: Chosen = await body.read(request, Chosen)
    async with pool.acquire(timeout=10) as conn, conn.transaction():
        who = await people.invited(conn, said.token, now)
    hashing: Hashing = request.app.state.hashing
    hashed = await people.hashed(hashing, said.password, who)

    async def work(conn: Connection) -> Enrolment:
        return await people.choose(conn, said.token, hashed, keyring, now, secrets.token_bytes)

    return Response(await transaction(pool, work), status_code=200)


@post(
    "/confirm", operation_id="confirmEnrolment", status_code=200, summary="Show a code of the second factor",
    request_max_body_size=body.FEW,
    opt=Notes(open=True, unsigned=_NOT_INVITED, conflict="No password was chosen before.", body=True).opt,
)  # fmt: skip
async def confirm(
    request: AnyRequest,
    pool: NamedDependency[Pool],
    keyring: NamedDependency[Keyring],
    now: NamedDependency[datetime],
) -> Response[RecoveryCodes]:
    """The invitation is used up, and the person can sign in."""
    said: Confirmed = await body.read(request, Confirmed)

    async def work(conn: Connection) -> RecoveryCodes:
        who, codes = await people.confirm(conn, said.token, said.code, keyring, now, secrets.token_bytes)
        subject = f"person:{who.person_id}"
        await record(conn, [Entry("person.enrolled", subject, f"{subject} ({who.name})", now)])
        return RecoveryCodes(codes)

    return Response(await transaction(pool, work), status_code=200)


enrolments = Router("/v1/enrolments", route_handlers=[enrol, confirm], tags=["People"])
