"""What commands stand on: the settings in force, a migrated database, and the key they act with."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from app.access import keys
from app.access.ends import NO_ENDS, Ends
from app.access.keys import NewKey
from app.access.roles import Principal
from app.audit import signing
from app.audit.note import Kind
from app.audit.record import Entry, record
from app.core import keyring, postgres, private
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Connection, Pool, open_pool, transaction
from app.core.errors import Unauthorised
from app.core.keyring import Keyring
from app.core.migrate import migrate

ADMIN_KEY = "admin.key"
ADDRESS = "gateway.url"
SECRETS_KEY = "secrets.key"
AUDIT_KEY = "audit.key"


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a database that is up and migrated: the one that was named, or the embedded one."""
    async with _found(settings) as found:
        await _migrate(found)
        yield found


async def migrated(settings: Settings) -> list[str]:
    """Migrates the database of these settings and gives the names of what was applied."""
    async with _found(settings) as found:
        return await _migrate(found)


@asynccontextmanager
async def _found(settings: Settings) -> AsyncIterator[Settings]:
    if settings.database_url:
        yield settings
        return
    settings = with_keys(settings)
    async with postgres.running(settings.data_dir) as dsn:
        yield msgspec.structs.replace(settings, database_url=dsn)


def opened_keyring(settings: Settings) -> Keyring:
    """The keys for partners' secrets: those that are set, else that of our own database. Raises Invalid."""
    return keyring.load(
        settings if settings.database_url else with_secrets_key(settings), secrets.token_bytes
    )


def with_keys(settings: Settings) -> Settings:
    """The settings with the key files of this data directory, where no keys are set."""
    return with_secrets_key(with_audit_key(settings))


def with_audit_keys(settings: Settings) -> Settings:
    """The settings with the key file of our own database, where no keys are set and it is used."""
    return settings if settings.database_url else with_audit_key(settings)


def with_audit_key(settings: Settings) -> Settings:
    """The settings with the key that signs the log, where none is set; it is made on a first start."""
    if settings.audit_key or settings.audit_key_file:
        return settings
    path = settings.data_dir / AUDIT_KEY
    if not path.exists():
        made = signing.new(f"imei-gateway/{secrets.token_hex(4)}", Kind.NOTE, secrets.token_bytes)
        _write_once(path, made.written() + "\n")
    return msgspec.structs.replace(settings, audit_key_file=str(path))


def with_secrets_key(settings: Settings) -> Settings:
    """The settings with the key file of this data directory, where no key is set; it is made on a first start."""
    if settings.secrets_key or settings.secrets_key_file:
        return settings
    path = settings.data_dir / SECRETS_KEY
    if not path.exists():
        _write_once(path, keyring.new_key(secrets.token_bytes) + "\n")
    return msgspec.structs.replace(settings, secrets_key_file=str(path))


async def _migrate(settings: Settings) -> list[str]:
    pool = await open_pool(settings.database_url, size=1, as_owner=True)
    try:
        async with pool.acquire() as conn:
            return await migrate(conn)
    finally:
        await pool.close()


@asynccontextmanager
async def opened(settings: Settings, size: int = 2) -> AsyncIterator[Pool]:
    """A pool on the database of these settings."""
    async with database(settings) as found:
        pool = await open_pool(
            found.database_url, size=size, command_timeout=3600, application_name="imei-gateway-cli"
        )
        try:
            yield pool
        finally:
            await pool.close()


async def first_key(pool: Pool, data_dir: Path) -> str | None:
    """Makes the one administrator key on a first start and writes it to `admin.key` (mode 600); else None."""

    async def work(conn: Connection) -> str | None:
        if await keys.has_admin(conn):
            return None
        made = await new_key(conn, name="administrator", role="admin", by="first start", now=utc_now())
        _write_private(data_dir / ADMIN_KEY, made.key + "\n")
        return made.key

    return await transaction(pool, work)


async def new_key(
    conn: Connection,
    *,
    name: str,
    role: str,
    by: str,
    now: datetime,
    quota: int | None = None,
    ends: Ends = NO_ENDS,
) -> NewKey:
    """A new key, on the record; for `quota` see `keys.set_quota`."""
    made = await keys.create(
        conn, name=name, role=role, by=by, now=now, random=secrets.token_bytes, ends=ends
    )
    detail: dict[str, object] = {"name": name, "role": role}
    if quota is not None:
        await keys.set_quota(conn, made.key_id, quota)
        detail["quota"] = quota
    if ends != NO_ENDS:
        detail["ends"] = ends
    await record(conn, [Entry("key.created", f"key:{made.key_id}", by, now, detail)])
    return made


@asynccontextmanager
async def address_left(data_dir: Path, url: str) -> AsyncIterator[None]:
    """Leaves the address of a running API in the data directory, for `address`."""
    path = data_dir / ADDRESS
    # Beside a database of one's own the data directory may be one that cannot be written to.
    with suppress(OSError):
        _write_private(path, url + "\n")
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text().strip() == url:
                path.unlink()


def address(settings: Settings) -> str:
    """Where partners reach the API: as set, or as a running one has left it, or by the settings in force."""
    if settings.public_url:
        return settings.public_url
    try:
        return (settings.data_dir / ADDRESS).read_text().strip()
    except OSError:
        return f"http://{settings.host}:{settings.port}"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _write_once(path: Path, text: str) -> None:
    """Writes a private file whole, unless there is one: of several who do it at once, one does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        owner = path.parent.stat()
        if os.geteuid() == 0:
            # What a command of root leaves here must be readable to whoever runs the gateway.
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        with suppress(FileExistsError):
            os.link(file.name, path)


async def principal(conn: Connection, settings: Settings, key: str | None) -> Principal:
    """Who a command acts as: the key it was given, or else the administrator of this data directory."""
    return await keys.authenticate(conn, key or _admin_key(settings.data_dir))


def _admin_key(data_dir: Path) -> str:
    path = data_dir / ADMIN_KEY
    try:
        return private.opened(path, "The administrator's key").strip()
    except OSError as error:
        raise Unauthorised(
            f"No key: give one with --key or IMEI_GATEWAY_KEY; {path} cannot be read ({error.strerror})."
            " 'imei-gateway key create' makes one.",
            "key-missing",
        ) from None
