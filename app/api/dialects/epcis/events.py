"""Events: one is stored at once, and all are asked for by the query parameters of EPCIS 2.0."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, unquote

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from app.access.roles import Permission, Principal
from app.api import body
from app.api.dialects.epcis import speech
from app.api.dialects.epcis.paging import NextPageToken, PerPage, next_page
from app.api.notes import Notes
from app.api.once import Once
from app.api.problems import AnyRequest
from app.core.config import Settings
from app.core.reach import Sight
from app.devices.register import MET_ANOTHER
from app.epcis import capture, query
from app.epcis.carry import Carry
from app.epcis.document import MOST_OF_AN_EVENT, STANDARD_CONTEXT, read_alone
from app.epcis.members import written
from app.epcis.query import Wanted

PATH = "/epcis/events/"
_READING = (*speech.RANGE_HEADERS, speech.FORMAT_HEADER)


class ResultsBody(msgspec.Struct, frozen=True):
    events: list[msgspec.Raw] = msgspec.field(name="eventList")


class QueryResults(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="queryName")
    body: ResultsBody = msgspec.field(name="resultsBody")


class QueryBody(msgspec.Struct, frozen=True):
    results: QueryResults = msgspec.field(name="queryResults")


class EpcisQueryDocument(msgspec.Struct, frozen=True):
    """A page of events, oldest first by the time at which they were stored."""

    context: list[str] = msgspec.field(name="@context")
    type: str
    version: str = msgspec.field(name="schemaVersion")
    created: str = msgspec.field(name="creationDate")
    body: QueryBody = msgspec.field(name="epcisBody")


@post(
    "/events",
    operation_id="captureEvent",
    summary="Capture one event",
    status_code=201,
    request_max_body_size=None,
    opt=Notes(
        body=True,
        headers=speech.VERSION_HEADERS,
        conflict="The identity of the event stands for another event already.",
        unacceptable=speech.UNACCEPTABLE,
    ).opt,
)
async def submit(
    request: AnyRequest,
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    carry: NamedDependency[Carry],
    now: NamedDependency[datetime],
) -> Response[None]:
    """One event, which is stored when the answer comes and stands at `Location`. One that is stored already
    changes nothing. Its time may be up to five minutes ahead, as clocks are; only a declaration of error may repeat
    one that is more."""
    actor.require(Permission.RECEIPTS_WRITE)
    raw = await body.text(request, min(settings.epcis_file_size_limit, MOST_OF_AN_EVENT))
    read = await asyncio.to_thread(read_alone, raw, now)
    digest = hashlib.sha256(raw).digest()
    return await once.located(
        lambda conn: capture.capture_alone(conn, actor, read, carry, digest=digest, now=now),
        lambda event_id: PATH + quote(event_id, safe=":"),
        also=MET_ANOTHER,
    )


def _named(name: str, description: str = "One value, or several with `|` between them.") -> QueryParameter:
    return QueryParameter(name=name, description=description)


_TIME = "A time with its zone."
_EPC = "EPCs in any form, or the bare digits of IMEIs and SSCCs, with `|` between several."


@get(
    "/events",
    operation_id="queryEvents",
    summary="Query events",
    opt=Notes(headers=_READING, form=EpcisQueryDocument, unacceptable=speech.UNACCEPTABLE).opt,
)
async def ask(
    *,
    request: AnyRequest,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    now: NamedDependency[datetime],
    event_type: Annotated[str | None, _named("eventType")] = None,
    time_from: Annotated[str | None, _named("GE_eventTime", _TIME)] = None,
    time_to: Annotated[str | None, _named("LT_eventTime", _TIME)] = None,
    record_from: Annotated[str | None, _named("GE_recordTime", _TIME)] = None,
    record_to: Annotated[str | None, _named("LT_recordTime", _TIME)] = None,
    action: Annotated[str | None, _named("EQ_action")] = None,
    step: Annotated[str | None, _named("EQ_bizStep")] = None,
    disposition: Annotated[str | None, _named("EQ_disposition")] = None,
    persists: Annotated[str | None, _named("EQ_persistentDisposition_set")] = None,
    ceases: Annotated[str | None, _named("EQ_persistentDisposition_unset")] = None,
    read_point: Annotated[str | None, _named("EQ_readPoint")] = None,
    location: Annotated[str | None, _named("EQ_bizLocation")] = None,
    epc: Annotated[str | None, _named("MATCH_epc", _EPC)] = None,
    parent: Annotated[str | None, _named("MATCH_parentID", _EPC)] = None,
    any_epc: Annotated[str | None, _named("MATCH_anyEPC", _EPC)] = None,
    event_id: Annotated[str | None, _named("EQ_eventID")] = None,
    errors_only: Annotated[bool, _named("EXISTS_errorDeclaration", "Only declarations of errors.")] = False,
    limit: PerPage = 30,
    after: NextPageToken = None,
) -> Response[Any]:
    """Every parameter that is given must hold. `MATCH_epc` looks among the EPCs and the children of an event,
    `MATCH_anyEPC` among parents, inputs and outputs too. The `Link` header leads to the next page; the last has
    none. EPCs come as they were captured."""
    wanted = Wanted(
        event_type=event_type, time_from=time_from, time_to=time_to, record_from=record_from, record_to=record_to,
        action=action, step=step, disposition=disposition, persists=persists, ceases=ceases, read_point=read_point,
        location=location, epc=epc, parent=parent, any_epc=any_epc, event_id=event_id, errors_only=errors_only,
    )  # fmt: skip
    async with sight.acquire() as conn:
        page = await query.find(conn, actor, wanted, after=after or 0, limit=limit)
    events = [msgspec.Raw(event.encode()) for event in page.events]
    results = QueryResults("SimpleEventQuery", ResultsBody(events))
    document = EpcisQueryDocument(
        [STANDARD_CONTEXT], "EPCISQueryDocument", "2.0", written(now), QueryBody(results)
    )
    return _json(document, next_page(request, page.last, now))


@get(
    "/events/{event_id:path}",
    operation_id="readEvent",
    summary="Read one event",
    opt=Notes(
        headers=_READING,
        form=dict[str, Any],
        missing="There is no event of that identity.",
        unacceptable=speech.UNACCEPTABLE,
    ).opt,
)
async def one(
    request: AnyRequest,
    event_id: Annotated[str, PathParameter(description="Its eventID, percent-encoded.")],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
) -> Response[Any]:
    """The event as it came, with `eventID` and `recordTime`. Where it was declared wrong, the declaration."""
    async with sight.acquire() as conn:
        found = await query.find_one(conn, actor, _identity(request))
    members = msgspec.json.decode(found, type=dict[str, msgspec.Raw])
    context = {"@context": msgspec.Raw(msgspec.json.encode([STANDARD_CONTEXT]))}
    return _json(context | members, {})


def _identity(request: AnyRequest) -> str:
    """The identity as it was sent: a path that was decoded first has lost slashes that belong to it."""
    raw: bytes = request.scope["raw_path"]
    return unquote(raw.decode("ascii", "replace").removeprefix(PATH))


def _json(value: object, headers: dict[str, str]) -> Response[bytes]:
    told = {speech.FORMAT: "Never_Translates", **headers}
    return Response(msgspec.json.encode(value), media_type="application/json", headers=told)
