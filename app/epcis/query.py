"""Finds events as EPCIS asks for them: by when, what, where and why, in pages.

Parameters go by the names of the standard; several values of one stand with '|' between them, one of which must
match. Identifiers, words and places match in whatever form they are given; IMEIs and SSCCs as bare digits too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from app.access.roles import Permission, Principal
from app.core import imei
from app.core.db import Connection
from app.core.errors import Flaw, Invalid, Missing
from app.core.imei import shown
from app.core.sql import queries
from app.epcis import identity, words
from app.epcis.events import Action
from app.epcis.identity import Epc
from app.epcis.members import moment, no_time
from app.epcis.words import DISPOSITIONS, STEPS, Vocabulary

_SQL = queries("epcis")
_BARE_IMEI, _BARE_SSCC = re.compile(r"[0-9]{15}\Z"), re.compile(r"[0-9]{18}\Z")
_TYPES = ("ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, as it is asked; None where it does not matter."""

    event_type: str | None = None
    time_from: str | None = None
    time_to: str | None = None
    record_from: str | None = None
    record_to: str | None = None
    action: str | None = None
    step: str | None = None
    disposition: str | None = None
    persists: str | None = None
    ceases: str | None = None
    read_point: str | None = None
    location: str | None = None
    epc: str | None = None
    parent: str | None = None
    any_epc: str | None = None
    event_id: str | None = None
    errors_only: bool = False


class Page(msgspec.Struct, frozen=True):
    """Events as they are kept, oldest first; `last` is the number of the last, None where none follow it."""

    events: list[str]
    last: int | None


async def find(conn: Connection, actor: Principal, wanted: Wanted, *, after: int, limit: int) -> Page:
    """A page of events after event number `after`. Raises Forbidden; Invalid with a flaw for each parameter."""
    actor.require(Permission.RECEIPTS_READ)
    rows = await conn.fetch(_SQL.events, after, limit + 1, *_conditions(wanted))
    more = len(rows) > limit
    return Page([row["body"] for row in rows[:limit]], rows[limit - 1]["event_no"] if more else None)


async def find_one(conn: Connection, actor: Principal, event_id: str) -> str:
    """One event as it is kept. Raises Missing, Forbidden."""
    actor.require(Permission.RECEIPTS_READ)
    found: str | None = await conn.fetchval(_SQL.event, event_id)
    if found is None:
        raise Missing(f"There is no event '{shown(event_id, 200)}'.")
    return found


def _conditions(wanted: Wanted) -> list[Any]:
    """The parameters of the statement, in their order."""
    flaws: list[Flaw] = []

    def each(name: str, value: str | None, read: Callable[[str], list[str]]) -> list[str] | None:
        found: list[str] = []
        for part in () if value is None else value.split("|"):
            try:
                found += read(part)
            except ValueError as error:
                flaws.append(Flaw(str(error), name, "parameter-wrong"))
        return None if value is None else found

    def time(name: str, value: str | None) -> datetime | None:
        found = moment(value or "")
        if value is not None and found is None:
            flaws.append(Flaw(no_time(value), name, "parameter-wrong"))
        return found

    conditions = [
        each("eventType", wanted.event_type, _one_of(_TYPES)),
        time("GE_eventTime", wanted.time_from),
        time("LT_eventTime", wanted.time_to),
        time("GE_recordTime", wanted.record_from),
        time("LT_recordTime", wanted.record_to),
        each("EQ_action", wanted.action, _one_of(tuple(Action))),
        each("EQ_bizStep", wanted.step, _word(STEPS)),
        each("EQ_disposition", wanted.disposition, _word(DISPOSITIONS)),
        each("EQ_persistentDisposition_set", wanted.persists, _word(DISPOSITIONS)),
        each("EQ_persistentDisposition_unset", wanted.ceases, _word(DISPOSITIONS)),
        each("EQ_readPoint", wanted.read_point, lambda part: [identity.site(part)]),
        each("EQ_bizLocation", wanted.location, lambda part: [identity.site(part)]),
        each("MATCH_epc", wanted.epc, _names),
        each("MATCH_parentID", wanted.parent, _names),
        each("MATCH_anyEPC", wanted.any_epc, _names),
        each("EQ_eventID", wanted.event_id, lambda part: [part]),
        wanted.errors_only,
    ]
    if flaws:
        where = "; ".join(f"{flaw.pointer}: {flaw.detail}" for flaw in flaws)
        raise Invalid(f"The query cannot be read: {where}", "query-wrong", tuple(flaws))
    return conditions


def _one_of(right: tuple[str, ...]) -> Callable[[str], list[str]]:
    def read(part: str) -> list[str]:
        if part not in right:
            raise ValueError(f"'{shown(part)}' would be one of {', '.join(right)}.")
        return [part]

    return read


def _word(vocabulary: Vocabulary) -> Callable[[str], list[str]]:
    def read(part: str) -> list[str]:
        found = words.word(part, vocabulary)
        if found is None:
            raise ValueError(f"'{shown(part)}' is no {vocabulary.noun} of CBV 2.0, and no URI of another.")
        return [found]

    return read


def _names(part: str) -> list[str]:
    if part.startswith("urn:epc:idpat:"):
        raise ValueError(f"'{shown(part)}' is a pattern; ask for the EPCs themselves.")
    if _BARE_IMEI.match(part):
        return list(Epc(part, imei=imei.written(part)).names)
    if _BARE_SSCC.match(part):
        return list(Epc(part, pallet=part).names)
    return list(identity.epc(part).names)
