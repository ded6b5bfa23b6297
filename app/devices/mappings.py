"""Stored mappings: how the columns of somebody's files are to be read. A supplier's bears the supplier's name."""

from __future__ import annotations

from collections.abc import Mapping
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
    actor.require(Permission.RECEIPTS_WRITE)
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise Invalid("The name of a mapping would be 1 to 200 printable characters.", "mapping-name")
    if not 1 <= len(columns) <= _MOST_COLUMNS:
        raise Invalid(f"A mapping would name 1 to {_MOST_COLUMNS} columns.", "mapping-size")
    read_columns(columns.items())
    await conn.execute(_SQL.save, name, dict(columns), now, actor.label)
    detail = {"columns": dict(columns)}
    await record(conn, [Entry("mapping.saved", f"mapping:{name}", actor.label, now, detail)])
    return await find(conn, actor, name)


async def find(conn: Connection, actor: Principal, name: str) -> ColumnMapping:
    """Raises Missing, Forbidden."""
    actor.require(Permission.RECEIPTS_WRITE)
    row = await conn.fetchrow(_SQL.find, name)
    if row is None:
        raise Missing(f"There is no mapping '{name}'; the list of mappings has their names.")
    return ColumnMapping(**row)


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
