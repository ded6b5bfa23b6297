"""Capture: a document of events is taken in, a worker stores them, and the job tells how it went."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime

import msgspec
from litestar import Response, get, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.access.roles import Permission, Principal
from app.api import body
from app.api.dialects.epcis import speech
from app.api.dialects.epcis.paging import NextPageToken, PerPage, next_page
from app.api.notes import Notes
from app.api.once import Once
from app.api.problems import AnyRequest, Problem
from app.core.config import Settings
from app.core.reach import Sight
from app.epcis import capture
from app.epcis.document import read_document
from app.epcis.store import Behaviour, Capture, Failure

_READING = Notes(headers=speech.RANGE_HEADERS, unacceptable=speech.UNACCEPTABLE)


class CaptureJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a capture goes: `running` until it is finished, `success` until something failed."""

    capture_id: str = msgspec.field(name="captureID")
    created_at: datetime = msgspec.field(name="createdAt")
    running: bool
    success: bool
    behaviour: Behaviour = msgspec.field(name="captureErrorBehaviour")
    errors: list[Problem]
    finished_at: datetime | None = msgspec.field(name="finishedAt", default=None)


@post(
    "/capture",
    operation_id="captureEvents",
    summary="Capture events",
    status_code=202,
    request_max_body_size=None,
    opt=Notes(
        body=True,
        headers=(*speech.VERSION_HEADERS, speech.BEHAVIOUR_HEADER),
        unacceptable=speech.UNACCEPTABLE,
    ).opt,
)
async def submit(
    request: AnyRequest,
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Response[None]:
    """An EPCISDocument (`application/json`, `application/ld+json`). Its events are stored soon after; the job at
    `Location` tells when and how. Under `rollback` a document with a flaw is refused at once, with every flaw of
    every event; under `proceed` the job names the events that had flaws. An event that is stored already changes
    nothing, so the same document may be sent again."""
    actor.require(Permission.RECEIPTS_WRITE)
    behaviour = speech.behaviour(request)
    raw = await body.text(request, settings.epcis_file_size_limit)
    reads = await asyncio.to_thread(read_document, raw, settings.epcis_capture_limit, now)
    digest = hashlib.sha256(raw).digest()
    return await once.located(
        lambda conn: capture.accept(conn, actor, reads, behaviour=behaviour, digest=digest, now=now),
        lambda capture_id: f"/epcis/capture/{capture_id}",
    )


@route(
    "/capture",
    http_method=["OPTIONS"],
    operation_id="discoverCapture",
    summary="What capture takes",
    status_code=204,
    opt=Notes(unacceptable=speech.UNACCEPTABLE).opt,
)
async def discover(actor: NamedDependency[Principal], settings: NamedDependency[Settings]) -> Response[None]:
    """In headers: the versions that are spoken, the most events and bytes of a capture, and that both error
    behaviours are known."""
    actor.require(Permission.RECEIPTS_READ)
    versions = {f"GS1-{standard}-{end}": "2.0" for standard in ("EPCIS", "CBV") for end in ("Min", "Max")}
    told = {"Allow": "GET, OPTIONS, POST", speech.BEHAVIOUR: "all", speech.FORMAT: "Never_Translates"}
    return Response(None, status_code=204, headers=versions | speech.limits(settings) | told)


@get("/capture", operation_id="listCaptures", summary="List captures", opt=_READING.opt)
async def jobs(
    *,
    request: AnyRequest,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    now: NamedDependency[datetime],
    limit: PerPage = 30,
    before: NextPageToken = None,
) -> Response[list[CaptureJob]]:
    """Newest first. The `Link` header leads to the next page; the last has none."""
    async with sight.acquire() as conn:
        found = await capture.latest(conn, actor, before=before, limit=limit + 1)
    last = found[limit - 1].capture_id if len(found) > limit else None
    return Response([_job(one) for one in found[:limit]], headers=next_page(request, last, now))


@get("/capture/{capture_id:int}", operation_id="readCapture", summary="How a capture goes", opt=_READING.opt)
async def job(
    capture_id: FromPath[int], actor: NamedDependency[Principal], sight: NamedDependency[Sight]
) -> CaptureJob:
    """Under `rollback` a job without success stored nothing; under `proceed`, all but the events in `errors`."""
    async with sight.acquire() as conn:
        return _job(await capture.find(conn, actor, capture_id))


def _job(found: Capture) -> CaptureJob:
    return CaptureJob(
        capture_id=str(found.capture_id),
        created_at=found.created_at,
        finished_at=found.finished_at,
        running=found.finished_at is None,
        success=not found.failures,
        behaviour=found.behaviour,
        errors=[_problem(failure) for failure in found.failures],
    )


def _problem(failure: Failure) -> Problem:
    status, title = (500, "Something failed") if failure.ours else (400, "The event is wrong")
    problem = Problem(title, status, failure.detail, failure.code, errors=failure.flaws)
    problem.type = speech.kind(problem)
    return problem
