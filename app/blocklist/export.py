"""The whole block list as a stream of lines, all of one moment; and what a day changed, as operators exchange it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import msgspec

from app.blocklist.ask import Serial
from app.blocklist.feed import head
from app.blocklist.filter import Filters
from app.blocklist.standing import REASONS
from app.core.db import Connection, Pool
from app.core.errors import Conflict, Flaw, Gone, Invalid, Unavailable
from app.core.sql import queries

_SQL = queries("export")
# Kinds of incidents, and the classes of their reasons, in step.
_CLASSES = (list(REASONS), list(REASONS.values()))
# Rows that are read, and sent, at a time.
_PAGE = 20_000
AT_ONCE, AT_ONCE_BY_ONE = 4, 2
# Characters a second, after some seconds, that a reader takes at least, or his place is given to another.
PACE, GRACE = 64 * 1024, 60.0
# A decision of before midnight may still be on its way into the database, from a process whose clock is slow.
SETTLED = timedelta(minutes=5)


class Form(StrEnum):
    """`operator` is the form in which operators exchange lists: blocked IMEIs only, with a date and a reason."""

    NDJSON = "ndjson"
    CSV = "csv"
    OPERATOR = "operator"


class Net(StrEnum):
    """What a day did to an IMEI, in the end."""

    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    CHANGED = "changed"


OPERATOR_HEADER = "imei,block_date,reasons\n"
_HEADERS: Mapping[Form, str] = {
    Form.NDJSON: "",
    Form.CSV: "imei,serial,gtin,status,since,reason,reference,version\n",
    Form.OPERATOR: OPERATOR_HEADER,
}


class After(msgspec.Struct, frozen=True):
    """Where a reader goes on: after this IMEI, or after the serial of this number, which come after all IMEIs."""

    key: int = -1
    serial_id: int | None = None


class Exports:
    """What is being read of the list in this process; one for each web process. Each reading holds a connection for as
    long as its reader takes, and those who ask for a status want connections, too. `filters` has the filter, which
    needs none while it is taken. `clock` is monotonic, in seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self._under_way: Counter[str] = Counter()
        self.filters = Filters(pool)

    async def read(self, reader: str, form: Form, after: After) -> AsyncGenerator[str | int, None]:
        """The lines of the list, for somebody who is known by this key. Raises Unavailable where as many are under way
        as may be, in all or with one key, and in the middle of the list TooSlow."""
        self._let_in(reader)
        try:
            began, taken = self._clock(), 0
            async for piece in lines(self._pool, form, after):
                yield piece
                taken += len(piece) if isinstance(piece, str) else 0
                if self._clock() - began > GRACE + taken / PACE:
                    raise TooSlow(f"{reader} took {taken:,} characters in {self._clock() - began:.0f} s")
        finally:
            self._under_way[reader] -= 1

    def _let_in(self, reader: str) -> None:
        under_way = self._under_way.total()
        if under_way >= AT_ONCE or self._under_way[reader] >= AT_ONCE_BY_ONE:
            text = (
                f"{under_way} downloads of the block list are under way here, {self._under_way[reader]} of them with"
                f" your key, and {AT_ONCE} may be, {AT_ONCE_BY_ONE} with one key; begin yours in a moment."
            )
            raise Unavailable(text, "downloads-busy")
        self._under_way[reader] += 1


class TooSlow(ConnectionError):
    """A reader for whom a connection to the database is not held any longer."""


async def lines(pool: Pool, form: Form, after: After) -> AsyncIterator[str | int]:
    """First how far the block list has come; then the list as it is there, in pieces of many lines."""
    async with pool.acquire(timeout=10) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        await conn.execute(_SQL.hash)
        yield (await head(conn)).position
        if after == After():
            yield _HEADERS[form]
        if after.serial_id is None:
            async for piece in _imeis(conn, form, after.key):
                yield piece
        if form is not Form.OPERATOR:
            async for piece in _units(conn, form, after.serial_id or 0):
                yield piece


async def _imeis(conn: Connection, form: Form, after: int) -> AsyncIterator[str]:
    prefix, least = ('{"imei":"' if form is Form.NDJSON else ""), (2 if form is Form.OPERATOR else 1)
    while True:
        row = await conn.fetchrow(_SQL.imeis, after, _PAGE, form, prefix, least, *_CLASSES)
        if row is None or row["last"] is None:
            return
        yield row["lines"]
        after = row["last"]


async def _units(conn: Connection, form: Form, after: int) -> AsyncIterator[str]:
    while True:
        row = await conn.fetchrow(_SQL.units, after, _PAGE, form, *_CLASSES)
        if row is None or row["last"] is None:
            return
        yield row["lines"]
        after = row["last"]


async def after_unit(conn: Connection, unit: Serial) -> After:
    """Raises Invalid for a unit that was never listed."""
    number = await conn.fetchval(_SQL.number_of, unit.serial, unit.gtin)
    if number is None:
        sentence = (
            "No line of the list is about this; it would be the serial, or IMEI, of the last line that came."
        )
        raise Invalid(sentence, "serial-unknown", (Flaw(sentence, "after", "serial-unknown"),))
    return After(serial_id=number)


async def day(conn: Connection, on: date, net: Net, now: datetime) -> str:
    """What a day (UTC) did to IMEIs, as `imei,block_date,reasons`: those that it blocked, unblocked, or left blocked
    for another reason or since another moment.

    Raises Conflict for a day that is not over, Gone for one whose changes are forgotten.
    """
    begin = datetime(on.year, on.month, on.day, tzinfo=UTC)
    # The last day that can be said has no next one.
    if on == date.max:
        raise Conflict(f"{on} has not begun.", "day-not-over")
    end = begin + timedelta(days=1)
    if now < end + SETTLED:
        raise Conflict(
            f"{on} is complete from {(end + SETTLED).isoformat()} on; ask again then.", "day-not-over"
        )
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        if await conn.fetchval(_SQL.is_forgotten, begin):
            raise Gone(f"The changes of {on} are not kept any more; read the whole list.", "day-gone")
        return OPERATOR_HEADER + (await conn.fetchval(_SQL.day, begin, end, net, *_CLASSES) or "")
