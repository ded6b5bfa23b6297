"""A reader of ranges files to practise on. The layout is ours: no specification of it is public."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from app.core.imei import tac
from app.sandbox import inbox
from app.sandbox.inbox import InboxOptions, Unreadable, Verdict
from app.sandbox.ledger import State
from app.sandbox.stage import Stage

_STATE = {"insert": State.BLOCKED, "remove": State.RELEASED}
_RECORD = re.compile(r"([0-9]{14}),([0-9]{14}),(insert|remove),([0-9]{4})")


class Options(InboxOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose files it reads."""

    organisation: str = "PRACTICE"


def install(app: web.Application, stage: Stage, options: Options) -> None:
    inbox.install(app, stage, options, lambda name, body: _taken(stage, options, name, body))


def settings(spoken: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return {**inbox.settings(spoken, options), "organisation": options.organisation}


def _taken(stage: Stage, options: Options, name: str, body: bytes) -> Iterator[Verdict]:
    header, *records, trailer = body.decode("ascii", "replace").splitlines() or ["", ""]
    if not header.startswith(f"HEADER,{options.organisation},") or trailer != f"TRAILER,{len(records)}":
        raise Unreadable("its header is not that of the organisation, or its trailer has another count")
    found = [each for record in records if (each := _RECORD.fullmatch(record))]
    if len(found) < len(records) or not all(_is_range(int(each[1]), int(each[2])) for each in found):
        raise Unreadable("a record is no range of one type of device")
    for each in found:
        yield from _told(stage, name, each)


def _is_range(first: int, last: int) -> bool:
    return first <= last and tac(first) == tac(last)


def _told(stage: Stage, name: str, record: re.Match[str]) -> Iterator[Verdict]:
    for key in range(int(record[1]), int(record[2]) + 1):
        imei = f"{key:014d}"
        if stage.misbehaviour.item() == "refused":
            yield Verdict(imei, "refused", "practice")
            continue
        known = stage.ledger.tell(imei, _STATE[record[3]], name)
        yield Verdict(imei, "already" if known else "done")
