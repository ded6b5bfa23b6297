"""What is unlike the usual, at the terminal: acknowledged by an option, or asked about."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import rich_click as click

from app.cli import desk, show
from app.core.errors import Conflict
from app.incidents import decide, guards
from app.incidents.guards import CODES, Submission
from app.incidents.incident import Incident

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def acknowledging(command: Decorated) -> Decorated:
    """The options by which a submission is said to be meant so."""
    sold = click.option(
        "--include-sold", is_flag=True, help="Claim devices that were sold to customers, too."
    )
    known = click.option(
        "--acknowledge", "acknowledged", multiple=True, type=click.Choice(CODES),
        help="What is known to be unlike the usual; may be given many times.",
    )  # fmt: skip
    return known(sold(command))


def submission(acknowledged: tuple[str, ...], include_sold: bool) -> Submission:
    """What these options say."""
    return msgspec.convert({"acknowledged": acknowledged, "include_sold": include_sold}, Submission)


def submitted(incident_id: int, said: Submission, *, asks: bool) -> Incident:
    """Submits a draft; where it is unusual and somebody is there, asks and submits it then."""
    try:
        return _submit(incident_id, said)
    except Conflict as error:
        if error.code != "unusual" or not (asks and sys.stdin.isatty()) or not _is_meant(error):
            raise
        codes = (*said.acknowledged, *(flaw.code for flaw in error.flaws))
        return _submit(incident_id, submission(codes, said.include_sold))


def _is_meant(error: Conflict) -> bool:
    for flaw in error.flaws:
        show.say(f"{flaw.code}: {flaw.detail}", "bold red")
    return click.confirm("That is unlike the usual. Is it meant so?")


def _submit(incident_id: int, said: Submission) -> Incident:
    bounds = guards.bounds(desk.settings())
    return desk.change(lambda conn, actor, now: decide.submit(conn, actor, incident_id, now, said, bounds))
