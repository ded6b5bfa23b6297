"""Stored mappings of columns, from the command line; `register --save-mapping` makes them."""

from __future__ import annotations

from collections.abc import Mapping

import rich_click as click

from app.access.roles import Principal
from app.cli import desk, options, show
from app.core.db import Connection
from app.devices import mappings
from app.devices.mappings import ColumnMapping

_name = click.argument("name", metavar="NAME")


@click.group()
def mapping() -> None:
    """List, show and remove the mappings by which columns of goods-in files are read.

    'register --supplier NAME --map COLUMN=FIELD --save-mapping' makes one, or adds to it.

    \b
    Example
      $ imei-gateway mapping list
    """


@mapping.command("list")
@options.as_json
@options.acting
def list_(as_json: bool) -> None:
    """List all mappings, by name.

    \b
    Example
      $ imei-gateway mapping list
    """

    async def work(conn: Connection, actor: Principal) -> list[ColumnMapping]:
        return await mappings.everyone(conn, actor)

    found = desk.read(work)
    if as_json:
        show.json({"mappings": found})
        return
    rows = [(it.name, _said(it.columns), show.moment(it.saved_at), it.saved_by) for it in found]
    show.draw(show.table("", ("name", "columns", "saved", "by"), rows))


def _said(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{column} is {field}" for column, field in columns.items())


@mapping.command("show")
@_name
@options.as_json
@options.acting
def show_(name: str, as_json: bool) -> None:
    """Show one mapping: its columns, and the field that each means.

    \b
    Example
      $ imei-gateway mapping show ACME
    """
    found = desk.read(lambda conn, actor: mappings.find(conn, actor, name))
    if as_json:
        show.json(found)
        return
    facts = [("mapping", found.name), ("saved", f"{show.moment(found.saved_at)} by {found.saved_by}")]
    show.draw(show.facts(facts), "", show.table("", ("column", "field"), list(found.columns.items())))


@mapping.command()
@_name
@options.as_json
@options.acting
def remove(name: str, as_json: bool) -> None:
    """Remove a mapping; what was registered by it stays as it is.

    \b
    Example
      $ imei-gateway mapping remove ACME
    """
    gone = desk.change(lambda conn, actor, now: mappings.forget(conn, actor, name, now))
    if as_json:
        show.json(gone)
    else:
        show.say(f"The mapping {gone.name} is removed. It was: {_said(gone.columns)}.")
