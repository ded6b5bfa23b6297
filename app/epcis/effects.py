"""What an event means for us. Pure: it names effects in order and carries none out.

ObjectEvents and AggregationEvents have effects, the other types none. EPCIS cannot say that two IMEIs are one
handset, so each identifier of an event is a device of its own here, and stays one: register handsets with several
IMEIs by a goods-in file first, or name one IMEI of each in events. What is registered already stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from app.devices.naming import Name
from app.epcis.events import Action, AggregationEvent, Event, ObjectEvent
from app.epcis.identity import Epc

STOLEN = "stolen"
SELLING = "retail_selling"
SOLD = "retail_sold"
RETURNED = "returned"
ARRIVING = frozenset({"commissioning", "receiving"})
LEAVING = frozenset({"shipping", "departing", "loading"})
COUNTING = frozenset({"cycle_counting", "stock_taking", "inspecting"})

# How the members of an owner and of a model may be called, in whatever vocabulary.
_OWNER = ("owner", "owningparty")
_MODEL = ("model", "modelname", "modelnumber")


class Register(msgspec.Struct, frozen=True):
    """These devices came to be, or came in, at this site."""

    devices: tuple[Name, ...]
    site: str
    at: datetime
    owner: str = ""
    model: str = ""


class Aggregated(msgspec.Struct, frozen=True):
    """ADD: these devices and cartons went onto the pallet. DELETE: they came off it, all where none is named.
    OBSERVE: they were seen on it, which moves nothing."""

    pallet: str
    devices: tuple[Name, ...]
    how: Action
    at: datetime
    cartons: tuple[str, ...] = ()


class Left(msgspec.Struct, frozen=True):
    """These devices and pallets left the site."""

    devices: tuple[Name, ...]
    pallets: tuple[str, ...]
    site: str
    at: datetime


class Seen(msgspec.Struct, frozen=True):
    """These devices and pallets were seen at the site: counted, inspected, or, for pallets, received."""

    devices: tuple[Name, ...]
    pallets: tuple[str, ...]
    site: str
    at: datetime


class Sold(msgspec.Struct, frozen=True):
    """These devices, and all on these pallets, were sold to customers: the business step is retail_selling, or the
    disposition retail_sold, at whatever step. What is shipped without that word may go to another site of ours."""

    devices: tuple[Name, ...]
    pallets: tuple[str, ...]
    at: datetime


class Returned(msgspec.Struct, frozen=True):
    """These came back from customers: the disposition is returned. So does what is received again (Register)."""

    devices: tuple[Name, ...]
    pallets: tuple[str, ...]
    at: datetime


class ReportedStolen(msgspec.Struct, frozen=True):
    """Somebody reports these stolen. A report, never a decision."""

    devices: tuple[Name, ...]
    pallets: tuple[str, ...]
    site: str
    at: datetime


class ReportedRecovered(msgspec.Struct, frozen=True):
    """Somebody reports that these are stolen no more. A report, never a decision."""

    devices: tuple[Name, ...]
    pallets: tuple[str, ...]
    site: str
    at: datetime


class Withdrawn(msgspec.Struct, frozen=True):
    """The event of this identity was wrong: what it effected is to be undone. The corrective events, which come
    by themselves, say what is right."""

    event_id: str
    reason: str
    corrective_ids: tuple[str, ...]


Effect: TypeAlias = (
    Register | Aggregated | Left | Seen | Sold | Returned | ReportedStolen | ReportedRecovered | Withdrawn
)


def effects(event: Event) -> tuple[Effect, ...]:
    """What is to follow, in this order. An event that declares itself wrong only takes its effects back."""
    if event.error is not None:
        withdrawn = Withdrawn(event.event_id, event.error.reason, event.error.corrective_ids)
        return (withdrawn,) if isinstance(event, ObjectEvent | AggregationEvent) else ()
    if isinstance(event, ObjectEvent):
        return tuple(_of_object(event))
    if isinstance(event, AggregationEvent):
        return tuple(_of_aggregation(event))
    return ()


def _of_object(event: ObjectEvent) -> Iterator[Effect]:
    devices, pallets = _devices(event.epcs), _pallets(event.epcs)
    if devices and _registers(event):
        said = _said(event)
        yield Register(devices, event.location, event.time, _first(said, _OWNER), _first(said, _MODEL))
    if pallets and event.step == "receiving" and event.action is not Action.DELETE:
        yield Seen((), pallets, event.location or event.read_point, event.time)
    yield from _around(event, devices, pallets)
    yield from _traded(event, devices, pallets)
    where = event.location or event.read_point
    if (devices or pallets) and STOLEN in (event.disposition, *event.persists):
        yield ReportedStolen(devices, pallets, where, event.time)
    if (devices or pallets) and STOLEN in event.ceases:
        yield ReportedRecovered(devices, pallets, where, event.time)


def _registers(event: ObjectEvent) -> bool:
    if event.action is Action.ADD:
        return event.step in ARRIVING
    return event.action is Action.OBSERVE and event.step == "receiving"


def _of_aggregation(event: AggregationEvent) -> Iterator[Effect]:
    devices, children = _devices(event.children), _pallets(event.children)
    parent = event.parent.pallet if event.parent else ""
    cartons = tuple(child for child in children if child != parent)
    # Off the pallet came all, or those that are named; where none of these is ours, nothing of ours did.
    empties = event.action is Action.DELETE and not event.children and not event.partial
    if parent and (devices or cartons or empties):
        yield Aggregated(parent, devices, event.action, event.time, cartons)
    # What leaves takes all that is on it along; who counts names what was there.
    named = bool(event.children) and event.step in COUNTING
    yield from _around(event, devices, cartons if named or not parent else (parent, *cartons))
    yield from _traded(event, devices, cartons)


def _around(
    event: ObjectEvent | AggregationEvent, devices: tuple[Name, ...], pallets: tuple[str, ...]
) -> Iterator[Effect]:
    """What the business step says."""
    if not (devices or pallets):
        return
    if event.step in LEAVING:
        yield Left(devices, pallets, event.read_point or event.location, event.time)
    elif event.step in COUNTING:
        yield Seen(devices, pallets, event.location or event.read_point, event.time)


def _traded(
    event: ObjectEvent | AggregationEvent, devices: tuple[Name, ...], pallets: tuple[str, ...]
) -> Iterator[Effect]:
    """What was sold, or came back; of a pallet that is packed or unpacked only what is named."""
    if not (devices or pallets):
        return
    if event.step == SELLING or event.disposition == SOLD:
        yield Sold(devices, pallets, event.time)
    elif event.disposition == RETURNED:
        yield Returned(devices, pallets, event.time)


def _devices(epcs: Iterable[Epc]) -> tuple[Name, ...]:
    found = (Name(epc.imei, epc.gtin, epc.serial) for epc in epcs if epc.is_device)
    return tuple(dict.fromkeys(found))


def _pallets(epcs: Iterable[Epc]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(epc.pallet for epc in epcs if epc.pallet))


def _said(event: ObjectEvent) -> dict[str, str]:
    """The texts of other vocabularies by their local names, those of the instance before those of the event."""
    found: dict[str, str] = {}
    members: Mapping[str, Any]
    for members in (event.ilmd, event.extensions):
        for name, value in members.items():
            if isinstance(value, str) and value.strip():
                found.setdefault(_local(name), value.strip())
    return found


def _local(name: str) -> str:
    return name.replace("#", "/").replace(":", "/").rpartition("/")[2].lower()


def _first(said: Mapping[str, str], names: Iterable[str]) -> str:
    return next((said[name] for name in names if name in said), "")
