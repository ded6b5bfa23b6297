"""One event from JSON: every flaw of it, each with its pointer, or the event normalised. Pure.

The rules are those of EPCIS 2.0 (GS1): which members a type has, which it must have, and of what form each is.
Members of other vocabularies may stand anywhere and are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.core.errors import Flaw
from app.core.imei import shown
from app.epcis import identity
from app.epcis.events import (
    Action,
    AggregationEvent,
    AssociationEvent,
    ErrorDeclaration,
    Event,
    ObjectEvent,
    TransactionEvent,
    TransformationEvent,
)
from app.epcis.members import Members, written
from app.epcis.words import DISPOSITIONS, REASONS, STEPS

_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)\Z")
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_SHARED = """@context type eventTime recordTime eventTimeZoneOffset eventID certificationInfo errorDeclaration
    bizStep disposition readPoint bizLocation bizTransactionList sourceList destinationList sensorElementList"""
_TRANSFORMED = """inputEPCList inputQuantityList outputEPCList outputQuantityList transformationID
    persistentDisposition ilmd"""
_ALWAYS = frozenset(_SHARED.split())
_TIED = frozenset({"action", "parentID", "childEPCs", "childQuantityList"})
_OWN: dict[str, frozenset[str]] = {
    "ObjectEvent": frozenset({"action", "epcList", "quantityList", "persistentDisposition", "ilmd"}),
    "AggregationEvent": _TIED,
    "TransactionEvent": frozenset({"action", "parentID", "epcList", "quantityList"}),
    "TransformationEvent": frozenset(_TRANSFORMED.split()),
    "AssociationEvent": _TIED,
}
# Lists of objects that say nothing to us; each object must have this member.
_PASSED_OVER = {
    "quantityList": "epcClass",
    "childQuantityList": "epcClass",
    "inputQuantityList": "epcClass",
    "outputQuantityList": "epcClass",
    "bizTransactionList": "bizTransaction",
    "sourceList": "source",
    "destinationList": "destination",
    "sensorElementList": "sensorReport",
}


def read_event(value: object, at: str, flaws: list[Flaw], latest: datetime | None = None) -> Event | None:
    """The event; None where `flaws` has gained at least one. What is told of a time after `latest` cannot have
    happened (None: whatever the time)."""
    before = len(flaws)
    if not isinstance(value, dict):
        flaws.append(Flaw("It would be an event: an object with a type.", at, "not-an-object"))
        return None
    members = Members(value, at, flaws)
    kind = members.text("type", required=True)
    if kind in _OWN:
        event = _event(kind, members)
        # A declaration of error repeats the event, and is how one that was taken with a wrong time is taken back.
        if latest and event.time > latest and event.error is None:
            members.flaw("eventTime", _to_come(event.time, latest), "time-to-come")
        return event if len(flaws) == before else None
    if kind:
        detail = f"There is no event type '{shown(kind)}'; there are {', '.join(_OWN)}."
        members.flaw("type", detail, "type-unknown")
    return None


def _to_come(time: datetime, latest: datetime) -> str:
    return f"{written(time)} has not come yet; an event has happened, so it would be {written(latest)} at the latest."


def _event(kind: str, members: Members) -> Event:
    members.known(_ALWAYS | _OWN[kind], f"An {kind}" if kind[0] in "AO" else f"A {kind}")
    for name, required in _PASSED_OVER.items():
        for inner in members.objects(name) if members.has(name) else ():
            if not inner.has(required):
                inner.missing(required)
    return _READERS[kind](members, _shared(members))


def _shared(members: Members) -> dict[str, Any]:
    """What all types have."""
    offset = members.text("eventTimeZoneOffset", required=True)
    if offset and not _OFFSET.match(offset):
        detail = f"'{shown(offset)}' is no offset; it would be one such as +01:00."
        members.flaw("eventTimeZoneOffset", detail, "offset-malformed")
    members.time("recordTime")
    return {
        "time": members.time("eventTime", required=True) or _NEVER,
        "offset": offset,
        "event_id": members.uri("eventID"),
        "step": members.word("bizStep", STEPS),
        "disposition": members.word("disposition", DISPOSITIONS),
        "read_point": _place(members, "readPoint"),
        "location": _place(members, "bizLocation"),
        "error": _error(members),
        "extensions": members.foreign(),
    }


def _place(members: Members, name: str) -> str:
    inner = members.inside(name)
    return identity.site(inner.uri("id", required=True)) if inner else ""


def _error(members: Members) -> ErrorDeclaration | None:
    inner = members.inside("errorDeclaration")
    if inner is None:
        return None
    inner.known(frozenset({"declarationTime", "reason", "correctiveEventIDs"}), "An error declaration")
    return ErrorDeclaration(
        inner.time("declarationTime", required=True) or _NEVER,
        inner.word("reason", REASONS),
        inner.uris("correctiveEventIDs"),
    )


def _action(members: Members) -> Action:
    value = members.text("action", required=True)
    if value and value not in list(Action):
        detail = f"There is no action '{shown(value)}'; there are {', '.join(Action)}."
        members.flaw("action", detail, "action-unknown")
    return Action(value) if value in list(Action) else Action.OBSERVE


def _persistent(members: Members) -> dict[str, Any]:
    inner = members.inside("persistentDisposition")
    if inner is None:
        return {}
    inner.known(frozenset({"set", "unset"}), "A persistent disposition")
    if not (inner.has("set") or inner.has("unset")):
        inner.flaw("", "It would set something, or unset something.", "member-missing")
    return {"persists": inner.words("set", DISPOSITIONS), "ceases": inner.words("unset", DISPOSITIONS)}


def _object(members: Members, shared: dict[str, Any]) -> Event:
    action = _action(members)
    sensed = members.fills("sensorElementList") and members.has("readPoint")
    if not (members.has("epcList") or members.fills("quantityList") or sensed):
        members.missing("epcList", "; or it would have a quantityList, or sensors at a readPoint")
    ilmd = members.inside("ilmd")
    if ilmd and action is not Action.ADD:
        members.flaw(
            "ilmd", "Only where objects begin (action ADD) can it be said what they are.", "ilmd-late"
        )
    return ObjectEvent(
        action=action,
        epcs=members.epcs("epcList"),
        ilmd=ilmd.foreign() if ilmd else {},
        **_persistent(members),
        **shared,
    )


def _tied(members: Members) -> dict[str, Any]:
    """What aggregations and associations have: a parent, and its children."""
    action = _action(members)
    if not (action is Action.DELETE or members.fills("childEPCs") or members.fills("childQuantityList")):
        members.missing("childEPCs", "; only DELETE, which then takes off all, goes without children")
    return {"action": action, "parent": members.epc("parentID"), "children": members.epcs("childEPCs")}


def _aggregation(members: Members, shared: dict[str, Any]) -> Event:
    tied = _tied(members)
    if tied["action"] is not Action.OBSERVE and not members.has("parentID"):
        members.missing("parentID", "; only OBSERVE goes without a parent")
    return AggregationEvent(partial=members.fills("childQuantityList"), **tied, **shared)


def _association(members: Members, shared: dict[str, Any]) -> Event:
    if not members.has("parentID"):
        members.missing("parentID")
    return AssociationEvent(**_tied(members), **shared)


def _transaction(members: Members, shared: dict[str, Any]) -> Event:
    action = _action(members)
    if not members.fills("bizTransactionList"):
        members.missing("bizTransactionList")
    if not (action is Action.DELETE or members.has("epcList") or members.fills("quantityList")):
        members.missing("epcList", "; or it would have a quantityList")
    return TransactionEvent(
        action=action, parent=members.epc("parentID"), epcs=members.epcs("epcList"), **shared
    )


def _transformation(members: Members, shared: dict[str, Any]) -> Event:
    consumes = members.fills("inputEPCList") or members.fills("inputQuantityList")
    produces = members.fills("outputEPCList") or members.fills("outputQuantityList")
    one_side = members.has("transformationID") and (consumes or produces)
    if not (consumes and produces) and not one_side:
        why = " or empty, or the outputs are; with a transformationID one side is enough"
        members.missing("outputEPCList" if consumes else "inputEPCList", why)
    members.uri("transformationID")
    members.inside("ilmd")
    return TransformationEvent(
        inputs=members.epcs("inputEPCList"),
        outputs=members.epcs("outputEPCList"),
        **_persistent(members),
        **shared,
    )


_READERS: Mapping[str, Callable[[Members, dict[str, Any]], Event]] = {
    "ObjectEvent": _object,
    "AggregationEvent": _aggregation,
    "TransactionEvent": _transaction,
    "TransformationEvent": _transformation,
    "AssociationEvent": _association,
}
