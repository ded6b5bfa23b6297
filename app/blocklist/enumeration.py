"""Who asks for one number after the other is found out here. Owns the table enumeration.

Numbers are counted by hundreds, of which a process remembers the latest of each key; a hundred of which it has heard
more than a few goes to the database, where what all processes heard of it comes together.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import asyncpg

from app.alerts.alert import AlertKind, Raised, raise_
from app.core.db import Connection
from app.core.sql import queries

RUN = 50
"""So many of a hundred numbers in a row are an alert, where no two of them were asked for further apart than MEMORY."""
MEMORY = timedelta(hours=1)
SOURCE = "enumeration"
_FEW = 8
_HUNDREDS = 500

_SQL = queries("enumeration")
_Hundred = tuple[str, int]


class Runs:
    """What one process has heard lately of each key, by hundreds of numbers."""

    def __init__(self) -> None:
        self._heard: dict[str, OrderedDict[int, tuple[int, datetime]]] = {}
        self._news: dict[_Hundred, int] = {}

    def add(self, key_id: str, keys: Collection[int], at: datetime) -> None:
        """Somebody asked for these, by their first 14 digits. Of more hundreds than are remembered, those count that
        are known already, or of which there are a few."""
        heard = self._heard.setdefault(key_id, OrderedDict())
        counted = Counter(key // 100 for key in keys)
        if len(counted) > _HUNDREDS:
            keys = [key for key in keys if counted[hundred := key // 100] >= _FEW or hundred in heard]
        for key in keys:
            hundred, place = divmod(key, 100)
            before, since = heard.pop(hundred, (0, at))
            if at - since > MEMORY:
                before, since = 0, at
            now = before | 1 << place
            heard[hundred] = now, since
            if now != before and now.bit_count() >= _FEW:
                self._news[key_id, hundred] = now
            elif len(heard) > _HUNDREDS:
                heard.popitem(last=False)

    def news(self) -> dict[_Hundred, int]:
        """The hundreds of which more was heard since this was asked last, as bits."""
        news, self._news = self._news, {}
        return news

    def tell_again(self, news: Mapping[_Hundred, int]) -> None:
        """These are news still."""
        for hundred, bits in news.items():
            self._news[hundred] = self._news.get(hundred, 0) | bits


async def guard(conn: Connection, heard: Mapping[_Hundred, int], now: datetime) -> None:
    """Adds what a process heard to what others did, and alerts of whoever has asked for most of a hundred."""
    if not heard:
        return
    key_ids, hundreds = zip(*heard, strict=True)
    masks = [f"{mask:0100b}" for mask in heard.values()]
    rows = await conn.fetch(_SQL.add, key_ids, hundreds, masks, now, now - MEMORY)
    found = {row["key_id"]: row for row in rows if row["asked"] >= RUN}
    await raise_(conn, [_raised(row) for row in found.values()], SOURCE, now)


def _raised(row: asyncpg.Record) -> Raised:
    detail = {"from": f"{row['hundred'] * 100:014d}", "asked": row["asked"], "of": 100}
    return Raised(AlertKind.ENUMERATION, f"key:{row['key_id']}", detail)


async def forget(conn: Connection, now: datetime) -> int:
    """Lets go of what counts no more."""
    await conn.execute(_SQL.forget, now - MEMORY)
    return 0
