"""What changes on the block list, as it comes, until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import rich_click as click
from rich.text import Text

from app.access.roles import Permission, Principal
from app.blocklist import feed
from app.blocklist.feed import Change, Page
from app.cli import desk, options, show
from app.core.db import Pool, asks_again
from app.devices.naming import Name

PULSE = 0.25
FIRST = "first"


class _Place:
    """How far the reader has come: up to this position. None: before the first change that is kept."""

    def __init__(self, reached: int | None) -> None:
        self.reached = reached


@click.command()
@click.option("--from", "cursor", metavar="CURSOR",
              help="Where a download or another 'follow' ended, or 'first': from the first change that is kept."
              "  [default: what changes from now on]")  # fmt: skip
@options.as_json
@options.acting
def follow(cursor: str | None, as_json: bool) -> None:
    """Print what changes on the block list, a line for each change, until Ctrl-C. None is left out or told twice.

    Says at its end how to go on from there; with --json, each line has the cursor to go on after it. Where changes
    are not kept any more, or the list was restored from a backup, it ends with 1: download the whole list then.

    \b
    Examples
      $ imei-gateway blocklist follow
      $ imei-gateway blocklist follow --from YmxvY2tsaXN0OjkzNDEy --json
    """
    tell, place = _as_json if as_json else _as_line, _Place(_position(cursor))
    try:
        desk.on_pool(lambda pool, actor: _follow(pool, actor, place, tell, is_new=cursor is None))
    except click.Abort:
        if place.reached is not None and not as_json:
            text = f"To go on: imei-gateway blocklist follow --from {feed.cursor_of(place.reached)}"
            show.say(text, stderr=True)
        raise


def _position(cursor: str | None) -> int | None:
    if cursor in (None, FIRST):
        return None
    position = feed.position_of(str(cursor))
    if position is None:
        text = f"'{cursor}' is not a cursor; it would be one that a download or 'follow' gave, or '{FIRST}'."
        raise click.BadParameter(text, param_hint="--from")
    return position


async def _follow(
    pool: Pool, actor: Principal, place: _Place, tell: Callable[[Change], None], *, is_new: bool
) -> None:
    actor.require(Permission.BLOCKLIST_READ)
    if is_new:
        async with pool.acquire(timeout=10) as conn:
            place.reached = (await feed.head(conn)).position
    while True:
        page = await _read(pool, place.reached)
        for change in page.changes if page else ():
            tell(change)
            place.reached = change.position
        if page and page.changes:
            continue
        if page:
            place.reached = page.reached
        await asyncio.sleep(PULSE)


async def _read(pool: Pool, after: int | None) -> Page | None:
    """None while the database is away, which is waited for."""
    try:
        async with (
            pool.acquire(timeout=10) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await feed.changes(conn, after, 1000)
    except Exception as error:
        if not asks_again(error):
            raise
        return None


def _as_json(change: Change) -> None:
    show.json({**msgspec.to_builtins(change), "cursor": feed.cursor_of(change.position)})


def _as_line(change: Change) -> None:
    named = change.imei or Name(gtin=change.gtin, serial=change.serial).text
    status = show.state(change.status)
    status.pad_right(max(0, 7 - len(status)))
    at = f"{change.position}  {show.moment(change.at)}  "
    line = Text.assemble(at, status, f"  {named}  {change.reason}  {change.reference}")
    show.console().print(line, soft_wrap=True)
