"""How a command does what may take several people: at once, or it waits for them (exit code 7)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
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


def shown(found: Proposal) -> list[tuple[str, str]]:
    """What it comes to, but for what is empty."""
    return [(name, text) for name, text in _flat(found.would) if text not in ("", "null", "[]")]


def _flat(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, one in value.items():
        if isinstance(one, dict):
            yield from _flat(one, f"{above}{name} ")
        else:
            yield f"{above}{name}", one if isinstance(one, str) else json.dumps(one)


def say(found: Proposal) -> None:
    """What it comes to, whom it waits for, and what they do."""
    show.draw(show.facts(shown(found)))
    people = show.count(found.demand.people, "other person", "other people")
    show.say(
        f"Nothing is done yet: {people} must approve it, by {show.moment(found.approve_until)}.",
        "bold yellow",
    )
    show.say(f"As another one: imei-gateway proposal approve {found.id} --key imei_k_…")
