"""People: added, invited, enrolled, changed, ended. Owns the tables person, recovery_code and invitation.

A person counts from the moment that he has chosen a password and shown a code of his second factor; before that he can
do nothing but that. Of what is shown once only hashes are kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple
from unicodedata import normalize

import asyncpg
import msgspec

from app.access import approvals, passwords, second_factor, sessions
from app.access.passwords import Hashing
from app.access.roles import Principal, Role
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Forbidden, Invalid, Missing, Unauthorised, told
from app.core.keyring import Keyring
from app.core.sql import queries

INVITED_FOR = timedelta(hours=72)
PREFIX = "imei_i_"
NAME_LIMIT = 80

_SQL = queries("people")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_NAMES = Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]
Random = Callable[[int], bytes]


class NewPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is to be let in. `owners` and `sites`: whose goods he may see and touch; null: all."""

    name: str
    email: str
    role: str
    groups: _NAMES = ()
    owners: _NAMES | None = None
    sites: _NAMES | None = None


class PersonChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said becomes so, and what is left out stays."""

    role: str | msgspec.UnsetType = msgspec.UNSET
    groups: _NAMES | msgspec.UnsetType = msgspec.UNSET
    owners: _NAMES | msgspec.UnsetType | None = msgspec.UNSET
    sites: _NAMES | msgspec.UnsetType | None = msgspec.UNSET


class Person(msgspec.Struct, frozen=True):
    """What is known of a person. `enrolled`: he has a password and a second factor here; `linked`: he is known to the
    OpenID provider."""

    person_id: str
    name: str
    email: str
    role: Role
    groups: tuple[str, ...]
    owners: tuple[str, ...] | None
    sites: tuple[str, ...] | None
    enrolled: bool
    linked: bool
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    ended_by: str | None


class Invitation(msgspec.Struct, frozen=True):
    """What a person enrols with, shown once. Its repr leaves the token out."""

    person_id: str
    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Invitation(person_id={self.person_id!r})"


class Account(msgspec.Struct, frozen=True):
    """A person as he is let in. Its repr leaves the proofs out."""

    person_id: str
    name: str
    email: str
    role: Role
    groups: tuple[str, ...]
    owners: tuple[str, ...] | None
    sites: tuple[str, ...] | None
    password_hash: str | None
    totp_secret: str | None

    @property
    def label(self) -> str:
        return f"person:{self.person_id} ({self.name})"

    def __repr__(self) -> str:
        return f"Account(person_id={self.person_id!r})"


class Enrolment(msgspec.Struct, frozen=True):
    """The secret that the second factor is made from, for an app, and the same as an address to draw."""

    secret: str
    otpauth: str

    def __repr__(self) -> str:
        return "Enrolment()"


class Invited(NamedTuple):
    """Whom an invitation is for, and what he has chosen so far."""

    person_id: str
    name: str
    email: str
    password_hash: str | None
    totp_secret: str | None


def folded(email: str) -> str:
    """The one spelling of an e-mail address here."""
    return normalize("NFKC", email.strip()).casefold()


def _place(person_id: str) -> str:
    return f"person:{person_id}:totp"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def add(conn: Connection, said: NewPerson, *, by: str, now: datetime, random: Random) -> Invitation:
    """A new person, with an invitation. Invalid has a flaw for each field; Conflict (`email-taken`)."""
    name, email = said.name.strip(), folded(said.email)
    flaws = _flaws(name, email, said)
    if flaws:
        raise Invalid(told(flaws, "{} things about this person are wrong."), "person-invalid", flaws)
    person_id = "p_" + base64.b32encode(random(5)).decode().lower()
    added = await conn.fetchval(
        _SQL.add, person_id, name, email, said.role, said.groups, said.owners, said.sites, now, by
    )
    if not added:
        raise Conflict("There is a person of this e-mail address already.", "email-taken")
    return await _invited(conn, person_id, now, random)


def _flaws(name: str, email: str, said: NewPerson | PersonChanges) -> tuple[Flaw, ...]:
    found = []
    if not (0 < len(name) <= NAME_LIMIT and name.isprintable()):
        found.append(Flaw(f"A name would be 1 to {NAME_LIMIT} printable characters.", "/name", "person-name"))
    if not (_EMAIL.fullmatch(email) and email.isprintable()):
        found.append(
            Flaw("An e-mail address would be like marie@retailer.example.", "/email", "person-email")
        )
    if said.role is not msgspec.UNSET and said.role not in list(Role):
        found.append(Flaw(f"There is no such role; the roles are {', '.join(Role)}.", "/role", "person-role"))
    for field in ("groups", "owners", "sites"):
        names = getattr(said, field)
        if names in (None, msgspec.UNSET) or (field == "groups" and not names):
            continue
        if not (names and all(0 < len(one) <= 200 and one.isprintable() for one in names)):
            right = "It would name at least one, each of 1 to 200 printable characters."
            found.append(Flaw(right, f"/{field}", f"person-{field}"))
    return tuple(found)


async def _invited(conn: Connection, person_id: str, now: datetime, random: Random) -> Invitation:
    token = PREFIX + base64.urlsafe_b64encode(random(32)).decode().rstrip("=")
    expires_at = now + INVITED_FOR
    await conn.execute(_SQL.invite, person_id, _digest(token), expires_at)
    return Invitation(person_id, token, expires_at)


async def listed(conn: Connection) -> list[Person]:
    """All people, those who have ended too, oldest first."""
    return [msgspec.convert(dict(row), Person) for row in await conn.fetch(_SQL.listed)]


async def by_email(conn: Connection, email: str) -> Account | None:
    """Who has this address, folded."""
    return _account(await conn.fetchrow(_SQL.by_email, email))


async def by_id(conn: Connection, person_id: str) -> Account | None:
    return _account(await conn.fetchrow(_SQL.by_id, person_id))


async def by_subject(conn: Connection, issuer: str, subject: str) -> Account | None:
    """Whom the OpenID provider knows by this subject."""
    return _account(await conn.fetchrow(_SQL.by_subject, issuer, subject))


async def link(conn: Connection, person_id: str, issuer: str, subject: str) -> bool:
    """From now on he is known by this subject; False where he is linked to another one."""
    return bool(await conn.fetchval(_SQL.link, person_id, issuer, subject))


def _account(row: asyncpg.Record | None) -> Account | None:
    return None if row is None else msgspec.convert(dict(row), Account)


async def held(conn: Connection, person_id: str) -> Account:
    """He, until the transaction ends as nobody else changes him. Raises Missing."""
    found = _account(await conn.fetchrow(_SQL.hold, person_id))
    if found is None:
        raise Missing("There is no person of that id; the list of people shows all ids.", "person-missing")
    return found


async def change(conn: Connection, actor: Principal, person_id: str, said: PersonChanges) -> Account:
    """PersonChanges what a person may do, and ends his sessions. Raises Forbidden (`own-rights`) for himself."""
    if person_id == actor.key_id:
        raise Forbidden("Nobody changes what he may do himself; another admin can.", "own-rights")
    before = await held(conn, person_id)
    flaws = _flaws(before.name, before.email, said)
    if flaws:
        raise Invalid(told(flaws, "{} things about this person are wrong."), "person-invalid", flaws)
    named = {
        name: value
        for name in ("role", "groups", "owners", "sites")
        if (value := getattr(said, name)) is not msgspec.UNSET
    }
    after = msgspec.structs.replace(before, **named)
    await conn.execute(_SQL.change, person_id, after.role, after.groups, after.owners, after.sites)
    await sessions.end_others(conn, person_id)
    await approvals.forget(conn, f"person:{person_id}")
    return after


async def end(conn: Connection, person_id: str, by: str, now: datetime) -> None:
    """He is no longer let in, and his sessions end. Raises Missing."""
    await held(conn, person_id)
    await conn.execute(_SQL.end, person_id, now, by)
    await approvals.forget(conn, f"person:{person_id}")
    await _forget_proofs(conn, person_id)
    await conn.execute(_SQL.uninvite, person_id)


async def invite(conn: Connection, person_id: str, now: datetime, random: Random) -> Invitation:
    """Another invitation for somebody who has not enrolled; the one before is over. Raises Conflict (`enrolled`)."""
    if (await held(conn, person_id)).totp_secret or await conn.fetchval(_SQL.is_linked, person_id):
        raise Conflict(
            "This person has enrolled; where the second factor is lost, reset it: that gives an invitation.",
            "enrolled",
        )
    return await _invited(conn, person_id, now, random)


async def reset(conn: Connection, person_id: str, now: datetime, random: Random) -> Invitation:
    """Takes away password, second factor and recovery codes, ends his sessions, and invites him anew."""
    await held(conn, person_id)
    await conn.execute(_SQL.forget_proofs, person_id)
    await _forget_proofs(conn, person_id)
    return await _invited(conn, person_id, now, random)


async def _forget_proofs(conn: Connection, person_id: str) -> None:
    await conn.execute(_SQL.set_recovery_codes, person_id, [])
    await sessions.end_others(conn, person_id)
    await sessions.forget_browsers(conn, person_id)


async def invited(conn: Connection, token: str, now: datetime) -> Invited:
    """Whom it is for. Raises Unauthorised (`invitation-unknown`)."""
    row = await conn.fetchrow(_SQL.invited, _digest(token), now)
    if row is None:
        raise Unauthorised(
            "This invitation is unknown, used or over; an admin of the gateway can give another.",
            "invitation-unknown",
        )
    return Invited(**row)


async def choose(
    conn: Connection, token: str, password_hash: str, keyring: Keyring, now: datetime, random: Random
) -> Enrolment:
    """Who was invited has chosen a password, and is given the secret of a second factor; a code confirms both."""
    who, secret = await invited(conn, token, now), second_factor.new_secret(random)
    sealed = keyring.seal(secret.encode(), _place(who.person_id))
    await conn.execute(_SQL.choose, _digest(token), password_hash, sealed)
    return Enrolment(secret, second_factor.uri(secret, who.email))


async def confirm(
    conn: Connection, token: str, code: str, keyring: Keyring, now: datetime, random: Random
) -> tuple[Invited, list[str]]:
    """He has the second factor: from now on he can sign in. Gives the recovery codes, which are shown once. Raises
    Conflict (`nothing-chosen`) and Invalid (`code-wrong`)."""
    who = await invited(conn, token, now)
    if who.totp_secret is None or who.password_hash is None:
        raise Conflict("Choose a password first, with POST /v1/enrolments.", "nothing-chosen")
    secret = keyring.open(who.totp_secret, _place(who.person_id)).decode()
    step = second_factor.step_of(secret, code, now)
    if step is None:
        flaw = Flaw("it would be the six digits that the app shows now", "/code", "code-wrong")
        raise Invalid(
            "This code is not of the secret that was given; is the clock right?", "code-wrong", (flaw,)
        )
    codes = second_factor.recovery_codes(random)
    await conn.execute(_SQL.enrol, who.person_id, who.password_hash, who.totp_secret, step)
    await conn.execute(_SQL.set_recovery_codes, who.person_id, [second_factor.digest(one) for one in codes])
    await conn.execute(_SQL.uninvite, who.person_id)
    return who, codes


async def shows_code(conn: Connection, who: Account, code: str, keyring: Keyring, now: datetime) -> bool:
    """Takes a code of the second factor; a code is taken once."""
    if who.totp_secret is None:
        return False
    secret = keyring.open(who.totp_secret, _place(who.person_id)).decode()
    step = second_factor.step_of(secret, code, now)
    return step is not None and bool(await conn.fetchval(_SQL.take_step, who.person_id, step))


async def shows_recovery_code(conn: Connection, who: Account, code: str) -> bool:
    """Takes a recovery code, which is good once."""
    taken = await conn.fetchval(_SQL.take_recovery_code, who.person_id, second_factor.digest(code))
    return bool(taken)


async def reseal(conn: Connection, keyring: Keyring) -> int:
    """Seals all second factors with the key that seals now, and gives how many were sealed with another one. Raises
    keyring.Locked where one cannot be opened; none is sealed then."""
    rows = await conn.fetch(_SQL.hold_factors)
    sealed = [keyring.resealed(row["totp_secret"], _place(row["person_id"])) for row in rows]
    told = [row["person_id"] for row in rows], [row["totp_secret"] for row in rows]
    await conn.execute(_SQL.keep_factors, *told, sealed)
    return sum(new != row["totp_secret"] for new, row in zip(sealed, rows, strict=True))


async def set_password(conn: Connection, who: Account, password_hash: str, session: str) -> None:
    """Another password; all his sessions but this one end, and his browsers are known no longer."""
    await conn.execute(_SQL.set_password, who.person_id, password_hash)
    await sessions.end_others(conn, who.person_id, session)
    await sessions.forget_browsers(conn, who.person_id)


def rules(who: Account | Invited) -> Sequence[str]:
    """What everybody knows of a person, and no password may be."""
    return who.email, who.email.partition("@")[0], who.name


async def hashed(hashing: Hashing, password: str, who: Account | Invited) -> str:
    """The hash of a password that he may choose. Raises Invalid (`password-weak`)."""
    return await hashing.hashed(passwords.chosen(password, *rules(who)))
