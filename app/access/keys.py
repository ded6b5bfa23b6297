"""API keys: made, recognised, listed, revoked. Owns the table api_key.

Only the SHA-256 of a key is kept, and 256 random bits need no slow hash. Nothing is remembered in the
process: a revocation acts on the very next request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import msgspec

from app.access import approvals
from app.access.ends import NO_ENDS, Ends, end_flaws, network_flaws
from app.access.roles import Permission, Principal, Role
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Invalid, Missing, Unauthorised, told
from app.core.reach import Reach
from app.core.sql import queries

NAME_LIMIT = 80

_SQL = queries("access")
_KEY = re.compile(r"imei_(k_[a-z2-7]{8})_[A-Za-z0-9_-]{43}\Z")


class NewKey(msgspec.Struct, frozen=True):
    """A key as it is shown once. Its repr leaves the key out, so that no log and no traceback holds it."""

    key_id: str
    key: str

    def __repr__(self) -> str:
        return f"NewKey(key_id={self.key_id!r})"


class Written(msgspec.Struct, frozen=True):
    """A secret as it is kept: whose key it is, and its SHA-256 in hex."""

    key_id: str
    sha256: str


class Key(msgspec.Struct, frozen=True):
    """What is known of a key; live until `revoked_at` is set, or `expires_at` comes. Its former secret is good until
    `former_until`. `quota`: identifiers a minute; 0: any number, None: as
    many as is usual. `owners` and `sites`: whose goods it may see and touch; None: all."""

    key_id: str
    name: str
    role: Role
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    revoked_by: str | None
    quota: int | None
    owners: tuple[str, ...] | None
    sites: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    expires_at: datetime | None
    former_until: datetime | None
    groups: tuple[str, ...]


async def create(
    conn: Connection,
    *,
    name: str,
    role: str,
    by: str,
    now: datetime,
    random: Callable[[int], bytes],
    ends: Ends = NO_ENDS,
) -> NewKey:
    """A new live key; `random` is `secrets.token_bytes` at the doors. Invalid has a flaw for each field."""
    made, written = write(random)
    await add(conn, written, name=name, role=role, by=by, now=now, ends=ends)
    return made


def write(random: Callable[[int], bytes], key_id: str = "") -> tuple[NewKey, Written]:
    """A secret that nobody has had yet, of a new key or of this one: to be shown, and to be kept."""
    key_id = key_id or "k_" + base64.b32encode(random(5)).decode().lower()
    key = f"imei_{key_id}_{base64.urlsafe_b64encode(random(32)).decode().rstrip('=')}"
    return NewKey(key_id, key), Written(key_id, _digest(key).hex())


async def add(
    conn: Connection,
    written: Written,
    *,
    name: str,
    role: str,
    by: str,
    now: datetime,
    ends: Ends = NO_ENDS,
) -> None:
    """A new live key, whose secret was written before. Invalid has a flaw for each field."""
    name = name.strip()
    flaws = (*_name_flaws(name), *_role_flaws(role), *end_flaws(ends, now))
    if flaws:
        raise Invalid(told(flaws, "{} things about this key are wrong."), "key-invalid", flaws)
    reach = ends.reach or Reach()
    whose = (reach.owners, reach.sites, ends.networks)
    kept = (written.key_id, name, role, bytes.fromhex(written.sha256), now, by)
    await conn.execute(_SQL.create_key, *kept, *whose, ends.expires_at)


def _name_flaws(name: str) -> tuple[Flaw, ...]:
    if not name:
        wrong = "The name of the key is empty"
    elif len(name) > NAME_LIMIT:
        wrong = f"The name of the key has {len(name)} characters"
    elif not name.isprintable():
        wrong = "The name of the key holds control or invisible characters"
    else:
        return ()
    return (Flaw(f"{wrong}; it would be 1 to {NAME_LIMIT} printable characters.", "/name", "key-name"),)


def _role_flaws(role: str) -> tuple[Flaw, ...]:
    if role in list(Role):
        return ()
    return (Flaw(f"There is no such role; the roles are {', '.join(Role)}.", "/role", "key-role"),)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def authenticate(conn: Connection, key: str) -> Principal:
    """Whose key it is. Raises Unauthorised: `key-malformed` (the database is not asked), `key-unknown`."""
    claimed = claim(key)
    return known((await recognised(conn, [claimed]))(claimed))


class Claimed(NamedTuple):
    """Whose key somebody says he holds, and what it is known by."""

    key_id: str
    digest: bytes


def claim(key: str) -> Claimed:
    """Raises Unauthorised (`key-malformed`) for what cannot be a key."""
    match = _KEY.match(key)
    if match is None:
        raise Unauthorised(
            "That is not a key of this gateway; one looks like imei_k_ and 8 characters, "
            "an underscore, and 43 more characters.",
            "key-malformed",
        )
    return Claimed(match[1], _digest(key))


async def recognised(conn: Connection, claims: Collection[Claimed]) -> Callable[[Claimed], Principal | None]:
    """Whose keys they are, of one moment; None for one that is unknown or revoked."""
    rows = await conn.fetch(_SQL.live_keys, sorted({one.key_id for one in claims}))
    live = {row["key_id"]: row for row in rows}

    def whose(one: Claimed) -> Principal | None:
        row = live.get(one.key_id)
        if row is None or not any(hmac.compare_digest(known, one.digest) for known in _digests(row)):
            return None
        return principal(row)

    return whose


def _digests(row: asyncpg.Record) -> tuple[bytes, ...]:
    """Of a key's secret, and of its former one while that is still good."""
    return (row["secret_hash"], row["former_hash"]) if row["former_hash"] else (row["secret_hash"],)


def principal(row: asyncpg.Record, scopes: frozenset[Permission] | None = None) -> Principal:
    """Who acts by a row of his key."""
    return Principal(
        row["key_id"],
        row["name"],
        Role(row["role"]),
        scopes,
        row["quota"],
        Reach.of(row["owners"], row["sites"]),
        row["networks"] and tuple(row["networks"]),
        tuple(row["groups"]),
    )


async def acting(conn: Connection, key_ids: Collection[str]) -> dict[str, Principal]:
    """Those of these keys that are not revoked, for those who are known by another sign than the key itself."""
    return {row["key_id"]: principal(row) for row in await conn.fetch(_SQL.live_keys, sorted(key_ids))}


def known(found: Principal | None) -> Principal:
    """Raises Unauthorised (`key-unknown`) where nobody was recognised."""
    if found is None:
        raise Unauthorised(
            "This key is unknown or revoked; an admin of the gateway can make a new one.", "key-unknown"
        )
    return found


async def listed(conn: Connection) -> list[Key]:
    """All keys, the revoked ones too, oldest first."""
    return [msgspec.convert(dict(row), Key) for row in await conn.fetch(_SQL.list_keys)]


async def revoke(conn: Connection, key_id: str, by: str, now: datetime) -> bool:
    """Ends a key for good; False if it was revoked before, which then stands as it was.

    Raises Missing, and Conflict (`last-admin`) where nobody would be left to make keys.
    """
    await _keep_an_admin(conn, key_id)
    await approvals.forget(conn, f"key:{key_id}")
    if await conn.fetchval(_SQL.revoke_key, key_id, now, by):
        return True
    if await conn.fetchval(_SQL.key_exists, key_id):
        return False
    raise Missing("There is no key of that id; the list of keys shows all ids.", "key-missing")


async def _keep_an_admin(conn: Connection, key_id: str) -> None:
    # The lock on all of them makes two admins who revoke each other take turns.
    admins = [row["key_id"] for row in await conn.fetch(_SQL.lock_lasting_admins)]
    if admins == [key_id]:
        raise Conflict(
            f"The key {key_id} is the last live admin key; make another admin key first.", "last-admin"
        )


async def rotate(conn: Connection, key_id: str, overlap: timedelta, random: Callable[[int], bytes]) -> NewKey:
    """Another secret for the same key, as `rewrite`."""
    made, written = write(random, key_id)
    await rewrite(conn, written, overlap)
    return made


async def rewrite(conn: Connection, written: Written, overlap: timedelta) -> None:
    """Another secret, written before, for the same key; the present one stays good for `overlap`, one before it ends
    now. It is the same key in all else: whoever submitted with the one cannot approve with the other. Raises
    Missing."""
    row = (written.key_id, bytes.fromhex(written.sha256), overlap.total_seconds())
    if not await conn.fetchval(_SQL.rotate_key, *row):
        raise _missing()


async def set_end(conn: Connection, key_id: str, expires_at: datetime | None, now: datetime) -> None:
    """When a key ends by itself; None: when it is revoked. Raises Missing, Invalid, Conflict (`last-admin`)."""
    if flaws := end_flaws(Ends(expires_at=expires_at), now):
        raise Invalid(flaws[0].detail, "key-invalid", flaws)
    if expires_at is not None:
        await _keep_an_admin(conn, key_id)
    if not await conn.fetchval(_SQL.set_end, key_id, expires_at):
        raise _missing()


async def set_networks(conn: Connection, key_id: str, networks: Sequence[str] | None) -> None:
    """From where a key is good, as CIDR; None: from anywhere. Raises Missing, Invalid."""
    if flaws := network_flaws(networks):
        raise Invalid(flaws[0].detail, "key-invalid", flaws)
    if not await conn.fetchval(_SQL.set_networks, key_id, networks):
        raise _missing()


def _missing() -> Missing:
    return Missing("There is no live key of that id; the list of keys shows all ids.", "key-missing")


async def set_groups(conn: Connection, key_id: str, groups: Sequence[str]) -> None:
    """Which teams a key stands for, as approval rules name them. Raises Missing, Invalid."""
    if len(groups) > 20 or not all(0 < len(one) <= 200 and one.isprintable() for one in groups):
        raise Invalid("Groups would be at most 20, each of 1 to 200 printable characters.", "key-groups")
    if not await conn.fetchval(_SQL.set_groups, key_id, sorted({*groups})):
        raise _missing()


async def role(conn: Connection, key_id: str) -> str:
    """What a live key may do. Raises Missing."""
    found: str | None = await conn.fetchval(_SQL.role_of_key, key_id)
    if found is None:
        raise _missing()
    return found


async def set_quota(conn: Connection, key_id: str, quota: int | None) -> None:
    """How many identifiers a minute a key may ask for; 0: any number, None: as many as is usual. Raises Missing where
    there is no live key of that id."""
    if not await conn.fetchval(_SQL.set_quota, key_id, quota):
        raise _missing()


async def has_admin(conn: Connection) -> bool:
    """Whether anybody could make keys; if not, the first admin key is made from the command line."""
    return bool(await conn.fetchval(_SQL.has_admin))
