"""Acknowledgement files: fetched, read line by line as hostile input, and put away once they are booked.

A line names an identifier and a result; what is not understood says nothing about anybody, and is counted in words. A
file that cannot be read, or put away, is told once and stands back: it keeps none of the others from being booked.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence

from app.adapters.contract import (
    Confirmation,
    Failing,
    Files,
    NoAnswer,
    Op,
    Outcome,
    OutOfTime,
    PartnerFault,
    Report,
    Wire,
)
from app.adapters.drop import MOST_ROWS, DropSettings, Naming
from app.adapters.reading import Reader
from app.core.imei import asked

_MOST_REPORTS = 50
_MOST_BYTES = 16 * 2**20
_MOST_LINES = 2 * MOST_ROWS
_LONGEST_LINE = 2_000
_SERIAL = re.compile("[!-~]{1,100}")
_UNREAD = "unread"


class Acks:
    """What one partner leaves for us about the files that we left for it."""

    def __init__(self, settings: DropSettings, naming: Naming, reader: Reader) -> None:
        self._settings = settings
        self._naming = naming
        self._reader = reader
        # Files that could not be read or put away: of these one is tried at a time, when the others have been read.
        self._behind: dict[str, None] = {}
        # The digests of files that were booked, and stand there still.
        self._booked: dict[str, str] = {}

    async def poll(self, wire: Wire) -> list[Report]:
        """The acknowledgements that lie there, the first ones of them where there are many, or where the time does not
        suffice for all."""
        if not self._settings.acknowledged:
            return []
        files = wire.files(self._settings.acks_place)
        reports: list[Report] = []
        read = size = 0
        for name in self._in_turn(await files.names()):
            if read == _MOST_REPORTS or size > _MOST_BYTES:
                break
            try:
                body = await files.read(name)
            except PartnerFault as fault:
                if not _is_of_the_file(fault):
                    if reports:
                        break
                    raise
                reports += self._unread(name, fault)
                if isinstance(fault, NoAnswer):
                    break
                continue
            self._mended(name)
            reports.append(self._report(name, body))
            read, size = read + 1, size + len(body)
        return reports

    def _in_turn(self, there: Sequence[str]) -> list[str]:
        names = [name for name in there if self._naming.acknowledged(name)]
        known = set(names)
        self._behind = {name: None for name in self._behind if name in known}
        self._booked = {name: digest for name, digest in self._booked.items() if name in known}
        return [*(name for name in names if name not in self._behind), *list(self._behind)[:1]]

    def _unread(self, name: str, fault: PartnerFault) -> list[Report]:
        told = name in self._behind
        self._stand_back(name)
        return [] if told else [Report(f"{name}.{_UNREAD}", (), f"it cannot be read: {fault}")]

    def _stand_back(self, name: str) -> None:
        self._behind.pop(name, None)
        self._behind[name] = None

    def _mended(self, name: str) -> None:
        """What kept one file from being read may have kept all of them."""
        if name in self._behind and name not in self._booked:
            self._behind = {other: None for other in self._behind if other in self._booked}

    def _report(self, name: str, body: bytes) -> Report:
        digest = _digest(body)
        if self._booked.get(name) == digest:
            return Report(f"{name}.{digest}", ())
        about = self._naming.acknowledged(name)
        assert about
        confirmations, words = self._read(body, *about)
        return Report(f"{name}.{digest}", tuple(confirmations), words)

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        """Moves what was read. What has changed since then stays, and is read again. Raises Failing, when the others
        have been moved, for one that cannot be: once."""
        files = wire.files(self._settings.acks_place)
        there = set(await files.names())
        parted = [(name, digest) for name, _, digest in (report.rpartition(".") for report in names)]
        moving = {name: digest for name, digest in parted if name in there and digest != _UNREAD}
        moving = {name: digest for name, digest in moving.items() if self._naming.acknowledged(name)}
        self._booked |= moving
        failed = None
        for name, digest in moving.items():
            try:
                await self._moved(files, name, digest, f"{self._settings.put_away}/{name}.{digest}")
            except PartnerFault as fault:
                told = name in self._behind
                if _is_of_the_file(fault):
                    self._stand_back(name)
                if not isinstance(fault, Failing):
                    raise
                failed = failed or (None if told else fault)
            else:
                self._booked.pop(name)
                self._behind.pop(name, None)
        if failed:
            raise failed

    async def _moved(self, files: Files, name: str, digest: str, to: str) -> None:
        try:
            if _digest(await files.read(name)) == digest:
                await files.move(name, to)
        except Failing:
            if name in await files.names():
                raise

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


def _is_of_the_file(fault: PartnerFault) -> bool:
    """Whether another file may be read all the same: neither our time nor our welcome is over."""
    return isinstance(fault, Failing | NoAnswer) and not isinstance(fault, OutOfTime)


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
