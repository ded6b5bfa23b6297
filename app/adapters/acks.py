"""Acknowledgement files: fetched, read line by line as hostile input, and put away once they are booked.

A line names an identifier and a result; what is not understood says nothing about anybody, and is counted in words.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence

from app.adapters.contract import Confirmation, Failing, Files, Op, Outcome, Report, Wire
from app.adapters.drop import MOST_ROWS, DropSettings, Naming
from app.adapters.reading import Reader
from app.core.imei import asked

_MOST_REPORTS = 50
_MOST_BYTES = 16 * 2**20
_MOST_LINES = 2 * MOST_ROWS
_LONGEST_LINE = 2_000
_SERIAL = re.compile("[!-~]{1,100}")


class Acks:
    """What one partner leaves for us about the files that we left for it."""

    def __init__(self, settings: DropSettings, naming: Naming, reader: Reader) -> None:
        self._settings = settings
        self._naming = naming
        self._reader = reader

    async def poll(self, wire: Wire) -> list[Report]:
        """The acknowledgements that lie there, the first ones of them where there are many."""
        if not self._settings.acknowledged:
            return []
        files = wire.files(self._settings.acks_place)
        reports: list[Report] = []
        size = 0
        for name in await files.names():
            if len(reports) == _MOST_REPORTS or size > _MOST_BYTES:
                break
            if meant := self._naming.acknowledged(name):
                body, report = await self._fetched(files, name, *meant)
                reports.append(report)
                size += len(body)
        return reports

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        """Moves what was read. What has changed since then stays, and is read again."""
        files = wire.files(self._settings.acks_place)
        there = set(await files.names())
        for report in names:
            name, _, digest = report.rpartition(".")
            if name in there and self._naming.acknowledged(name):
                await self._moved(files, name, digest, f"{self._settings.put_away}/{report}")

    async def _moved(self, files: Files, name: str, digest: str, to: str) -> None:
        try:
            if _digest(await files.read(name)) == digest:
                await files.move(name, to)
        except Failing:
            if name in await files.names():
                raise

    async def _fetched(self, files: Files, name: str, file: str, op: Op) -> tuple[bytes, Report]:
        try:
            body = await files.read(name)
        except Failing as fault:
            # It is told, and stays where it is; the others are booked all the same.
            return b"", Report(f"{name}.unread", (), f"it cannot be read: {fault}")
        confirmations, words = self._read(body, file, op)
        return body, Report(f"{name}.{_digest(body)}", tuple(confirmations), words)

    def _read(self, body: bytes, file: str, op: Op) -> tuple[list[Confirmation], str]:
        lines = body.decode("utf-8-sig", "replace").split("\n", _MOST_LINES)
        over = lines.pop().count("\n") + 1 if len(lines) > _MOST_LINES else 0
        heard: dict[object, Confirmation] = {}
        contradicted = set()
        unknown = 0
        for place, line in enumerate(lines):
            found = self._confirmation(line.rstrip("\r"), file, op)
            if found is None:
                # The first line may be a header.
                unknown += place > 0 and bool(line.strip())
                continue
            key = asked(found.name) or found.name
            if heard.setdefault(key, found).answer.outcome is not found.answer.outcome:
                contradicted.add(key)
        kept = [found for key, found in heard.items() if key not in contradicted]
        over += len(kept[MOST_ROWS:])
        return kept[:MOST_ROWS], _words(unknown, len(contradicted), over)

    def _confirmation(self, line: str, file: str, op: Op) -> Confirmation | None:
        cells = _cells(line, self._settings.ack_delimiter)
        name = _cell(cells, self._settings.ack_identifier)
        code = _cell(cells, self._settings.ack_result)
        meaning = self._settings.ack_results.get(code)
        if meaning is None or not _SERIAL.fullmatch(name):
            return None
        words = _cell(cells, self._settings.ack_words)
        return Confirmation(name, op, self._reader.answer(Outcome(meaning), code, words, file))


def _cells(line: str, delimiter: str) -> list[str]:
    if len(line) > _LONGEST_LINE:
        return []
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _cell(cells: list[str], column: int) -> str:
    return cells[column - 1].strip() if column <= len(cells) else ""


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _words(unknown: int, contradicted: int, over: int) -> str:
    said = []
    if unknown:
        said.append(f"{unknown:,} lines were not understood" if unknown > 1 else "1 line was not understood")
    if contradicted:
        said.append(f"what it says of {contradicted:,} of the identifiers contradicts itself")
    if over:
        said.append(f"it is longer than any file of ours: {over:,} lines were not read")
    return "; ".join(said)
