"""Where an incident stands at each partner: numbers that the engine counts as it goes, read in one query."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime

import asyncpg
import msgspec

from app.core import imei
from app.core.db import Connection
from app.core.sql import queries
from app.delivery.partners import Partner, health

_SQL = queries("progress")
# A refusal's number is made of its key and op. Serials' keys count down from -1 and will not come so far.
_LOWEST = 10**15
_OPS = ("block", "release")
WORKER = "imei-gateway-worker"
"""How a worker's connections are named."""
# It seals, and looks for what is due, every second.
_SILENT = 15.0


class Tally(msgspec.Struct, frozen=True):
    """How far one kind of order has come at one partner, in identifiers.

    `done`, `already` (it was so before) and `refused` are the partner's last words; `accepted` waits for its word;
    `superseded` orders gave way to newer ones; `not_ours` are releases that it is not told of, for it holds no block
    of ours; `parked` orders were given up until somebody has them told again; `open` is still to be told, or told
    again. `rate` is identifiers a second on average, over all the time between its first and its latest answer, pauses
    and outages too; `seconds_left` is how long `open` takes at that. Both are null while nothing is known. Who watches
    knows better: the difference of two answers, over the time between them.
    """

    wanted: int
    done: int
    already: int
    accepted: int
    refused: int
    superseded: int
    parked: int
    not_ours: int
    open: int
    calls: int
    failed_calls: int
    rate: float | None
    seconds_left: float | None

    @property
    def settled(self) -> bool:
        """Whether the partner has given its last word on all of it, or somebody must decide what is to be done."""
        return self.open == 0 and self.accepted == 0


class Standing(msgspec.Struct, frozen=True):
    """One partner's progress on one incident. `last_fault` is why it is failing, resting or paused."""

    partner_id: int
    partner: str
    adapter: str
    health: str
    last_fault: str
    first_at: datetime | None
    last_at: datetime | None
    block: Tally | None = None
    release: Tally | None = None
    again: Tally | None = None
    """What it has been told once more, of either."""

    @property
    def tallies(self) -> list[Tally]:
        return [tally for tally in (self.block, self.release, self.again) if tally]

    @property
    def settled(self) -> bool:
        return all(tally.settled for tally in self.tallies)

    @property
    def parked(self) -> int:
        return sum(tally.parked for tally in self.tallies)


class Outstanding(msgspec.Struct, frozen=True):
    """What stands between us and one partner, in identifiers over all incidents: still to be told (`pending`), given up
    until somebody has them told again (`parked`), `refused` by it, `accepted` and waiting for its word."""

    pending: int = 0
    parked: int = 0
    refused: int = 0
    accepted: int = 0

    def health(self, partner: Partner) -> str:
        """See `partners.health`."""
        return health(
            paused=partner.paused, failures=partner.failures, resting=partner.resting, parked=self.parked
        )

    def note(self, partner: Partner) -> str:
        """What a person should know of this partner, and do; empty where there is nothing."""
        given_up = (
            f"{self.parked:,} parked: 'imei-gateway partner parked' says where, and what to do"
            if self.parked
            else ""
        )
        return "; ".join(filter(None, (partner.pause_reason or partner.last_fault, given_up)))


class GivenUp(msgspec.Struct, frozen=True):
    """How many identifiers of one incident are parked at one partner."""

    partner_id: int
    partner: str
    incident: int
    title: str
    parked: int


class Enrolment(msgspec.Struct, frozen=True):
    """How far one partner knows what was registered, in identifiers, over all receipts."""

    partner_id: int
    partner: str
    wanted: int
    done: int
    refused: int

    @property
    def settled(self) -> bool:
        return self.done + self.refused == self.wanted


class Refusal(msgspec.Struct, frozen=True):
    """One identifier that a partner refused, in the partner's own words; or one that was `parked`: given up, with the
    reason (code `late` after two weeks of tries, `poison` where workers ended at it). `refusal` is its place in the
    list, for the cursor."""

    refusal: int
    identifier: str
    state: str
    op: str
    code: str
    words: str
    at: datetime


async def progress(conn: Connection, incident_id: int) -> list[Standing]:
    """Each partner's progress on an incident, by partner."""
    by_partner: dict[int, list[asyncpg.Record]] = {}
    for row in await conn.fetch(_SQL.progress, incident_id):
        by_partner.setdefault(row["partner_id"], []).append(row)
    return [_standing(rows) for rows in by_partner.values()]


def _standing(rows: list[asyncpg.Record]) -> Standing:
    tallies = {row["what"]: _tally(row) for row in rows}
    first = rows[0]
    return Standing(
        partner_id=first["partner_id"],
        partner=first["name"],
        adapter=first["adapter"],
        health=health(
            paused=first["paused"],
            failures=first["failures"],
            resting=first["resting"],
            parked=sum(row["parked"] for row in rows),
        ),
        last_fault=_why(first),
        first_at=min((row["first_at"] for row in rows if row["first_at"]), default=None),
        last_at=max((row["last_at"] for row in rows if row["last_at"]), default=None),
        block=tallies.get("block"),
        release=tallies.get("release"),
        again=tallies.get("again"),
    )


def _why(row: asyncpg.Record) -> str:
    if row["paused"]:
        return str(row["pause_reason"])
    return str(row["last_fault"]) if row["failures"] or row["resting"] else ""


def _tally(row: asyncpg.Record) -> Tally:
    names = ("done", "already", "accepted", "refused", "superseded", "parked", "not_ours")
    ended = {name: row[name] for name in names}
    open_ = row["wanted"] - sum(ended.values())
    rate = _rate(row, row["done"] + row["already"] + row["accepted"] + row["refused"])
    return Tally(
        wanted=row["wanted"],
        open=open_,
        calls=row["calls"],
        failed_calls=row["failed_calls"],
        rate=rate,
        seconds_left=round(open_ / rate, 1) if rate else None,
        **ended,
    )


def _rate(row: asyncpg.Record, answered: int) -> float | None:
    if not answered or row["first_at"] is None:
        return None
    seconds = (row["last_at"] - row["first_at"]).total_seconds()
    return round(answered / seconds, 1) if seconds > 0 else None


async def waiting(conn: Connection, partner_id: int | None = None) -> Mapping[int, int]:
    """How many identifiers each partner (or this one) is still to be told, or told again: 0 for any other."""
    rows = await conn.fetch(_SQL.waiting, partner_id)
    return Counter({row["partner_id"]: row["identifiers"] for row in rows})


async def outstanding(conn: Connection, partner_id: int | None = None) -> Mapping[int, Outstanding]:
    """What stands between us and each partner (or this one): nothing for any other."""
    pending = await waiting(conn, partner_id)
    left = {row["partner_id"]: row for row in await conn.fetch(_SQL.left_over, partner_id)}
    return defaultdict(
        Outstanding,
        {
            number: Outstanding(pending[number], *_left_over(left.get(number)))
            for number in pending.keys() | left.keys()
        },
    )


def _left_over(row: asyncpg.Record | None) -> tuple[int, int, int]:
    return (row["parked"], row["refused"], row["accepted"]) if row else (0, 0, 0)


async def given_up(conn: Connection) -> list[GivenUp]:
    """Where orders are parked: by partner and incident."""
    return [GivenUp(**row) for row in await conn.fetch(_SQL.given_up)]


async def is_worked(conn: Connection) -> bool:
    """Whether a worker lives anywhere. Without one nobody is told anything."""
    lives: bool = await conn.fetchval(_SQL.is_worked, WORKER, _SILENT)
    return lives


async def enrolments(conn: Connection) -> list[Enrolment]:
    """Each enrolling partner's progress on what was registered, by partner."""
    rows = await conn.fetch(_SQL.enrolment)
    return [
        Enrolment(row["partner_id"], row["name"], row["wanted"], row["done"], row["refused"]) for row in rows
    ]


async def refusals(
    conn: Connection, incident_id: int, partner_id: int, *, after: int, limit: int
) -> list[Refusal]:
    """A page of what a partner refused of an incident, or was given up, after refusal number `after`."""
    last = (after // 2 - _LOWEST, _OPS[after % 2]) if after else (-_LOWEST, "")
    rows = await conn.fetch(_SQL.refusals, incident_id, partner_id, limit, *last)
    return [_refusal(row) for row in rows]


def _refusal(row: asyncpg.Record) -> Refusal:
    return Refusal(
        2 * (row["key"] + _LOWEST) + _OPS.index(row["op"]),
        imei.full(row["key"]) if row["key"] >= 0 else row["serial"],
        row["state"],
        row["op"],
        row["code"],
        row["words"],
        row["changed_at"],
    )
