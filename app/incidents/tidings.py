"""What EPCIS events tell, carried out: devices come in, move and leave; a reported theft becomes a draft incident.

Only reports come this way, never decisions: two people still submit and approve. Whatever one event effects bears
its identity, so that the event can be declared wrong later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from app.access.roles import Principal
from app.alerts.alert import AlertKind, Raised, raise_
from app.core import imei
from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.devices import moves, naming, nesting, presence, register, sold
from app.devices.incoming import here
from app.devices.intake import Defaults, Reading, Submission
from app.devices.intake.rows import Rows, shared_cells
from app.devices.receipts import Terms
from app.epcis.effects import (
    Aggregated,
    Effect,
    Left,
    Register,
    ReportedRecovered,
    ReportedStolen,
    Returned,
    Seen,
    Sold,
    Withdrawn,
    effects,
)
from app.epcis.events import Action, AggregationEvent, Event
from app.epcis.store import unpacked_after
from app.incidents import decide
from app.incidents.scope import Scope

_MOST_FLAWS = 10


class _Load(NamedTuple):
    """What stands on a pallet, or goes there: devices, and cartons."""

    devices: set[int]
    cartons: set[str]


async def carry(
    conn: Connection, actor: Principal, event: Event, follows: Sequence[Effect], now: datetime
) -> None:
    """Carries out what an event means, in the transaction that stores it. Raises Invalid where the registry
    refuses it."""
    for effect in follows:
        source = f"event:{event.event_id}"
        match effect:
            case Register():
                telling = sold.Telling(False, effect.at, source, actor.label, now)
                await sold.came_back(conn, effect.devices, telling)
                await _register(conn, actor, effect, source, now)
            case Aggregated():
                await _aggregated(conn, actor, event, effect, source, now)
            case Left():
                await presence.left(conn, effect.devices, effect.pallets, effect.at)
            case Seen():
                await presence.seen(conn, effect.devices, effect.pallets, effect.at)
            case Sold() | Returned():
                telling = sold.Telling(isinstance(effect, Sold), effect.at, source, actor.label, now)
                await sold.tell(conn, effect.devices, effect.pallets, telling)
            case ReportedStolen():
                await _draft(conn, actor, effect, source, now)
            case ReportedRecovered():
                await _alert(conn, actor, AlertKind.REPORTED_RECOVERED, effect, source, now)
            case Withdrawn():
                await moves.withdraw(conn, f"event:{effect.event_id}")
                await sold.withdraw(conn, f"event:{effect.event_id}")
                await decide.drop_reported(conn, actor, f"event:{effect.event_id}", effect.reason, now)


async def _register(conn: Connection, actor: Principal, said: Register, source: str, now: datetime) -> None:
    """A receipt of the event's devices: what is registered already stays as it is. Raises Invalid
    `devices-rejected` where one could never be."""
    terms = Terms(source, hashlib.sha256(source.encode()).digest(), confirmed=len(said.devices))
    await register.register(conn, actor, here(Submission((), _readings(said))), terms, now=now)


def _readings(said: Register) -> Iterator[Reading]:
    rows = Rows(Defaults())
    flaws: list[Flaw] = []
    rejected = 0
    for line, each in enumerate(said.devices, 1):
        number = imei.full(each.imei) if each.imei is not None else ""
        shared = shared_cells(gtin=each.gtin, site=said.site, owner=said.owner, model=said.model)
        row, findings = rows.read(line, (number,), each.serial, shared)
        if row is None:
            rejected += 1
            flaws += [Flaw(f"{each.text}: {one.sentence}", code=one.code) for one in findings if one.rejected]
            del flaws[_MOST_FLAWS:]
        yield row, findings, [number or each.serial]
    if rejected:
        raise Invalid(
            f"{rejected:,} device(s) of the event cannot be registered, and nothing was done: {flaws[0].detail}",
            "devices-rejected",
            tuple(flaws),
        )


async def _aggregated(
    conn: Connection, actor: Principal, event: Event, told: Aggregated, source: str, now: datetime
) -> None:
    if told.how is Action.OBSERVE:
        await presence.seen(conn, told.devices, told.cartons, told.at)
    elif told.how is Action.DELETE:
        await _take_off(conn, actor, told, await _off(conn, told), source, now)
    else:
        await _put_on(conn, actor, event, told, source, now)


async def _put_on(
    conn: Connection, actor: Principal, event: Event, told: Aggregated, source: str, now: datetime
) -> None:
    """Devices that nobody registered are registered now: they stand on that pallet. What is known to have been
    taken off it later is taken off then."""
    known = await naming.devices(conn, told.devices)
    new = [each for each in told.devices if each not in known]
    if new:
        await _register(conn, actor, Register(tuple(new), "", told.at), source, now)
        known = await naming.devices(conn, told.devices)
    put = _Load(set(known.values()), set(told.cartons))
    rows = [(number, told.pallet, told.at) for number in put.devices]
    await moves.keep(conn, rows, source=source, by=actor.label, now=now)
    nestings = [(carton, told.pallet, told.at) for carton in sorted(put.cartons)]
    await nesting.keep(conn, nestings, source=source, by=actor.label, now=now)
    for later in await unpacked_after(conn, event) if isinstance(event, AggregationEvent) else ():
        for off in effects(later):
            if isinstance(off, Aggregated):
                load = await _off(conn, off)
                among = _Load(put.devices & load.devices, put.cartons & load.cartons)
                await _take_off(conn, actor, off, among, f"event:{later.event_id}", now)


async def _off(conn: Connection, told: Aggregated) -> _Load:
    """What is named, or all that was ever put on the pallet itself."""
    if told.devices or told.cartons:
        return _Load(set((await naming.devices(conn, told.devices)).values()), set(told.cartons))
    devices = await moves.ever_on(conn, told.pallet, told.at)
    return _Load(set(devices), set(await nesting.ever_on(conn, told.pallet, told.at)))


async def _take_off(
    conn: Connection, actor: Principal, told: Aggregated, load: _Load, source: str, now: datetime
) -> None:
    """Who closes a pallet names all that it ever held: what stands elsewhere by then stays there."""
    off, by = (told.pallet, told.at), actor.label
    await moves.take_off(conn, load.devices, *off, source=source, by=by, now=now)
    await nesting.take_off(conn, load.cartons, *off, source=source, by=by, now=now)


async def _draft(
    conn: Connection, actor: Principal, told: ReportedStolen, source: str, now: datetime
) -> None:
    scope = Scope(
        pallets=told.pallets,
        imeis=tuple(each.text for each in told.devices if each.imei is not None),
        serials=tuple(each.text for each in told.devices if each.imei is None),
        as_of=told.at,
    )
    said = decide.Draft(title=f"Reported stolen {told.at:%Y-%m-%d %H:%M}", scope=scope, site=told.site[:200])
    await decide.report(conn, actor, said, source, now)
    await _alert(conn, actor, AlertKind.REPORTED_STOLEN, told, source, now)


async def _alert(
    conn: Connection,
    actor: Principal,
    kind: AlertKind,
    told: ReportedStolen | ReportedRecovered,
    source: str,
    now: datetime,
) -> None:
    detail = {"devices": len(told.devices), "pallets": list(told.pallets)[:1000]}
    await raise_(conn, [Raised(kind, source, detail)], actor.label, now)
