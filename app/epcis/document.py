"""An EPCISDocument, or one event alone, from JSON: the events as they came and as they are read, and all flaws.

Pure. `value` is the parsed JSON and `body` the same as bytes, of which each event's own are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from app.core.errors import Flaw, Invalid, TooLarge
from app.core.imei import shown
from app.epcis.events import Event
from app.epcis.members import Members
from app.epcis.reading import read_event

STANDARD_CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
# More flaws than this help nobody, and an answer must end.
MOST_FLAWS = 10_000

_EVENTS = "/epcisBody/eventList"
_VERSION = re.compile(r"2(?:\.[0-9]+)*\Z")
_GS1 = re.compile(r"https://ref\.gs1\.org/standards/epcis/\S*\Z")
_NAMES = """@context id type schemaVersion creationDate instanceIdentifier sender receiver epcisHeader
    epcisBody"""
_MEMBERS = frozenset(_NAMES.split())


class _Body(msgspec.Struct):
    eventList: list[msgspec.Raw]


class _Document(msgspec.Struct):
    epcisBody: _Body


class Read(msgspec.Struct, frozen=True):
    """One event of a document: its place, its bytes as they came, and what it says (None: it has flaws).
    `context` is what the document around it defines beside the standard."""

    place: int
    raw: bytes
    event: Event | None
    flaws: tuple[Flaw, ...]
    context: tuple[Any, ...] = ()


def read_document(body: bytes, value: object, limit: int) -> list[Read]:
    """The events of an EPCISDocument, in order. Raises Invalid with every flaw of the document around them,
    TooLarge for more than `limit` events."""
    flaws: list[Flaw] = []
    if not isinstance(value, dict):
        raise Invalid("The body would be an EPCISDocument, a JSON object.", "document-wrong")
    _judge(Members(value, "", flaws))
    if flaws:
        raise Invalid(_count(len(flaws), "the document"), "document-wrong", tuple(flaws))
    events = value["epcisBody"]["eventList"]
    if len(events) > limit:
        text = f"The document holds {len(events):,} events; {limit:,} are taken at once. Send it in parts."
        raise TooLarge(text, "capture-limit")
    parts = msgspec.json.decode(body, type=_Document).epcisBody.eventList
    context = own_context(value["@context"])
    return [
        _read(place, bytes(part), event, context, f"{_EVENTS}/{place}")
        for place, (part, event) in enumerate(zip(parts, events, strict=True))
    ]


def read_alone(body: bytes, value: object) -> Read:
    """One event that came without a document. Raises Invalid with every flaw."""
    read = _read(0, body.strip(), value, (), "")
    refuse_flaws([read])
    return read


def refuse_flaws(reads: Iterable[Read]) -> None:
    """Raises Invalid with all flaws of all events; nothing if there is none."""
    flaws = tuple(islice((flaw for read in reads for flaw in read.flaws), MOST_FLAWS))
    if flaws:
        raise Invalid(_count(len(flaws), "the events"), "events-wrong", flaws)


def _count(number: int, where: str) -> str:
    things = "1 thing is" if number == 1 else f"{number:,} things are"
    return f"In {where} {things} wrong; nothing was captured."


def _read(place: int, raw: bytes, value: object, context: tuple[Any, ...], at: str) -> Read:
    flaws: list[Flaw] = []
    event = read_event(value, at, flaws)
    return Read(place, raw, event, tuple(flaws[:MOST_FLAWS]), context)


def _judge(members: Members) -> None:
    members.known(_MEMBERS, "A document")
    if not members.has("@context"):
        members.missing("@context", f"; it would name {STANDARD_CONTEXT}")
    kind = members.text("type", required=True)
    if kind and kind != "EPCISDocument":
        members.flaw("type", f"'{shown(kind)}' would be EPCISDocument.", "type-unknown")
    version = members.text("schemaVersion", required=True)
    if version and not _VERSION.match(version):
        members.flaw("schemaVersion", f"'{shown(version)}' would be 2.0.", "version-unknown")
    members.time("creationDate", required=True)
    body = members.inside("epcisBody")
    if body is None:
        if not members.has("epcisBody"):
            members.missing("epcisBody")
    elif body.has("eventList"):
        list(body.items("eventList"))
    else:
        body.missing("eventList")


def own_context(context: object) -> tuple[Any, ...]:
    """The parts of a JSON-LD context that are not the standard's own."""
    parts = context if isinstance(context, list) else [context]
    return tuple(part for part in parts if not (isinstance(part, str) and _GS1.match(part)))
