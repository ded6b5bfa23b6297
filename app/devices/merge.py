"""Puts rows into the registry, a batch at a time, by the first of these that will do: the very rows of an earlier
submission are known by their digest; rows that are all new are copied straight into their tables; rows that say
what is registered, to the letter, are looked up; the others are judged one against the other.

All of it in the caller's transaction. Two submissions that register the same device at once meet in the unique
indexes: the later one gets asyncpg.UniqueViolationError and runs again from its start.
"""

from __future__ import annotations

import io
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

import asyncpg
import msgspec

from app.core.db import Connection, copied
from app.core.sql import queries
from app.devices import moves, verdicts
from app.devices.candidates import BODY, Batch, Candidate, Distinct, Handle, escaped, ordered, split
from app.devices.intake import Finding
from app.devices.naming import Name

_SQL = queries("devices")
_STAGE = queries("stage")
_DEVICE = ("device_id", "keys", *BODY, "receipt_id", "registered_at", "arrived_in")
_STAGED = ("place", "line", "keys", *BODY)
_NULL = "\\N"
_NAMING = {"imeis", "serial", "gtin"}
_line = attrgetter("line")
# Each settles at least the first of several rows that share a name. Where a column has slipped by a row, all hang
# together, and every round would settle two of them.
_ROUNDS = 12

# Of the verdicts of sql/queries/stage.sql those on rows that are looked at again.
_NEW, _WAITS = 0, 4


class Judged(msgspec.Struct):
    """What became of one batch: how many, and what somebody will want to read about."""

    registered: int = 0
    unchanged: int = 0
    updated: int = 0
    arrived: int = 0
    updates: list[asyncpg.Record] = []
    conflicts: list[tuple[Candidate, asyncpg.Record]] = []
    entangled: list[Candidate] = []
    """Rows that share names with rows that share names with others, and so on."""
    listed: list[Finding] = []
    """New names of devices that were declared before they came, or that do not bear what their device bears."""
    added: list[int] = []
    """Keys of IMEIs that registered devices turned out to have."""


class Merge:
    """One submission's way into the registry. `arrives`: its devices are here, and not only announced; `is_narrow`: its
    sender's reach has an end, and the database looks at each row that he enters."""

    def __init__(
        self,
        conn: Connection,
        receipt_id: int,
        *,
        arrives: bool,
        by: str,
        now: datetime,
        is_narrow: bool = False,
    ) -> None:
        self._conn = conn
        self._by, self._now = by, now
        self._receipt_id = receipt_id
        self._arrives = arrives
        self._is_narrow = is_narrow
        arrived_in = receipt_id if arrives else _NULL
        self._tail = f"\t{receipt_id}\t{now.isoformat()}\t{arrived_in}\n"
        self._parts = 0
        self._ids, self._lines = array("q"), array("q")
        self._meets_known = self._stands = False

    async def merge(self, batch: Batch) -> Judged:
        """Registers what is new of these rows, and judges the others."""
        judged = Judged()
        doubtful = batch.doubtful
        if not (await self._recalled(batch.distinct, judged) or await self._entered(batch.distinct, judged)):
            left, known = await self._unsettled(batch.distinct, judged)
            new, more = split(left, known)
            await self._enter(ordered(new), judged)
            doubtful = sorted(more + doubtful, key=_line)
        for _ in range(_ROUNDS):
            if not doubtful:
                break
            new, waiting = await self._judge(doubtful, judged)
            new, more = split(new, ())
            await self._enter(ordered(new), judged)
            doubtful = sorted(more + waiting, key=_line)
        judged.entangled = doubtful
        return judged

    async def _recalled(self, distinct: Distinct, judged: Judged) -> bool:
        """Whether an earlier submission brought these very rows, and what they registered is as they say."""
        self._parts += 1
        said = distinct.digest, self._arrives, self._receipt_id, self._parts
        devices: int | None = await self._conn.fetchval(_SQL.recall, *said)
        judged.unchanged += devices or 0
        return bool(devices)

    async def _entered(self, distinct: Distinct, judged: Judged) -> bool:
        """Whether all of these are new. A file mostly brings new devices, so that is tried first, and looked up
        only in files that have been seen to name registered ones."""
        if self._meets_known:
            return False
        try:
            async with self._conn.transaction():
                await self._enter(distinct, judged)
                await self._keep_part(distinct)
        except asyncpg.UniqueViolationError:
            self._meets_known = True
        return not self._meets_known

    def line(self, device_id: int) -> int | None:
        """The line of this submission that registered the device."""
        place = bisect_left(self._ids, device_id)
        found = place < len(self._ids) and self._ids[place] == device_id
        return self._lines[place] if found else None

    async def _keep_part(self, distinct: Distinct) -> None:
        if distinct.lines:
            ids = self._ids[-len(distinct.lines) :].tolist()
            await self._conn.execute(_SQL.keep_part, self._receipt_id, self._parts, distinct.digest, ids)

    async def _unsettled(
        self, distinct: Distinct, judged: Judged
    ) -> tuple[Sequence[Candidate], dict[Handle, int]]:
        """Rows that do not simply repeat what is registered, and the devices that their names belong to."""
        same = await self._repeats(distinct, judged)
        left = [each for place, each in enumerate(distinct.candidates()) if place not in same]
        known: dict[Handle, int] = {}
        for row in await self._conn.fetch(_SQL.known_keys, [key for each in left for key in each.keys]):
            known[row["key"]] = row["device_id"]
        names = [each.name for each in left]
        for row in await self._conn.fetch(_SQL.known_serials, *_columns(names)):
            known[row["serial"], row["gtin"]] = row["device_id"]
        self._meets_known = bool(known or same)
        return left, known

    async def _repeats(self, distinct: Distinct, judged: Judged) -> set[int]:
        """The places of rows that say what is registered of the first device that they name, and nothing else."""
        self._parts += 1
        said = distinct.firsts, distinct.texts, self._arrives, self._receipt_id, self._parts
        places: list[int] = await self._conn.fetchval(_SQL.repeats, *said) or []
        judged.unchanged += len(places)
        return {place - 1 for place in places}

    async def _enter(self, distinct: Distinct, judged: Judged) -> None:
        """Copies new devices."""
        if not distinct.lines:
            return
        ids: list[int] = await self._conn.fetchval(_SQL.device_numbers, len(distinct.lines))
        texts = [*distinct.texts[: len(distinct.firsts)], *await self._numbered(distinct)]
        tail = self._tail
        await self._copy_new(
            "device", _DEVICE, [f"{number}\t{text}{tail}" for number, text in zip(ids, texts, strict=True)]
        )
        pairs = [f"{pair >> 16}\t{ids[pair & 0xFFFF]}\n" for pair in distinct.owned]
        await self._copy_new("device_imei", ("key", "device_id"), pairs)
        self._ids.extend(ids)
        self._lines.extend(distinct.lines)
        judged.registered += len(ids)
        await self._look_for_listed(distinct, judged)

    async def _look_for_listed(self, distinct: Distinct, judged: Judged) -> None:
        """Finds new devices that were declared stolen before they were registered."""
        rows = await self._conn.fetch(_SQL.listed_already, [pair >> 16 for pair in distinct.owned])
        if rows:
            lines = {pair >> 16: distinct.lines[pair & 0xFFFF] for pair in distinct.owned}
            judged.listed += [verdicts.listed(lines[row["key"]], row["key"], row["status"]) for row in rows]
        if await self._conn.fetchval(_SQL.some_serial_is_listed):
            named = {each.name: each.line for each in distinct.candidates()}
            judged.listed += await self._listed_serials(named)

    async def _look_for_listed_serials(self, updates: list[asyncpg.Record], judged: Judged) -> None:
        """The same for devices that have just got their serial or their GTIN."""
        named = [row for row in updates if {"serial", "gtin"} & set(row["changed"])]
        if named and await self._conn.fetchval(_SQL.some_serial_is_listed):
            lines = {(row["serial"], row["gtin"]): row["line"] for row in named if row["keys"][0] >= 0}
            judged.listed += await self._listed_serials(lines)

    async def _listed_serials(self, lines: Mapping[tuple[str, str], int]) -> list[Finding]:
        rows = await self._conn.fetch(_SQL.listed_serials, [serial for serial, _ in lines if serial])
        declared = {(row["serial"], row["gtin"]): row["status"] for row in rows}
        return [
            verdicts.listed_serial(line, Name(gtin=gtin, serial=serial), declared[serial, said])
            for (serial, gtin), line in lines.items()
            for said in dict.fromkeys((gtin, ""))
            if (serial, said) in declared
        ]

    async def _numbered(self, distinct: Distinct) -> list[str]:
        """The rows without IMEI, each with the negative number by which it can be listed for a key."""
        bare = distinct.texts[len(distinct.firsts) :]
        if not bare:
            return []
        names = [Candidate(0, text, 0).name for text in bare]
        rows = await self._conn.fetch(_SQL.numbered, *_columns(names))
        numbers = {(row["serial"], row["gtin"]): row["serial_id"] for row in rows}
        new = [name for name in names if name not in numbers]
        numbers |= zip(new, await self._conn.fetchval(_SQL.serial_numbers, len(new)) or (), strict=True)
        lines = [f"{numbers[name]}\t{escaped(name[0])}\t{name[1]}\n" for name in new]
        await self._copy("serial_number", ("serial_id", "serial", "gtin"), lines)
        return [f"{{{-numbers[name]}{text[1:]}" for name, text in zip(names, bare, strict=True)]

    async def _judge(
        self, doubtful: list[Candidate], judged: Judged
    ) -> tuple[list[Candidate], list[Candidate]]:
        """Gives those that turn out to be new, and those that have to wait for another one."""
        if not self._stands:
            await self._conn.execute(_STAGE.open_stage)
            self._stands = True
        await self._conn.execute(_STAGE.clear_stage)
        await self._copy(
            "staged", _STAGED, (f"{place}\t{each.line}\t{each.text}\n" for place, each in enumerate(doubtful))
        )
        await self._conn.execute(_STAGE.analyse_stage)
        await self._conn.execute(_STAGE.match)
        await self._conn.execute(_SQL.hold_matched)
        await self._conn.execute(_SQL.hold_growing)
        await self._conn.execute(_STAGE.judge, self._arrives)
        judged.unchanged += await self._conn.fetchval(_STAGE.count_unchanged)
        conflicts = await self._conn.fetch(_STAGE.conflicts)
        judged.conflicts += [(doubtful[row["place"]], row) for row in conflicts]
        await self._move(await self._conn.fetch(_STAGE.arrivals_elsewhere))
        await self._add_imeis(judged)
        updates = await self._conn.fetch(_SQL.update, self._receipt_id)
        judged.updated += len(updates)
        judged.arrived += sum(row["arrives"] for row in updates)
        judged.updates += [row for row in updates if row["changed"]]
        await self._look_for_listed_serials(updates, judged)
        await self._remember([row["device_id"] for row in await self._conn.fetch(_STAGE.named_again)])
        left = {row["place"]: row["verdict"] for row in await self._conn.fetch(_STAGE.undecided)}
        new = [each for place, each in enumerate(doubtful) if left.get(place) == _NEW]
        waiting = [each for place, each in enumerate(doubtful) if left.get(place) == _WAITS]
        # A device that has just got an IMEI, its serial or its GTIN may be the one that a row below means.
        return (
            ([], new + waiting) if any(_NAMING & set(row["changed"]) for row in updates) else (new, waiting)
        )

    async def _add_imeis(self, judged: Judged) -> None:
        for row in await self._conn.fetch(_SQL.own_more):
            judged.added.append(row["key"])
            if row["status"]:
                judged.listed.append(verdicts.listed(row["line"], row["key"], row["status"]))
            elif row["device_status"]:
                judged.listed.append(verdicts.not_claimed(row["line"], row["key"], row["device_status"]))

    async def _move(self, arrivals: list[asyncpg.Record]) -> None:
        """An announced device that arrives on another pallet has moved there."""
        rows = [(row["device_id"], row["pallet"], self._now) for row in arrivals]
        await moves.keep(self._conn, rows, source=f"receipt:{self._receipt_id}", by=self._by, now=self._now)

    async def _remember(self, device_ids: list[int]) -> None:
        """Devices of earlier receipts that this one names as well."""
        self._parts += 1
        await self._conn.execute(_SQL.remember_repeats, self._receipt_id, self._parts, device_ids)

    async def _copy_new(self, table: str, columns: Sequence[str], rows: Iterable[str]) -> None:
        if not self._is_narrow:
            await self._copy(table, columns, rows)
            return
        # COPY asks no policy, so PostgreSQL refuses it where there is one.
        await self._conn.execute(_STAGE.open_entries)
        await self._copy(f"entering_{table}", columns, rows)
        await self._conn.execute(_SQL.enter_devices)
        await self._conn.execute(_SQL.enter_imeis)
        await self._conn.execute(_STAGE.clear_entries)

    async def _copy(self, table: str, columns: Sequence[str], rows: Iterable[str]) -> None:
        text = io.BytesIO("".join(rows).encode())
        copy = self._conn.copy_to_table(table, source=text, columns=columns, format="text")
        await copied(self._conn, copy)


def _columns(names: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Serials and GTINs, in step."""
    return [serial for serial, _ in names], [gtin for _, gtin in names]
