"""Approval rules, from the command line: listed, added, ended; each on the audit log.

Whoever has the database has everything; so that an operator who makes it easier is seen, everybody is alerted.
"""

from __future__ import annotations

import getpass

import msgspec
import rich_click as click

from app.access import approvals
from app.access.approvals import NewRule, Rule, Subject
from app.access.roles import Permission, Principal
from app.cli import desk, options, proposing, show
from app.core.db import Connection
from app.proposals import rights
from app.proposals.rights import AddRule, EndRule

_COLUMNS = ("#id", "for", "from", "at", "takes", "within", "since", "by")


@click.group()
def rule() -> None:
    """How many people it takes to block, to release, and to change partners, keys and these rules.

    \b
    Example
      $ imei-gateway rule add block --devices 10000 --approvers 2 --distinct-groups
    """


@rule.command("list")
@options.as_json
@options.acting
def list_(as_json: bool) -> None:
    """List the rules in force. All that fit apply together, the strictest of each.

    \b
    Example
      $ imei-gateway rule list
    """

    async def work(conn: Connection, actor: Principal) -> list[Rule]:
        actor.require(Permission.RULES_READ)
        return await approvals.rules(conn)

    found = desk.read(work)
    if as_json:
        show.json({"rules": found})
        return
    show.draw(show.table("", _COLUMNS, map(_row, found)))


def _row(found: Rule) -> tuple[str, ...]:
    least = f"{found.least_devices:,} devices" if found.least_devices else ""
    worth = f"{found.least_value:,} {found.currency}" if found.least_value else ""
    where = ", ".join((*(found.sites or ()), *(found.kinds or ())))
    of = f", one of {' and one of '.join(found.groups)}" if found.groups else ""
    apart = ", of different groups" if found.distinct_groups else ""
    people = ", who sign in" if found.people_only else ""
    takes = f"{found.approvers} more{of}{apart}{people}"
    since = (show.moment(found.made_at), found.made_by)
    begins = " and ".join(filter(None, (least, worth))) or "any"
    return str(found.rule_id), found.subject, begins, where or "anywhere", takes, f"{found.hours} h", *since


@rule.command()
@click.argument("subject", type=click.Choice([str(one) for one in Subject]))
@click.option("--approvers", type=click.IntRange(0, 3), required=True, help="How many others it takes.")
@click.option("--devices", type=click.IntRange(0), default=0, help="From so many devices on.")
@click.option("--value", help="From so much on, as 250000 EUR.")
@click.option("--site", "sites", multiple=True, help="At this site alone; may be repeated.")
@click.option("--kind", "kinds", multiple=True, help="Of this kind of incident alone; may be repeated.")
@click.option("--group", "groups", multiple=True, help="One of them is of this group; may be repeated.")
@click.option("--distinct-groups", is_flag=True, help="No two of them stand for the same group.")
@click.option("--people-only", is_flag=True, help="They sign in; a machine's key does not count.")
@click.option(
    "--hours", type=click.IntRange(1, 720), default=72, show_default=True, help="For so long approvals count."
)
@options.as_json
@options.acting
def add(
    subject: str,
    approvers: int,
    devices: int,
    value: str | None,
    sites: tuple[str, ...],
    kinds: tuple[str, ...],
    groups: tuple[str, ...],
    distinct_groups: bool,
    people_only: bool,
    hours: int,
    as_json: bool,
) -> None:
    """Add a rule.

    \b
    Examples
      $ imei-gateway rule add block --devices 10000 --approvers 2 --distinct-groups
      $ imei-gateway rule add block --value "1000000 EUR" --approvers 3 --group security --people-only
    """
    amount, _, currency = (value or "0 ").partition(" ")
    said = msgspec.convert(
        {
            "subject": subject, "approvers": approvers, "least_devices": devices, "least_value": amount,
            "currency": currency.strip(), "sites": sites or None, "kinds": kinds or None, "groups": groups,
            "distinct_groups": distinct_groups, "people_only": people_only, "hours": hours,
        },
        NewRule,
        strict=False,
    )  # fmt: skip
    unmet = desk.read(lambda conn, _: approvals.unmet(conn, said))
    if unmet and not as_json:
        show.say(f"{unmet}: 'key groups' and 'person role --group' say who is.", "yellow")
    number = proposing.do(AddRule(said), as_json)
    if as_json:
        show.json({"rule_id": number})
        return
    show.say(f"Rule {number} is in force.")


@rule.command()
@click.argument("rule_id", type=options.Number("a rule"))
@click.option(
    "--operator", is_flag=True, help="As whoever has the database: nobody else is asked, and the log says so."
)
@options.as_json
@options.acting
def end(rule_id: int, operator: bool, as_json: bool) -> None:
    """End a rule. Everybody is alerted: it takes fewer people from now on.

    Where a rule demands people whom there are not, --operator ends it all the same.

    \b
    Example
      $ imei-gateway rule end 7
    """
    if operator:
        by = f"operator:{getpass.getuser()}"
        desk.change(lambda conn, _, now: rights.end_rule(conn, rule_id, by, now))
    else:
        proposing.do(EndRule(rule_id), as_json)
    if as_json:
        show.json({"rule_id": rule_id, "ended": True})
        return
    show.say(f"Rule {rule_id} is no longer in force.")
