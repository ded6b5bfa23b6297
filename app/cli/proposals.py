"""Proposals, from the command line: what waits for others, and what they decide."""

from __future__ import annotations

import rich_click as click

from app.cli import desk, options, proposing, show
from app.core.clock import utc_now
from app.proposals import decide
from app.proposals import proposal as proposals
from app.proposals.proposal import Proposal

_number = click.argument("number", metavar="PROPOSAL", type=options.Number("a proposal"))
_reason = click.option("--reason", required=True, help="Why; it stays on the record.")
_STATES = click.Choice(["waiting", "done", "rejected", "withdrawn", "over"])


@click.group()
def proposal() -> None:
    """What somebody wants done and others must approve first: releases, partners, people, keys, rules.

    \b
    Example
      $ imei-gateway proposal list
    """


@proposal.command("list")
@click.option("--state", type=_STATES, help="Only those; else those that wait.")
@click.option("--all", "everything", is_flag=True, help="Those too that were decided.")
@options.as_json
@options.acting
def list_(state: str | None, everything: bool, as_json: bool) -> None:
    """List what waits for approval, the newest first.

    \b
    Example
      $ imei-gateway proposal list --all
    """
    wanted = state or (None if everything else "waiting")
    found = desk.read(
        lambda conn, actor: proposals.latest(
            conn, actor, before=None, state=wanted, limit=1000, now=utc_now()
        )
    )
    if as_json:
        show.json({"proposals": found})
        return
    columns = ("#id", "what", "of", "state", "by", "approved by", "until")
    show.draw(show.table("", columns, map(_row, found)))


def _row(it: Proposal) -> tuple[str, ...]:
    so_far = f"{', '.join(it.assents) or 'nobody'} ({len(it.assents)} of {it.demand.people})"
    return str(it.id), it.deed, it.place, it.state, it.proposed_by, so_far, show.moment(it.approve_until)


@proposal.command("show")
@_number
@options.as_json
@options.acting
def show_(number: int, as_json: bool) -> None:
    """Show what a proposal would come to.

    \b
    Example
      $ imei-gateway proposal show 3
    """
    _tell(desk.read(lambda conn, actor: proposals.find(conn, actor, number, utc_now())), as_json)


@proposal.command()
@_number
@click.option("--digest", default="", help="What you have seen ('proposal show'): nothing else is done then.")
@options.as_json
@options.acting
def approve(number: int, digest: str, as_json: bool) -> None:
    """Approve what somebody else proposed; with the last approval that it takes, it is done.

    \b
    Example
      $ imei-gateway proposal approve 3 --key imei_k_…
    """
    means = proposing.means()
    found = desk.change(lambda conn, actor, now: decide.approve(conn, actor, number, digest, means, now))
    _tell(found, as_json)


@proposal.command()
@_number
@_reason
@options.as_json
@options.acting
def reject(number: int, reason: str, as_json: bool) -> None:
    """Reject what somebody else proposed.

    \b
    Example
      $ imei-gateway proposal reject 3 --reason "Nobody asked the operator" --key imei_k_…
    """
    found = desk.change(lambda conn, actor, now: decide.reject(conn, actor, number, reason, now))
    show.json(found) if as_json else show.say(_outcome(found), "bold")


@proposal.command()
@_number
@_reason
@options.as_json
@options.acting
def withdraw(number: int, reason: str, as_json: bool) -> None:
    """Take back what you proposed.

    \b
    Example
      $ imei-gateway proposal withdraw 3 --reason "The wrong partner"
    """
    found = desk.change(lambda conn, actor, now: decide.withdraw(conn, actor, number, reason, now))
    show.json(found) if as_json else show.say(_outcome(found), "bold")


def _outcome(it: Proposal) -> str:
    if it.state == "waiting":
        so_far = f"approved by {', '.join(it.assents) or 'nobody yet'}"
        return f"Proposal {it.id} waits still, {so_far}; it takes {it.lacking}."
    return f"Proposal {it.id} ({it.deed} {it.place}".rstrip() + f") is {it.state}."


def _tell(it: Proposal, as_json: bool) -> None:
    if as_json:
        show.json(it)
        return
    show.say(_outcome(it), "bold")
    facts = [("proposed by", f"{it.proposed_by}, {show.moment(it.proposed_at)}")]
    facts.append(("approvals until", show.moment(it.approve_until)))
    show.draw(show.facts([*facts, *proposing.shown(it), ("digest", it.digest)]))
