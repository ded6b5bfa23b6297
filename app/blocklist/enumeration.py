"""Enumeration: a key that asks for one serial number after the other is alerted of, in whatever order it does. Owns the
table enumeration.

Numbers are counted by blocks of ten thousand, of which a process remembers the latest of each key; a block of which it
has heard some is news, and the processes' news add up in the database. Who asks for the handsets that he meets comes to
a few of a hundred at most, however many they are.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import asyncpg

from app.alerts.alert import AlertKind, Raised, raise_
from app.core.db import Connection
from app.core.sql import queries

SOURCE = "enumeration"
"""Who raises these alerts, on the audit log."""
RUN, DENSE = 50, 1_000
"""So many of a hundred numbers in a row, or of ten thousand, are an alert, where no two of them were asked for further
apart than MEMORY."""
MEMORY = timedelta(hours=1)
BLOCK = 10_000
_FEW = 8
_BLOCKS = 500

_SQL = queries("enumeration")
_Block = tuple[str, int]


class Runs:
    """What one process has heard lately of each key, by blocks of numbers: a bit for each number."""

    def __init__(self) -> None:
        self._heard: dict[str, OrderedDict[int, tuple[int, datetime]]] = {}
        self._news: dict[_Block, int] = {}

    def add(self, key_id: str, keys: Collection[int], at: datetime) -> None:
        """Somebody asked for these, by their first 14 digits. Of more blocks than are remembered, those count that are
        known already, or of which there are a few."""
        heard = self._heard.setdefault(key_id, OrderedDict())
        counted = Counter(key // BLOCK for key in keys)
        many = len(counted) > _BLOCKS
        kept = {block for block, count in counted.items() if not many or count >= _FEW or block in heard}
        for block, bits in _bits(keys, kept).items():
            before, since = heard.pop(block, (0, at))
            if at - since > MEMORY:
                before, since = 0, at
            now = before | bits
            heard[block] = now, since
            if now != before and now.bit_count() >= _FEW:
                self._news[key_id, block] = now
            while len(heard) > _BLOCKS:
                heard.popitem(last=False)

    def news(self) -> dict[_Block, int]:
        """The blocks of which more was heard since this was asked last, as bits."""
        news, self._news = self._news, {}
        return news

    def tell_again(self, news: Mapping[_Block, int]) -> None:
        """These are news still."""
        for block, bits in news.items():
            self._news[block] = self._news.get(block, 0) | bits


def _bits(keys: Collection[int], blocks: Collection[int]) -> dict[int, int]:
    """The numbers of these blocks, a bit for each."""
    found = {block: bytearray(BLOCK // 8) for block in blocks}
    for key in keys:
        block, place = divmod(key, BLOCK)
        if (bits := found.get(block)) is not None:
            bits[place >> 3] |= 1 << (place & 7)
    return {block: int.from_bytes(bits, "little") for block, bits in found.items()}


async def guard(conn: Connection, heard: Mapping[_Block, int], now: datetime) -> None:
    """Adds what a process heard to what others did, and alerts of whoever has asked for most of a hundred, or for much
    of a block."""
    if not heard:
        return
    key_ids, blocks = zip(*heard, strict=True)
    masks = [f"{mask:0{BLOCK // 4}x}" for mask in heard.values()]
    rows = await conn.fetch(_SQL.add, key_ids, blocks, masks, now, now - MEMORY)
    found = {row["key_id"]: row for row in rows if row["run"] >= RUN or row["asked"] >= DENSE}
    await raise_(conn, [_raised(row) for row in found.values()], SOURCE, now)


def _raised(row: asyncpg.Record) -> Raised:
    first, asked, of = row["block"] * BLOCK, row["asked"], BLOCK
    if asked < DENSE:
        first, asked, of = first + 100 * row["hundred"], row["run"], 100
    return Raised(
        AlertKind.ENUMERATION, f"key:{row['key_id']}", {"from": f"{first:014d}", "asked": asked, "of": of}
    )


async def forget(conn: Connection, now: datetime) -> int:
    """Lets go of what counts no more."""
    await conn.execute(_SQL.forget, now - MEMORY)
    return 0
