"""Puts rows into the registry, a batch at a time: new devices are copied straight into their tables, and only
rows that share a name with another device or row are judged one against the other.

All of it in the caller's transaction. Two submissions that register the same device at once meet in the unique
indexes: the later one gets asyncpg.UniqueViolationError and runs again from its start.
"""

from __future__ import annotations

import io
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter

import asyncpg
import msgspec

from app.core.db import Connection
from app.core.sql import queries
from app.devices import moves
from app.devices.candidates import BODY, Candidate, Handle, Heard, escaped, split

_SQL = queries("devices")
_DEVICE = ("device_id", "keys", *BODY, "receipt_id", "registered_at", "arrived_in")
_STAGED = ("place", "line", "keys", *BODY)
_NULL = "\\N"
_line = attrgetter("line")

NEW, UNCHANGED, UPDATED, DIFFERS, WAITS = range(5)
"""Verdicts on a row that shares a name; one that waits stands below another that changes the same device."""


class Judged(msgspec.Struct):
    """What became of one batch: how many, and what somebody will want to read about."""

    entered: list[Candidate] = []
    """Rows that became new devices."""
    unchanged: int = 0
    updated: int = 0
    arrived: int = 0
    updates: list[asyncpg.Record] = []
    conflicts: list[tuple[Candidate, asyncpg.Record]] = []
    listed: list[tuple[int, int]] = []
    """Lines and keys of new devices that are suspect or blocked already."""


class Merge:
    """One submission's way into the registry. `arrives`: its devices are here, and not only announced."""

    def __init__(self, conn: Connection, receipt_id: int, *, arrives: bool, by: str, now: datetime) -> None:
        self._conn = conn
        self._by, self._now = by, now
        self._receipt_id = receipt_id
        self._arrives = arrives
        arrived_in = receipt_id if arrives else _NULL
        self._tail = f"\t{receipt_id}\t{now.isoformat()}\t{arrived_in}\n"
        self._repeats = 0
        self._ids, self._lines = array("q"), array("q")
        self._heard = Heard()
        self._meets_known = self._stands = False

    async def merge(self, candidates: Sequence[Candidate]) -> Judged:
        """Registers what is new of these rows, and judges the others."""
        judged = Judged()
        fresh, doubtful = split(candidates, (), self._heard)
        if not await self._entered(fresh, judged):
            left, known = await self._unsettled(fresh, judged)
            fresh, more = split(left, known)
            await self._enter(fresh, judged)
            doubtful = sorted(more + doubtful, key=_line)
        while doubtful:
            new, waiting = await self._judge(doubtful, judged)
            fresh, more = split(new, ())
            await self._enter(fresh, judged)
            doubtful = sorted(more + waiting, key=_line)
        await self._look_for_listed(judged)
        return judged

    async def _entered(self, fresh: list[Candidate], judged: Judged) -> bool:
        """Whether all of these are new. A file mostly brings new devices, so that is tried first, and looked up
        only in files that have been seen to name registered ones."""
        if self._meets_known:
            return False
        try:
            async with self._conn.transaction():
                await self._enter(fresh, judged)
        except asyncpg.UniqueViolationError:
            self._meets_known = True
        return not self._meets_known

    def line(self, device_id: int) -> int | None:
        """The line of this submission that registered the device."""
        place = bisect_left(self._ids, device_id)
        found = place < len(self._ids) and self._ids[place] == device_id
        return self._lines[place] if found else None

    async def _unsettled(
        self, candidates: Sequence[Candidate], judged: Judged
    ) -> tuple[Sequence[Candidate], dict[Handle, int]]:
        """Rows that do not simply repeat what is registered, and the devices that their names belong to."""
        known: dict[Handle, int] = {}
        await self._look_up([each.keys[0] for each in candidates if each.keys], known)
        left = await self._drop_repeats(candidates, known, judged)
        await self._look_up([key for each in left for key in each.keys[1:]], known)
        named = [each for each in left if each.serial]
        serials, gtins = [each.serial for each in named], [each.gtin for each in named]
        for row in await self._conn.fetch(_SQL.known_serials, serials, gtins):
            known[row["serial"], row["gtin"]] = row["device_id"]
        self._meets_known = bool(known)
        return await self._drop_repeats(left, known, judged), known

    async def _look_up(self, keys: list[int], known: dict[Handle, int]) -> None:
        for row in await self._conn.fetch(_SQL.known_keys, keys):
            known[row["key"]] = row["device_id"]

    async def _look_for_listed(self, judged: Judged) -> None:
        """Finds new devices that were declared stolen before they were registered."""
        lines = {key: each.line for each in judged.entered for key in each.keys}
        if lines:
            rows = await self._conn.fetch(_SQL.listed_already, list(lines))
            judged.listed = sorted((lines[row["key"]], row["key"]) for row in rows)

    async def _drop_repeats(
        self, candidates: Sequence[Candidate], known: dict[Handle, int], judged: Judged
    ) -> Sequence[Candidate]:
        """Those that say anything else than the device that they name."""
        homes = [next((known[name] for name in each.handles if name in known), None) for each in candidates]
        ids = sorted({home for home in homes if home is not None})
        if not ids:
            return candidates
        rows = await self._conn.fetch(_SQL.texts, ids, self._arrives)
        texts = {row["device_id"]: row["text"] for row in rows}
        left, repeated = [], []
        for each, home in zip(candidates, homes, strict=True):
            if home is not None and texts.get(home) == each.text:
                repeated.append(home)
            else:
                left.append(each)
        judged.unchanged += len(repeated)
        await self._remember(repeated)
        return left

    async def _enter(self, fresh: list[Candidate], judged: Judged) -> None:
        """Copies new devices. In the order of their serials, and of their IMEIs: the indexes like it."""
        if not fresh:
            return
        fresh.sort(key=lambda candidate: candidate.serial)
        ids: list[int] = await self._conn.fetchval(_SQL.device_numbers, len(fresh))
        numbers = await self._number([candidate for candidate in fresh if not candidate.keys])
        devices = (
            f"{number}\t{{{','.join(map(str, each.keys)) or next(numbers)}}}\t{each.body}{self._tail}"
            for number, each in zip(ids, fresh, strict=True)
        )
        await self._copy("device", _DEVICE, devices)
        pairs = sorted((key, number) for number, each in zip(ids, fresh, strict=True) for key in each.keys)
        await self._copy("device_imei", ("key", "device_id"), (f"{key}\t{number}\n" for key, number in pairs))
        self._ids.extend(ids)
        self._lines.extend(each.line for each in fresh)
        judged.entered += fresh

    async def _number(self, unnumbered: list[Candidate]) -> Iterator[int]:
        """Gives each device without IMEI the negative number by which it can be listed; in step."""
        if not unnumbered:
            return iter(())
        serials, gtins = [each.serial for each in unnumbered], [each.gtin for each in unnumbered]
        rows = await self._conn.fetch(_SQL.numbered, serials, gtins)
        numbers = {(row["serial"], row["gtin"]): row["serial_id"] for row in rows}
        new = [name for name in zip(serials, gtins, strict=True) if name not in numbers]
        numbers |= zip(new, await self._conn.fetchval(_SQL.serial_numbers, len(new)) or (), strict=True)
        lines = (f"{numbers[name]}\t{escaped(name[0])}\t{name[1]}\n" for name in new)
        await self._copy("serial_number", ("serial_id", "serial", "gtin"), lines)
        return iter([-numbers[name] for name in zip(serials, gtins, strict=True)])

    async def _judge(
        self, doubtful: list[Candidate], judged: Judged
    ) -> tuple[list[Candidate], list[Candidate]]:
        """Gives those that turn out to be new, and those that have to wait for another one."""
        if not self._stands:
            await self._conn.execute(_SQL.open_stage)
            self._stands = True
        await self._conn.execute(_SQL.clear_stage)
        await self._copy(
            "staged", _STAGED, (f"{place}\t{each.line}\t{each.text}\n" for place, each in enumerate(doubtful))
        )
        await self._conn.execute(_SQL.analyse_stage)
        await self._conn.execute(_SQL.judge, self._arrives)
        judged.unchanged += await self._conn.fetchval(_SQL.count_unchanged)
        conflicts = await self._conn.fetch(_SQL.conflicts)
        judged.conflicts += [(doubtful[row["place"]], row) for row in conflicts]
        await self._move(await self._conn.fetch(_SQL.arrivals_elsewhere))
        updates = await self._conn.fetch(_SQL.update, self._receipt_id)
        judged.updated += len(updates)
        judged.arrived += sum(row["arrives"] for row in updates)
        judged.updates += [row for row in updates if row["changed"]]
        await self._remember([row["device_id"] for row in await self._conn.fetch(_SQL.named_again)])
        left = {row["place"]: row["verdict"] for row in await self._conn.fetch(_SQL.undecided)}
        new = [each for place, each in enumerate(doubtful) if left.get(place) == NEW]
        return new, [each for place, each in enumerate(doubtful) if left.get(place) == WAITS]

    async def _move(self, arrivals: list[asyncpg.Record]) -> None:
        """An announced device that arrives on another pallet has moved there."""
        rows = [(row["device_id"], row["pallet"], self._now) for row in arrivals]
        await moves.keep(self._conn, rows, source=f"receipt:{self._receipt_id}", by=self._by, now=self._now)

    async def _remember(self, device_ids: list[int]) -> None:
        """Devices of earlier receipts that this one names as well."""
        await self._conn.execute(_SQL.remember_repeats, self._receipt_id, self._repeats, device_ids)
        self._repeats += 1

    async def _copy(self, table: str, columns: Sequence[str], rows: Iterable[str]) -> None:
        text = io.BytesIO("".join(rows).encode())
        await self._conn.copy_to_table(table, source=text, columns=columns, format="text")
