"""A partner that is told again, brought up to date, or removed, from the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from shlex import quote

import rich_click as click

from app.access.roles import Permission, Principal
from app.adapters import registry
from app.adapters.contract import Lists
from app.cli import desk, options, proposing, show
from app.core.db import Connection
from app.delivery import again as telling
from app.delivery import asking, partners
from app.delivery.again import Again, Replay, Which
from app.delivery.partners import Partner
from app.delivery.progress import GivenUp, given_up
from app.proposals.partners import RemovePartner


@click.command()
@options.as_json
@options.acting
def parked(as_json: bool) -> None:
    """Say at which partners, and of which incidents, orders are parked: given up until somebody has them told again.

    \b
    Example
      $ imei-gateway partner parked
    """

    async def work(conn: Connection, actor: Principal) -> list[GivenUp]:
        actor.require(Permission.PARTNERS_READ)
        return await given_up(conn)

    found = desk.read(work)
    if as_json:
        show.json({"parked": found})
        return
    if not found:
        show.say("Nothing is parked.", "green")
        return
    rows = [(it.partner, str(it.incident), it.title, f"{it.parked:,}") for it in found]
    show.draw(show.table("", ("partner", "#incident", "title", "#identifiers"), rows), "")
    show.say(
        f"'imei-gateway incident {found[0].incident} --refusals' says which, and why: 'late' was tried for too long;"
        " at 'poison' workers died, and may die again. Mend the cause first; then"
    )
    show.say(f"  imei-gateway partner replay {quote(found[0].partner)} --which parked")


@click.command()
@click.argument("name")
@click.option("--which", type=click.Choice([it.value for it in Which]), default=Which.FAILED.value, show_default=True,
              help="What it refused and what was given up (failed), one of these, or all it was told.")  # fmt: skip
@click.option("--incident", type=int, metavar="INCIDENT", help="Only of this incident.")
@click.option("--since", callback=options.moment, metavar="TIME", help="Only what was ordered from then on.")
@click.option("--until", callback=options.moment, metavar="TIME", help="Only what was ordered before.")
@options.as_json
@options.acting
def replay(
    *,
    name: str,
    which: str,
    incident: int | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """Have a partner (by name or number) told again, each identifier as it stands now. What it is still to be told
    anyway is not ordered twice.

    \b
    Examples
      $ imei-gateway partner replay "Operator Nord"
      $ imei-gateway partner replay "Operator Nord" --which all --incident 7
    """
    wanted = Replay(Which(which), incident, since, until)
    _tell_again(
        name, as_json, lambda conn, actor, number, now: telling.replay(conn, actor, number, wanted, now)
    )


@click.command()
@click.argument("name")
@options.as_json
@options.acting
def resync(name: str, as_json: bool) -> None:
    """Bring a partner (by name or number) up to date: one that was added late, or restored from a backup.

    \b
    Example
      $ imei-gateway partner resync "Operator Nord"
    """
    _tell_again(name, as_json, telling.resync)


@click.command()
@click.argument("name")
@options.acting
def reconcile(name: str) -> None:
    """Ask a partner (by name or number) what it holds, and tell it again where that differs. A worker does it, and
    does it every day by itself; 'partner list --json' shows what came of it.

    One that takes whole lists (dirbs_file) is given one, only now, in place of all that its list holds: what others
    have put on that list is no longer on it.

    \b
    Example
      $ imei-gateway partner reconcile "Operator Nord"
    """

    async def work(conn: Connection, actor: Principal, now: datetime) -> tuple[str, bool]:
        actor.require(Permission.PARTNERS_WRITE)
        found = await partners.named(conn, name)
        await asking.reconcile(conn, actor, found.id, now)
        return found.name, issubclass(registry.adapter(found.adapter), Lists)

    called, lists = desk.change(work)
    what = "is given the whole list, in place of what it has," if lists else "is asked what it holds"
    show.say(f"{called} {what} as soon as a worker is free.")


def _tell_again(name: str, as_json: bool, order: Callable[..., Awaitable[Again]]) -> None:
    async def work(conn: Connection, actor: Principal, now: datetime) -> tuple[str, Again]:
        actor.require(Permission.PARTNERS_WRITE)
        found = await partners.named(conn, name)
        return found.name, await order(conn, actor, found.id, now)

    called, told = desk.change(work)
    if as_json:
        show.json(told)
    else:
        blocks = show.count(told.block, "identifier", "identifiers")
        show.say(f"{called} is told again: {blocks} to block, {told.release:,} to release.")


@click.command()
@click.argument("name")
@click.option(
    "--leave-blocks", is_flag=True, help="Leave the blocks that it holds there for incidents in force."
)
@options.acting
def remove(name: str, leave_blocks: bool) -> None:
    """Remove a partner (by name or number): it is told nothing any more, and its settings are forgotten.

    \b
    Example
      $ imei-gateway partner remove "Operator Nord"
    """

    async def named(conn: Connection, actor: Principal) -> Partner:
        actor.require(Permission.PARTNERS_WRITE)
        return await partners.named(conn, name)

    found = desk.read(named)
    proposing.do(RemovePartner(found.id, leave_blocks))
    show.say(f"Partner {found.name} is removed.")
