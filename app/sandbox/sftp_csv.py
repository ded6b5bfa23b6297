"""A partner to practise on that takes CSV files, with the columns that ours have by themselves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from app.core.imei import asked
from app.sandbox import inbox
from app.sandbox.inbox import InboxOptions, Unreadable, Verdict
from app.sandbox.ledger import State
from app.sandbox.stage import Stage

_STATE = {"block": State.BLOCKED, "release": State.RELEASED}


class Options(InboxOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that all partners have that take files."""


def install(app: web.Application, stage: Stage, options: Options) -> None:
    inbox.install(app, stage, options, lambda name, body: _taken(stage, name, body))


def settings(spoken: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return inbox.settings(spoken, options)


def _taken(stage: Stage, name: str, body: bytes) -> Iterator[Verdict]:
    try:
        rows = list(csv.DictReader(io.StringIO(body.decode("utf-8"))))
    except (UnicodeDecodeError, csv.Error):
        raise Unreadable("it is no CSV") from None
    for row in rows:
        yield _verdict(stage, name, row.get("imei") or "", row.get("serial") or "", row.get("op") or "")


def _verdict(stage: Stage, name: str, imei: str, serial: str, op: str) -> Verdict:
    state = _STATE.get(op)
    if state is None or not (imei or serial) or (imei and asked(imei) is None):
        return Verdict(imei or serial, "refused", "the row is not understood")
    if stage.misbehaviour.item() == "refused" or stage.misbehaviour.result_fails():
        return Verdict(imei or serial, "refused", "practice")
    known = stage.ledger.tell(imei or serial, state, name)
    return Verdict(imei or serial, "already" if known else "done")
