"""Forward-only migrations: `sql/migrations/NNNN_noun.sql`, applied once, in order, and never changed again.

One transaction for each file and its record. A file whose first line is `-- no-transaction` runs statement by
statement (for CREATE INDEX CONCURRENTLY and the like); one that fails half-way is not recorded and runs again
from its start, so write `IF NOT EXISTS` in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import asyncpg
import msgspec

from app.core import grants
from app.core.db import Connection
from app.core.errors import Conflict
from app.core.sql import queries, sql_root

_PATIENCE = 24 * 3600.0
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_ALONE = "-- no-transaction"
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|(?P<end>;)",
    re.DOTALL,
)


class Migration(msgspec.Struct, frozen=True):
    """One file. Its name is the file's, without `.sql`."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_alone(self) -> bool:
        return self.text.startswith(_ALONE)


async def migrate(conn: Connection, root: Path | None = None) -> list[str]:
    """Brings the database up to the code and returns the names of what was applied, in order.

    Callers may run at once: one of them migrates, the others wait and find nothing to do. Conflict if the
    database and the files do not belong together, if a migration fails, which it then names, or if the server would
    forget what it has said is kept.
    """
    files = _files(root)
    if unsafe := [row["name"] for row in await conn.fetch(queries("migrate").unsafe)]:
        raise Conflict(
            f"This database may lose what it has said is kept, for {', '.join(unsafe)} is off there. Set it to on:"
            " a block that was acknowledged must not be forgotten.",
            "database-forgets",
        )
    async with _locked(conn):
        # Whoever is not the owner may look whether there is anything to do.
        if not await conn.fetchval(queries("migrate").exists):
            await conn.execute(queries("migrate").create_table)
        missing = _missing(files, await conn.fetch(queries("migrate").applied))
        for migration in missing:
            await _apply(conn, migration)
        if root is None:
            await grants.grant(conn)
    return [migration.name for migration in missing]


async def pending(conn: Connection, root: Path | None = None) -> list[str]:
    """What `migrate` would apply. A database newer than the code is no fault: releases roll out."""
    files = _files(root)
    if not await conn.fetchval(queries("migrate").exists):
        return [migration.name for migration in files]
    applied = {row["number"] for row in await conn.fetch(queries("migrate").applied)}
    return [migration.name for migration in files if migration.number not in applied]


def _files(root: Path | None) -> list[Migration]:
    folder = (root or sql_root()) / "migrations"
    found = [_read(path) for path in sorted(folder.glob("*.sql"))]
    for first, second in pairwise(found):
        if first.number == second.number:
            raise Conflict(
                f"{first.name} and {second.name} in {folder}: one of them needs the next free number"
            )
    return found


def _read(path: Path) -> Migration:
    named = _FILE.fullmatch(path.name)
    if named is None:
        raise Conflict(f"{path} has no name of a migration: it must look like 0012_noun.sql")
    return Migration(int(named[1]), path.stem, path.read_text(encoding="utf-8"))


def _missing(files: list[Migration], applied: list[asyncpg.Record]) -> list[Migration]:
    """What is to be applied, once all that has been is found among the files, unchanged."""
    for row in applied:
        _check(row, files)
    last = applied[-1]["number"] if applied else 0
    known = {row["number"] for row in applied}
    missing = [migration for migration in files if migration.number not in known]
    if missing and missing[0].number < last:
        raise Conflict(
            f"{missing[0].name} is new, and {applied[-1]['name']} is applied already: "
            "give the new migration a number after it"
        )
    return missing


def _check(row: asyncpg.Record, files: list[Migration]) -> None:
    number, name = row["number"], row["name"]
    file = next((migration for migration in files if migration.number == number), None)
    if file is None and number > max((migration.number for migration in files), default=0):
        raise Conflict(
            f"The database is newer than this code, which knows no {name}: run the release that has it"
        )
    if file is None:
        raise Conflict(f"{name} was applied to this database, and its file is missing: bring it back")
    if file.checksum != row["checksum"]:
        raise Conflict(
            f"{file.name} was changed after it was applied to this database: "
            "restore the file, and put the change into a new migration"
        )


async def _apply(conn: Connection, migration: Migration) -> None:
    try:
        if migration.is_alone:
            for statement in statements(migration.text):
                await conn.execute(statement, timeout=_PATIENCE)
            await _record(conn, migration)
        else:
            async with conn.transaction():
                await _record(conn, migration)
                await conn.execute(migration.text, timeout=_PATIENCE)
    except asyncpg.PostgresError as error:
        kept = "what stands before it in the file is kept" if migration.is_alone else "nothing of it is kept"
        raise Conflict(f"Migration {migration.name} failed, {kept}: {error}") from error


async def _record(conn: Connection, migration: Migration) -> None:
    await conn.execute(queries("migrate").record, migration.number, migration.name, migration.checksum)


@asynccontextmanager
async def _locked(conn: Connection) -> AsyncIterator[None]:
    # Waiting inside PostgreSQL would hold a snapshot, for which the winner's CREATE INDEX CONCURRENTLY waits.
    while not await conn.fetchval(queries("migrate").lock):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    try:
        yield
    finally:
        # A connection that was lost has lost its lock too, and must not hide why.
        with suppress(Exception):
            await conn.execute(queries("migrate").unlock)


def statements(text: str) -> Iterator[str]:
    """A script's single statements. Knows quotes, dollar quotes and comments, not E'' with backslashes."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token["end"]:
            yield text[start : token.end()].strip()
            start = token.end()
    if _TOKEN.sub("", text[start:]).strip():
        yield text[start:].strip()
