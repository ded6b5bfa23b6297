"""Events come in: a document is accepted, and a worker stores its events; one event alone is stored at once.

`rollback`: all events of a capture are stored in one transaction, or none. `proceed`: each event stands or falls
alone. One that is stored already changes nothing; one of its identity that says otherwise is refused; from one that
was declared wrong before it came, nothing follows. What events mean is carried out by the handler that is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.audit.record import Entry, record
from app.core import log
from app.core.db import Connection, asks_again
from app.core.errors import Conflict, GatewayError, Missing
from app.core.imei import shown
from app.core.reach import narrow, out_of_reach
from app.devices import turns
from app.devices.register import MET_ANOTHER
from app.epcis import store
from app.epcis.carry import Carry
from app.epcis.document import Read, refuse_flaws
from app.epcis.effects import effects
from app.epcis.events import AggregationEvent, Event
from app.epcis.reading import read_event
from app.epcis.store import Behaviour, Capture, Claimed, Failure, Row, Waiting

# How many events one statement stores; in `proceed`, how many one transaction does.
SLICE = 500
# A fault that is to pass has not passed after so many attempts in a row over at least so long: it is the capture's.
ATTEMPTS, PATIENCE = 20, timedelta(minutes=10)

_LOG = log.get("epcis")


class _Refused(Exception):
    """One event of several cannot be stored, or what it means cannot be carried out."""

    def __init__(self, place: int, error: Exception) -> None:
        super().__init__(str(error))
        self.place = place
        self.error = error


async def accept(
    conn: Connection,
    actor: Principal,
    reads: Sequence[Read],
    *,
    behaviour: Behaviour,
    digest: bytes,
    now: datetime,
) -> int:
    """Takes a document in and gives the number of its capture, which a worker finishes. Raises Forbidden; for
    `rollback` also Invalid with every flaw of every event, as nothing of it could ever be stored."""
    actor.require(Permission.RECEIPTS_WRITE)
    if behaviour is Behaviour.ROLLBACK:
        refuse_flaws(reads)
    capture_id = await store.open_capture(conn, actor, behaviour, digest, reads, now)
    await store.wait(conn, capture_id, reads)
    detail = {"events": len(reads), "behaviour": behaviour, "sha256": digest.hex()}
    await record(conn, [Entry("capture.accepted", f"capture:{capture_id}", actor.label, now, detail)])
    return capture_id


async def capture_alone(
    conn: Connection, actor: Principal, read: Read, carry: Carry, *, digest: bytes, now: datetime
) -> str:
    """Stores one event and gives its identity. Raises Forbidden, Conflict, and what the handler raises; where that
    is MET_ANOTHER, run the transaction again."""
    actor.require(Permission.RECEIPTS_WRITE)
    capture_id = await store.open_capture(conn, actor, Behaviour.ROLLBACK, digest, [read], now)
    claimed = Claimed(capture_id, Behaviour.ROLLBACK, actor)
    rows = _rows([read], now)
    try:
        await _keep(conn, claimed, [read], rows, carry, now)
    except _Refused as refused:
        raise refused.error from None
    await _finish(conn, claimed, now)
    return rows[0].event_id


async def work(conn: Connection, carry: Carry, now: datetime) -> int:
    """Does a step of the oldest capture that is not finished: all of it for `rollback`, a slice for `proceed`.
    The number of captures worked on, 0 or 1; the caller's transaction makes it one step, and runs it again for
    MET_ANOTHER."""
    claimed = await store.next_capture(conn)
    if claimed is None:
        return 0
    await narrow(conn, claimed.actor.reach)
    if claimed.behaviour is Behaviour.ROLLBACK:
        await _all_or_none(conn, claimed, carry, now)
        await _finish(conn, claimed, now)
    elif waiting := await store.take(conn, claimed.capture_id, SLICE):
        await _each_alone(conn, claimed, waiting, carry, now)
    else:
        await _finish(conn, claimed, now)
    return 1


async def hindered(conn: Connection, now: datetime) -> None:
    """To be called, in a transaction of its own, when `work` let a fault out. Where the same capture meets such
    faults again and again, what waits of it fails, so that those behind it go on."""
    claimed = await store.next_capture(conn)
    if claimed is None:
        return
    times, since = await store.hinder(conn, claimed.capture_id, now)
    if times < ATTEMPTS or now - since < PATIENCE:
        return
    if places := await _drop_waiting(conn, claimed):
        await store.fail(conn, claimed.capture_id, {places[0]: _given_up(len(places), times)})
    _LOG.error("capture.given_up", capture=claimed.capture_id, events=len(places), attempts=times)
    await _finish(conn, claimed, now)


def _given_up(events: int, times: int) -> Failure:
    text = (
        f"{events:,} events from this one on could not be stored in {times:,} attempts, by a fault on our side that"
        " did not pass; it has been logged. Capture them again, in smaller documents if need be."
    )
    return Failure(text, "given-up", ours=True)


def _again(waiting: Sequence[Waiting]) -> list[Read]:
    """Events that were read before they had to wait, and had no flaw."""
    return [
        Read(one.place, one.body, read_event(msgspec.json.decode(one.body), "", []), (), one.context)
        for one in waiting
    ]


async def _all_or_none(conn: Connection, claimed: Claimed, carry: Carry, now: datetime) -> None:
    try:
        async with conn.transaction():
            while waiting := await store.take(conn, claimed.capture_id, SLICE):
                reads = _again(waiting)
                await _keep(conn, claimed, reads, _rows(reads, now), carry, now)
    except Exception as error:
        place, failure = _failure(error, 0)
        await _drop_waiting(conn, claimed)
        await store.fail(conn, claimed.capture_id, {place: failure})


async def _drop_waiting(conn: Connection, claimed: Claimed) -> list[int]:
    """Counts all that waits of a capture as failed, and gives its places."""
    places = []
    while waiting := await store.take(conn, claimed.capture_id, SLICE):
        await store.advance(conn, claimed.capture_id, stored=0, known=0, failed=len(waiting))
        places += [one.place for one in waiting]
    return places


async def _each_alone(
    conn: Connection, claimed: Claimed, waiting: Sequence[Waiting], carry: Carry, now: datetime
) -> None:
    """Tries all at once, and one by one only where one of them fails."""
    try:
        async with conn.transaction():
            reads = _again(waiting)
            await _keep(conn, claimed, reads, _rows(reads, now), carry, now)
    except Exception as error:
        place, failure = _failure(error, waiting[0].place)
        if len(waiting) == 1:
            await store.advance(conn, claimed.capture_id, stored=0, known=0, failed=1)
            await store.fail(conn, claimed.capture_id, {place: failure})
            return
        for one in waiting:
            await _each_alone(conn, claimed, [one], carry, now)


def _failure(error: Exception, place: int) -> tuple[int, Failure]:
    """Where and what the sender is told. A fault that will pass is no answer: it goes on to who tries again."""
    if isinstance(error, _Refused):
        return _failure(error.error, error.place)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        error = out_of_reach()
    if isinstance(error, GatewayError) and error.status < 500:
        return place, Failure(error.detail, error.code, error.flaws)
    if asks_again(error) or isinstance(error, (GatewayError, TimeoutError, *MET_ANOTHER)):
        raise error
    _LOG.error("capture.failed", place=place, exc_info=error)
    return place, Failure("Something failed on our side; it has been logged.", "internal", ours=True)


def _rows(reads: Sequence[Read], now: datetime) -> list[Row]:
    return [store.row(read, read.event, now) for read in reads if read.event is not None]


async def _keep(
    conn: Connection,
    claimed: Claimed,
    reads: Sequence[Read],
    rows: Sequence[Row],
    carry: Carry,
    now: datetime,
) -> None:
    """Stores the events, and carries out what follows from those that are new and not known to be wrong. Others that
    tell of the same pallets, or of the same events, are carried out before, or after."""
    await turns.take(conn, _told_of(reads, rows))
    new = await store.add(conn, claimed.capture_id, rows, now)
    known = [row for row in rows if row.place not in new]
    await _refuse_others(conn, known)
    events = [row.event_id for row in rows if row.place in new and not row.is_error]
    wrong = await store.declared_before(conn, events) if events else ()
    for read, row in zip(reads, rows, strict=True):
        if read.event is not None and row.place in new and (row.is_error or row.event_id not in wrong):
            event = _identified(read.event, row.event_id)
            try:
                await carry(conn, claimed.actor, event, effects(event), now)
            except Exception as error:
                raise _Refused(read.place, error) from error
    await store.advance(conn, claimed.capture_id, stored=len(new), known=len(known), failed=0)


def _told_of(reads: Sequence[Read], rows: Sequence[Row]) -> Iterator[str]:
    """The identities of these events, and the pallets that they pack or unpack."""
    yield from (row.event_id for row in rows)
    for read in reads:
        if isinstance(read.event, AggregationEvent) and read.event.parent:
            yield read.event.parent.pallet


def _identified(event: Event, event_id: str) -> Event:
    return event if event.event_id else msgspec.structs.replace(event, event_id=event_id)


async def _refuse_others(conn: Connection, known: Sequence[Row]) -> None:
    """Refuses an identity that stands for an event that says something else."""
    said = await store.digests(conn, [row.event_id for row in known]) if known else {}
    for row in known:
        # One that stands out of reach is not seen.
        stands = said.get((row.event_id, row.is_error), b"")
        if stands.hex() != row.digest:
            text = (
                f"The identity {shown(row.event_id, 200)} stands for another event already. That one stays; to"
                " correct it, declare its error, and send the right one under an identity of its own."
            )
            raise _Refused(row.place, Conflict(text, "event-differs"))


async def _finish(conn: Connection, claimed: Claimed, now: datetime) -> None:
    tally = await store.finish(conn, claimed.capture_id, now)
    detail = msgspec.to_builtins(tally)
    subject = f"capture:{claimed.capture_id}"
    await record(conn, [Entry("capture.finished", subject, claimed.actor.label, now, detail)])


async def find(conn: Connection, actor: Principal, capture_id: int) -> Capture:
    """Raises Missing, Forbidden."""
    actor.require(Permission.RECEIPTS_READ)
    found = await store.captures(conn, only=capture_id, before=None, limit=1)
    if not found:
        raise Missing(f"There is no capture {capture_id}.")
    return found[0]


async def latest(conn: Connection, actor: Principal, *, before: int | None, limit: int) -> list[Capture]:
    """A page of captures before this number, newest first. Raises Forbidden."""
    actor.require(Permission.RECEIPTS_READ)
    return await store.captures(conn, only=None, before=before, limit=limit)
