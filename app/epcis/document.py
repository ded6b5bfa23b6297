"""An EPCISDocument, or one event alone, from JSON: the events as they came and as they are read, and all flaws.

Pure. Of the body each event's own bytes are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from app.core import strict
from app.core.clock import AHEAD
from app.core.errors import Flaw, Invalid, TooLarge
from app.core.imei import shown
from app.epcis.events import Event
from app.epcis.members import Members
from app.epcis.reading import read_event

STANDARD_CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
# More flaws than this help nobody, and an answer must end.
MOST_FLAWS = 10_000
# Bytes: of a hundred thousand EPCs.
MOST_OF_AN_EVENT = 4 * 2**20
_MOST_MEMBERS = 1_000

_EVENTS = "/epcisBody/eventList"
_VERSION = re.compile(r"2(?:\.[0-9]+)*\Z")
_GS1 = re.compile(r"https://ref\.gs1\.org/standards/epcis/\S*\Z")
_NAMES = """@context id type schemaVersion creationDate instanceIdentifier sender receiver epcisHeader
    epcisBody"""
_MEMBERS = frozenset(_NAMES.split())


class Read(msgspec.Struct, frozen=True):
    """One event of a document: its place, its bytes as they came, and what it says (None: it has flaws).
    `context` is what the document around it defines beside the standard."""

    place: int
    raw: bytes
    event: Event | None
    flaws: tuple[Flaw, ...]
    context: tuple[Any, ...] = ()


def read_document(body: bytes, limit: int, now: datetime) -> list[Read]:
    """The events of an EPCISDocument, in order. Raises Invalid with every flaw of the document around them, and as
    `strict.value` does; TooLarge for more than `limit` events."""
    if not strict.is_object(body):
        strict.value(body[:MOST_OF_AN_EVENT])
        raise Invalid("The body would be an EPCISDocument, a JSON object.", "document-wrong")
    around, parts = _taken_apart(body)
    flaws: list[Flaw] = []
    _judge(Members(around, "", flaws))
    if flaws:
        raise Invalid(_count(len(flaws), "the document"), "document-wrong", tuple(flaws))
    if len(parts) > limit:
        text = f"The document holds {len(parts):,} events; {limit:,} are taken at once. Send it in parts."
        raise TooLarge(text, "capture-limit")
    context = own_context(around["@context"])
    latest = now + AHEAD
    reads, left = [], MOST_FLAWS
    for place, part in enumerate(parts):
        read = _read(place, bytes(part), context, f"{_EVENTS}/{place}", latest)
        # Of each event that is wrong one flaw is told, at least.
        kept = read.flaws[: max(1, left)]
        left -= len(kept)
        reads.append(msgspec.structs.replace(read, flaws=kept) if len(kept) < len(read.flaws) else read)
    return reads


def _taken_apart(body: bytes) -> tuple[dict[str, Any], list[msgspec.Raw]]:
    """The document without its events, and these. What is no list of events stays in the document."""
    around, parts = strict.members(body), list[msgspec.Raw]()
    held = around.get("epcisBody")
    if held is None or not strict.is_object(held):
        return _small(around), parts
    inner = strict.members(bytes(around.pop("epcisBody")))
    listed = inner.get("eventList")
    if listed is not None and strict.is_list(listed):
        parts = strict.elements(bytes(listed))
        inner["eventList"] = msgspec.Raw(b"[]")
    return _small(around) | {"epcisBody": _small(inner)}, parts


def _small(members: dict[str, msgspec.Raw]) -> dict[str, Any]:
    if len(members) > _MOST_MEMBERS:
        text = f"The document has {len(members):,} members beside its events; {_MOST_MEMBERS:,} are taken."
        raise TooLarge(text, "document-too-large")
    return {name: _member(name, bytes(raw)) for name, raw in members.items()}


def _member(name: str, text: bytes) -> Any:
    if len(text) > MOST_OF_AN_EVENT:
        sentence = f"The member '{shown(name)}' has {len(text):,} bytes; {MOST_OF_AN_EVENT:,} are taken."
        raise TooLarge(sentence, "member-too-large")
    return strict.value(text)


def read_alone(body: bytes, now: datetime) -> Read:
    """One event that came without a document. Raises Invalid with every flaw, and as `strict.value` does."""
    value = strict.value(body)
    flaws: list[Flaw] = []
    read = Read(0, body.strip(), read_event(value, "", flaws, now + AHEAD), tuple(flaws))
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


def _read(place: int, raw: bytes, context: tuple[Any, ...], at: str, latest: datetime) -> Read:
    flaws: list[Flaw] = []
    try:
        event = read_event(_value(raw), at, flaws, latest)
    except Invalid as error:
        event = None
        flaws += error.flaws or (Flaw(error.detail, code=error.code),)
        flaws = [Flaw(flaw.detail, at + flaw.pointer, flaw.code) for flaw in flaws]
    return Read(place, raw, event, tuple(flaws), context)


def _value(raw: bytes) -> Any:
    if len(raw) > MOST_OF_AN_EVENT:
        sentence = (
            f"The event has {len(raw):,} bytes; {MOST_OF_AN_EVENT:,} are taken. Send its EPCs in several."
        )
        raise Invalid(sentence, "event-too-large")
    return strict.value(raw)


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
