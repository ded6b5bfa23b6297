"""Captures and events in PostgreSQL. Owns the tables epcis_*; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, auto
from itertools import islice

import msgspec

from app.access.roles import Principal, Role
from app.core.db import Connection, copied
from app.core.errors import Flaw
from app.core.reach import Reach
from app.core.sql import queries
from app.epcis import stamp
from app.epcis.document import Read
from app.epcis.events import (
    AggregationEvent,
    AssociationEvent,
    Event,
    ObjectEvent,
    TransactionEvent,
    TransformationEvent,
)
from app.epcis.identity import Epc
from app.epcis.reading import read_event

_SQL = queries("epcis")
_PART = 500


class Behaviour(StrEnum):
    """What one bad event does to its capture: it takes all others with it, or goes alone."""

    ROLLBACK = auto()
    PROCEED = auto()


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an event, or a whole capture, was not stored. `ours`: the fault was not the sender's."""

    detail: str
    code: str
    flaws: tuple[Flaw, ...] = ()
    ours: bool = False


class Capture(msgspec.Struct, frozen=True):
    """One submission, and how far it has come; done once `finished_at` is set."""

    capture_id: int
    behaviour: Behaviour
    created_at: datetime
    finished_at: datetime | None
    failures: list[Failure]


class Claimed(msgspec.Struct, frozen=True):
    """The capture that is to be worked on, whose row is locked, and in whose name."""

    capture_id: int
    behaviour: Behaviour
    actor: Principal


class Waiting(msgspec.Struct, frozen=True):
    """An event that was taken in: its place, its JSON, and what its document defines beside the standard."""

    place: int
    body: bytes
    context: tuple[object, ...]


class Tally(msgspec.Struct, frozen=True):
    """What became of the events of a finished capture."""

    behaviour: str
    events: int
    stored: int
    known: int
    failed: int


class Row(msgspec.Struct, frozen=True):
    """An event as its table has it."""

    place: int
    event_id: str
    is_error: bool
    digest: str
    event_type: str
    event_time: datetime
    action: str
    step: str
    disposition: str
    persists: tuple[str, ...]
    ceases: tuple[str, ...]
    read_point: str
    location: str
    parents: tuple[str, ...]
    epcs: tuple[str, ...]
    others: tuple[str, ...]
    body: str


def row(read: Read, event: Event, now: datetime) -> Row:
    digest = stamp.digest(read.raw)
    event_id = event.event_id or stamp.identity(digest)
    return Row(
        place=read.place,
        event_id=event_id,
        is_error=event.error is not None,
        digest=digest.hex(),
        event_type=type(event).__name__,
        event_time=event.time,
        action="" if isinstance(event, TransformationEvent) else event.action,
        step=event.step,
        disposition=event.disposition,
        persists=event.persists,
        ceases=event.ceases,
        read_point=event.read_point,
        location=event.location,
        parents=event.parent.names if event.parent else (),
        epcs=_names(_listed(event)),
        others=_names((*event.inputs, *event.outputs)) if isinstance(event, TransformationEvent) else (),
        body=stamp.stored(read, event_id, now).decode(),
    )


def _listed(event: Event) -> tuple[Epc, ...]:
    if isinstance(event, ObjectEvent | TransactionEvent):
        return event.epcs
    return event.children if isinstance(event, AggregationEvent | AssociationEvent) else ()


def _names(epcs: Sequence[Epc]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for epc in epcs for name in epc.names))


async def open_capture(
    conn: Connection,
    actor: Principal,
    behaviour: Behaviour,
    digest: bytes,
    reads: Sequence[Read],
    now: datetime,
) -> int:
    """The number of a new capture, whose bad events have failed already and whose good ones wait."""
    bad = [read for read in reads if read.event is None]
    capture_id: int = await conn.fetchval(
        _SQL.open_capture, behaviour, digest, len(reads), len(bad), actor.key_id, actor.name, actor.role, now
    )
    await fail(conn, capture_id, {read.place: _flawed(read) for read in bad})
    return capture_id


def _flawed(read: Read) -> Failure:
    return Failure(f"Event {read.place} cannot be taken.", "event-wrong", read.flaws)


async def wait(conn: Connection, capture_id: int, reads: Sequence[Read]) -> None:
    """Lays the good events of a capture aside, for a worker to store. In parts, so that others get their turn."""
    good = iter(read for read in reads if read.event is not None)
    columns = ("capture_id", "place", "body", "context")
    while part := list(islice(good, _PART)):
        records = [
            (capture_id, read.place, read.raw.decode(), msgspec.json.encode(read.context).decode())
            for read in part
        ]
        await copied(conn, conn.copy_records_to_table("epcis_pending", records=records, columns=columns))


async def fail(conn: Connection, capture_id: int, failures: dict[int, Failure]) -> None:
    """Notes failures by the places of their events."""
    if failures:
        given = [{"place": place, "failure": failure} for place, failure in failures.items()]
        await conn.execute(_SQL.fail, capture_id, given)


async def next_capture(conn: Connection) -> Claimed | None:
    """The capture whose turn it is, locked until the transaction ends; None where nothing is to be done, or
    somebody else does it."""
    found = await conn.fetchrow(_SQL.next_capture)
    if found is None:
        return None
    actor = Principal(
        found["key_id"],
        found["key_name"],
        Role(found["key_role"]),
        reach=Reach.of(found["owners"], found["sites"]),
    )
    return Claimed(found["capture_id"], Behaviour(found["behaviour"]), actor)


async def take(conn: Connection, capture_id: int, limit: int) -> list[Waiting]:
    """The next events of a capture that wait; they wait no longer."""
    found = await conn.fetch(_SQL.take_pending, capture_id, limit)
    return [
        Waiting(one["place"], one["body"].encode(), tuple(msgspec.json.decode(one["context"])))
        for one in found
    ]


async def add(conn: Connection, capture_id: int, rows: Sequence[Row], now: datetime) -> set[int]:
    """Stores events, and gives the places of those that were not stored before."""
    return {found["place"] for found in await conn.fetch(_SQL.add_events, capture_id, now, rows)}


async def digests(conn: Connection, event_ids: Sequence[str]) -> dict[tuple[str, bool], bytes]:
    """What the stored events of these identities say, and (True) what the declarations of their errors do."""
    rows = await conn.fetch(_SQL.digests, event_ids)
    return {(found["event_id"], found["is_error"]): found["digest"] for found in rows}


async def declared_before(conn: Connection, event_ids: Sequence[str]) -> set[str]:
    """Which of these stored events had been declared wrong before they came."""
    return {found["event_id"] for found in await conn.fetch(_SQL.declared_before, event_ids)}


async def unpacked_after(conn: Connection, event: AggregationEvent) -> list[Event]:
    """The events that were told before this one, which is stored, and took its children off its parent after it;
    earliest first. None that was declared wrong."""
    parents = event.parent.names if event.parent else ()
    found = await conn.fetch(_SQL.unpacked_after, event.event_id, parents, _names(event.children), event.time)
    events = (read_event(msgspec.json.decode(one["body"]), "", []) for one in found)
    return [one for one in events if one is not None]


async def advance(conn: Connection, capture_id: int, *, stored: int, known: int, failed: int) -> None:
    await conn.execute(_SQL.advance, capture_id, stored, known, failed)


async def hinder(conn: Connection, capture_id: int, now: datetime) -> tuple[int, datetime]:
    """Notes that a step of a capture failed by a fault that was to pass. How often that has been so since it last
    advanced, and since when."""
    found = await conn.fetchrow(_SQL.hinder, capture_id, now)
    assert found is not None
    return found["hindered"], found["hindered_since"]


async def finish(conn: Connection, capture_id: int, now: datetime) -> Tally:
    found = await conn.fetchrow(_SQL.finish, capture_id, now)
    assert found is not None
    return Tally(**found)


async def captures(conn: Connection, *, only: int | None, before: int | None, limit: int) -> list[Capture]:
    """Captures, newest first."""
    found = await conn.fetch(_SQL.captures, only, before, limit)
    return [msgspec.convert(dict(one), Capture) for one in found]
