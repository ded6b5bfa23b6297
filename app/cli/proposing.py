"""How a command does what may take several people: at once, or it waits for them (exit code 7)."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from click.exceptions import Exit

from app.cli import desk, show
from app.proposals import decide
from app.proposals.deed import Deed, Means
from app.proposals.proposal import Proposal

WAITS = 7


def means() -> Means:
    """What deeds are done with, here."""
    undo = timedelta(minutes=desk.settings().undo_minutes)
    return Means(desk.keyring(), undo, secrets.token_bytes)


def propose(deed: Deed) -> Any:
    """What the deed gives, or a Proposal."""
    held = means()
    return desk.change(lambda conn, actor, now: decide.do_or_propose(conn, actor, deed, held, now))


def do(deed: Deed, as_json: bool = False) -> Any:
    """What the deed gives. Ends the command where it waits for others."""
    return done(propose(deed), as_json)


def done(found: Any, as_json: bool) -> Any:
    """What was done. Ends the command where it waits for others."""
    if not isinstance(found, Proposal):
        return found
    if as_json:
        show.json({"proposal": found})
    else:
        say(found)
    raise Exit(WAITS)


def say(found: Proposal) -> None:
    """Whom it waits for, and what they do."""
    people = show.count(found.demand.people, "other person", "other people")
    show.say(
        f"Nothing is done yet: {people} must approve it, by {show.moment(found.approve_until)}.",
        "bold yellow",
    )
    show.say(f"As another one: imei-gateway proposal approve {found.id} --key imei_k_…")
