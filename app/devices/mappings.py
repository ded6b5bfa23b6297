"""Stored mappings: how the columns of somebody's files are to be read. A supplier's bears the supplier's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core.db import Connection
from app.core.errors import Invalid, Missing
from app.core.sql import queries
from app.devices.intake import Mapped, read_columns

_SQL = queries("mappings")
_MOST_COLUMNS = 100


class ColumnMapping(msgspec.Struct, frozen=True):
    """The names of columns in a file, and the field that each means; `-` is a column that is not read."""

    name: str
    columns: dict[str, str]
    saved_at: datetime
    saved_by: str


async def save(
    conn: Connection, actor: Principal, name: str, columns: Mapping[str, str], now: datetime
) -> ColumnMapping:
    """Keeps a mapping under a name, in the place of an older one. Raises Invalid, Forbidden."""
    return await _save(conn, actor, _SQL.save, name, columns, now)


async def add(
    conn: Connection, actor: Principal, name: str, columns: Mapping[str, str], now: datetime
) -> ColumnMapping:
    """Keeps columns beside those that are stored under the name, and in the place of the same ones. Gives all that
    is stored then. Raises Invalid, Forbidden."""
    return await _save(conn, actor, _SQL.add, name, columns, now)


async def _save(
    conn: Connection, actor: Principal, query: str, name: str, columns: Mapping[str, str], now: datetime
) -> ColumnMapping:
    actor.require(Permission.RECEIPTS_WRITE)
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise Invalid("The name of a mapping would be 1 to 200 printable characters.", "mapping-name")
    _check(columns)
    await conn.execute(query, name, dict(columns), now, actor.label)
    saved = await find(conn, actor, name)
    _check(saved.columns)
    detail = {"columns": saved.columns}
    await record(conn, [Entry("mapping.saved", f"mapping:{name}", actor.label, now, detail)])
    return saved


def _check(columns: Mapping[str, str]) -> None:
    if not 1 <= len(columns) <= _MOST_COLUMNS:
        raise Invalid(f"A mapping would name 1 to {_MOST_COLUMNS} columns.", "mapping-size")
    read_columns(columns.items())


async def alike(conn: Connection, actor: Principal, name: str) -> list[str]:
    """The names of mappings that differ from this one in case alone; none where one has this very name. Raises
    Forbidden."""
    actor.require(Permission.RECEIPTS_WRITE)
    return [row["name"] for row in await conn.fetch(_SQL.alike, name)]


async def find(conn: Connection, actor: Principal, name: str) -> ColumnMapping:
    """Raises Missing, Forbidden."""
    actor.require(Permission.RECEIPTS_WRITE)
    row = await conn.fetchrow(_SQL.find, name)
    if row is None:
        others = await alike(conn, actor, name)
        raise Missing(
            unlike(name, others) or f"There is no mapping '{name}'; the list of mappings has their names."
        )
    return ColumnMapping(**row)


def unlike(name: str, others: Sequence[str]) -> str:
    """What to say of a name that only `others` come near to; nothing where there are none."""
    listed = " and ".join(f"'{other}'" for other in others)
    return f"There is no mapping '{name}', but there is {listed}: case counts." if others else ""


async def everyone(conn: Connection, actor: Principal) -> list[ColumnMapping]:
    """All mappings, by name."""
    actor.require(Permission.RECEIPTS_WRITE)
    return [ColumnMapping(**row) for row in await conn.fetch(_SQL.everyone)]


async def forget(conn: Connection, actor: Principal, name: str, now: datetime) -> ColumnMapping:
    """Gives what is forgotten. Raises Missing, Forbidden."""
    forgotten = await find(conn, actor, name)
    await conn.execute(_SQL.forget, name)
    await record(conn, [Entry("mapping.forgotten", f"mapping:{name}", actor.label, now, {})])
    return forgotten


async def chosen(
    conn: Connection, actor: Principal, *, name: str = "", supplier: str = "", own: Mapping[str, str]
) -> Mapped:
    """The mapping by which a submission is read: the one of that name, or else the supplier's where there is
    one, of which nobody has asked that each file has all its columns; `own` are columns that the sender names
    beside it, and goes before it. Raises Missing."""
    if name:
        return Mapped({**(await find(conn, actor, name)).columns, **own})
    row = await conn.fetchrow(_SQL.find, supplier) if supplier else None
    usual: dict[str, str] = row["columns"] if row else {}
    return Mapped({**usual, **own}, frozenset(usual.keys() - own.keys()))
