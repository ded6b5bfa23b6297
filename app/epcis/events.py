"""An EPCIS event, normalised: CBV words bare, EPCs read, times in UTC. The five types of EPCIS 2.0."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from app.epcis.identity import Epc


class Action(StrEnum):
    """What an event does to what it names: its life or a tie begins, is seen, or ends."""

    ADD = "ADD"
    OBSERVE = "OBSERVE"
    DELETE = "DELETE"


class ErrorDeclaration(msgspec.Struct, frozen=True):
    """That the event of the same identity was wrong, why, and which events stand in its place."""

    declared_at: datetime
    reason: str = ""
    corrective_ids: tuple[str, ...] = ()


class What(msgspec.Struct, frozen=True, kw_only=True):
    """What types share. Words are '' where the event says none; `persists` and `ceases` are the persistent
    dispositions set and unset; `extensions` holds the members of other vocabularies."""

    time: datetime
    offset: str
    event_id: str = ""
    step: str = ""
    disposition: str = ""
    read_point: str = ""
    location: str = ""
    persists: tuple[str, ...] = ()
    ceases: tuple[str, ...] = ()
    parent: Epc | None = None
    error: ErrorDeclaration | None = None
    extensions: dict[str, Any] = {}


class ObjectEvent(What, frozen=True, kw_only=True):
    """Something happened to objects. `ilmd`: what other vocabularies say of the instance or lot."""

    action: Action
    epcs: tuple[Epc, ...] = ()
    ilmd: dict[str, Any] = {}


class AggregationEvent(What, frozen=True, kw_only=True):
    """Children were put onto a parent, seen there, or taken off it. `partial`: some were named by their class
    and number only."""

    action: Action
    children: tuple[Epc, ...] = ()
    partial: bool = False


class TransactionEvent(What, frozen=True, kw_only=True):
    """Objects were tied to business transactions."""

    action: Action
    epcs: tuple[Epc, ...] = ()


class TransformationEvent(What, frozen=True, kw_only=True):
    """Inputs became outputs."""

    inputs: tuple[Epc, ...] = ()
    outputs: tuple[Epc, ...] = ()


class AssociationEvent(What, frozen=True, kw_only=True):
    """Children became part of a parent, or ceased to be."""

    action: Action
    children: tuple[Epc, ...] = ()


Event: TypeAlias = ObjectEvent | AggregationEvent | TransactionEvent | TransformationEvent | AssociationEvent
