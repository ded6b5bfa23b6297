"""A DIRBS Core to practise on: takes a stolen list as a whole or not at all.

One row that it does not take, an `add` of what it has, or a `remove` of what it has not, and nothing of the file
counts.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

from app.sandbox import inbox
from app.sandbox.inbox import InboxOptions, Unreadable, Verdict
from app.sandbox.ledger import State
from app.sandbox.stage import Stage

_HEADER = ["imei", "reporting_date", "status"]
_DELTA = [*_HEADER, "change_type"]
_IMEI, _DATE = re.compile("[0-9A-Fa-f*#]{1,16}"), re.compile("(20[0-9]{2}[01][0-9][0-3][0-9])?")
_LARGEST = 64 * 2**20


class Options(InboxOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that all partners have that take files."""


def install(app: web.Application, stage: Stage, options: Options) -> None:
    inbox.install(app, stage, options, lambda name, body: _taken(stage, name, body))


def settings(spoken: str, options: Options) -> dict[str, Any]:
    """The settings of a partner row that speaks to this partner."""
    return inbox.settings(spoken, options)


def _taken(stage: Stage, name: str, body: bytes) -> Iterable[Verdict]:
    header, *rows = [line.split(",") for line in _unpacked(name, body).splitlines()] or [[]]
    if header not in (_HEADER, _DELTA):
        raise Unreadable("its header is another")
    fault = next(_faults(stage, header, rows), "")
    if fault:
        return [Verdict(row[0][:14], "refused", f"the whole file: {fault}") for row in rows]
    return list(_changed(stage, name, rows) if header == _DELTA else _replaced(stage, name, rows))


def _unpacked(name: str, body: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            (table,) = archive.infolist()
            if table.filename != f"{name.removesuffix('.zip')}.csv" or not name.endswith(".zip"):
                raise Unreadable("its CSV has another name")
            if table.file_size > _LARGEST:
                raise Unreadable("it is too large")
            return archive.read(table).decode("ascii")
    except (zipfile.BadZipFile, ValueError):
        raise Unreadable("it is no zip of one CSV") from None


def _faults(stage: Stage, header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """What is wrong in the file, row by row."""
    seen = set()
    for number, row in enumerate(rows, 2):
        if len(row) != len(header) or not _IMEI.fullmatch(row[0]) or not _DATE.fullmatch(row[1]):
            yield f"line {number} is not taken"
            return
        imei = row[0][:14]
        if imei in seen:
            yield f"line {number} has an IMEI for the second time"
        seen.add(imei)
        held = stage.ledger.state(imei) is State.BLOCKED
        if header == _DELTA and (row[3], held) not in (("add", False), ("remove", True), ("update", True)):
            yield f"line {number} would {row[3]} what is {'there already' if held else 'not there'}"
        if stage.misbehaviour.item() == "refused":
            yield f"line {number}: practice"


def _changed(stage: Stage, name: str, rows: list[list[str]]) -> Iterator[Verdict]:
    for imei, _, status, change in rows:
        blocked = change != "remove" and status in ("", "blacklist")
        stage.ledger.tell(imei[:14], State.BLOCKED if blocked else State.RELEASED, name)
        yield Verdict(imei[:14], "done")


def _replaced(stage: Stage, name: str, rows: list[list[str]]) -> Iterator[Verdict]:
    listed = {row[0][:14] for row in rows}
    held = {imei for imei, state in stage.ledger.states.items() if state is State.BLOCKED}
    for imei in held - listed:
        stage.ledger.tell(imei, State.RELEASED, name)
    for imei in listed:
        if imei not in held:
            stage.ledger.tell(imei, State.BLOCKED, name)
        yield Verdict(imei, "done")
