"""Incidents over HTTP: draft, submit, approve or reject, withdraw, lift, and watch."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent

from app.access.roles import Permission, Principal
from app.api import body
from app.api.caller import bearer
from app.api.doing import Doing
from app.api.notes import Notes
from app.api.once import Once
from app.api.problems import AnyRequest
from app.api.receipts import Cursor, Limit
from app.api.watchers import Watchers
from app.core.config import Settings
from app.core.db import Connection
from app.core.reach import Sight
from app.delivery import partners
from app.delivery.progress import Refusal, Standing, refusals
from app.incidents import decide, emergency, guards, incident
from app.incidents.assent import Seen
from app.incidents.decide import Draft
from app.incidents.emergency import Review
from app.incidents.guards import Submission
from app.incidents.incident import Claims, Incident, Report, Summary, report
from app.incidents.lift import Lifted
from app.incidents.preview import Preview
from app.incidents.scope import Scope
from app.proposals.goods import Lift, Withdraw
from app.proposals.proposal import Proposal

_IN_STATE = "Only those in this state: draft, submitted, approved, closed, rejected or withdrawn."
_QUOTED = "Only the one of this reference, which carriers are given to quote: IG-…"
_NOT_HELD = "The incident is not approved, or holds nothing of what the scope names; nothing was lifted."
_WRONG_STATE = "The incident is not in a state in which this can be done."
_UNUSUAL = (
    f"{_WRONG_STATE} Or it is unlike the usual (`unusual`): what its warnings tell is not acknowledged; or nothing is"
    " left of it (`incident-empty`)."
)


class DraftAnswer(msgspec.Struct, frozen=True):
    """A draft and what it would do; nothing is claimed until it is submitted."""

    id: int
    state: str
    preview: Preview


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why; it stays on the record."""

    reason: str


class LiftQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was recovered."""

    scope: Scope


class IncidentPage(msgspec.Struct, frozen=True):
    """The newest incidents first; `next` is the cursor of the next page, null on the last."""

    incidents: list[Summary]
    next: str | None


class IncidentAnswer(Incident, frozen=True):
    """An incident, what it holds, and where each partner stands. `settled`: every partner has given its last word.
    `sightings`: how many there were of its devices; 10,000 means that there may be more."""

    claims: Claims
    partners: list[Standing]
    settled: bool
    sightings: int


class RefusalPage(msgspec.Struct, frozen=True):
    """A page of refusals; `next` is the cursor of the next page, null on the last."""

    refusals: list[Refusal]
    next: str | None


def _answer(found: Report) -> IncidentAnswer:
    fields = msgspec.structs.asdict(found.incident)
    follows = {name: getattr(found, name) for name in ("claims", "partners", "settled", "sightings")}
    return IncidentAnswer(**fields, **follows)


@post(
    "/",
    operation_id="draftIncident",
    summary="Draft an incident",
    request_max_body_size=body.SCOPE,
    opt=Notes(needs=Permission.INCIDENTS_WRITE).opt,
)
async def draft(
    said: NamedDependency[Draft],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Response[DraftAnswer]:
    """Shows what the scope comes to: devices, identifiers, value, what is unknown, what is claimed elsewhere, what is
    left out, and what is unlike the usual. Nothing is claimed yet."""

    async def work(conn: Connection) -> DraftAnswer:
        made = await decide.draft(conn, actor, said, now, guards.bounds(settings))
        return DraftAnswer(made.id, "draft", made.preview)

    return await once(work, location=lambda made: f"/v1/incidents/{made.id}")


@get("/", operation_id="listIncidents", summary="List incidents")
async def search(
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    in_state: Annotated[str | None, QueryParameter(name="state", description=_IN_STATE)] = None,
    reference: Annotated[str | None, QueryParameter(description=_QUOTED)] = None,
    limit: Limit = 100,
    before: Cursor = 0,
) -> IncidentPage:
    async with sight.acquire() as conn:
        found = await incident.latest(
            conn, actor, before=before or None, state=in_state, limit=limit, reference=reference
        )
    return IncidentPage(found, str(found[-1].id) if len(found) == limit else None)


@get("/{incident_id:int}", operation_id="readIncident", summary="Read an incident and its progress")
async def one(
    incident_id: FromPath[int], actor: NamedDependency[Principal], sight: NamedDependency[Sight]
) -> IncidentAnswer:
    async with sight.acquire() as conn, conn.transaction():
        return _answer(await report(conn, actor, incident_id))


@post(
    "/{incident_id:int}/submit",
    operation_id="submitIncident",
    status_code=200,
    summary="Submit a draft for approval",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_UNUSUAL, needs=Permission.INCIDENTS_WRITE, bare=True).opt,
)
async def submit(
    *,
    incident_id: FromPath[int],
    said: NamedDependency[Submission],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Response[Incident]:
    """Freezes what the scope names now, without what was sold by now (unless it says `include_sold`) and what is
    golden; every identifier of it is answered `suspect` from here on. Warnings of the preview whose `acknowledge` is
    true are acknowledged by their codes, and the approver is shown that. The body may be left out."""
    return await once(
        lambda conn: decide.submit(conn, actor, incident_id, now, said, guards.bounds(settings))
    )


@post(
    "/{incident_id:int}/approve",
    operation_id="approveIncident",
    status_code=200,
    summary="Approve, as the second person",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_WRONG_STATE, needs=Permission.INCIDENTS_APPROVE, bare=True).opt,
)
async def approve(
    incident_id: FromPath[int],
    said: NamedDependency[Seen],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Incident]:
    """With the last approval that it takes, everything that was frozen is blocked; until then the incident stays
    `submitted`, and says who has approved it (`assents`) and what is demanded. 403 for whoever submitted it, 409 where
    it is not what he has seen (`frozen`) or its time is over. The body may be left out."""
    return await once(lambda conn: decide.approve(conn, actor, incident_id, now, said.frozen))


@post(
    "/{incident_id:int}/break-glass",
    operation_id="breakGlass",
    status_code=200,
    summary="Block at once, alone, as an emergency",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_WRONG_STATE, needs=Permission.INCIDENTS_BREAK_GLASS).opt,
)
async def break_glass(
    *,
    incident_id: FromPath[int],
    said: NamedDependency[Reason],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Response[Incident]:
    """Everybody is alerted, and somebody else reviews it in time. Whoever has one unreviewed breaks no other."""
    hours = settings.review_hours
    return await once(lambda conn: emergency.break_glass(conn, actor, incident_id, said.reason, hours, now))


@post(
    "/{incident_id:int}/review",
    operation_id="reviewIncident",
    status_code=200,
    summary="Review an emergency, as the second person",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_WRONG_STATE, needs=Permission.INCIDENTS_APPROVE).opt,
)
async def review(
    incident_id: FromPath[int],
    said: NamedDependency[Review],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Incident]:
    """`upheld` leaves it as it is; `reversed` releases all of it at once."""
    return await once(lambda conn: emergency.review(conn, actor, incident_id, said, now))


@post(
    "/{incident_id:int}/reject",
    operation_id="rejectIncident",
    status_code=200,
    summary="Reject, as the second person",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_WRONG_STATE, needs=Permission.INCIDENTS_APPROVE).opt,
)
async def reject(
    incident_id: FromPath[int],
    said: NamedDependency[Reason],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Incident]:
    return await once(lambda conn: decide.reject(conn, actor, incident_id, said.reason, now))


@post(
    "/{incident_id:int}/withdraw",
    operation_id="withdrawIncident",
    status_code=200,
    summary="Take an incident back",
    request_max_body_size=body.FEW,
    opt=Notes(conflict=_WRONG_STATE, needs=Permission.INCIDENTS_WRITE, proposes=True).opt,
)
async def withdraw(
    incident_id: FromPath[int],
    said: NamedDependency[Reason],
    doing: NamedDependency[Doing],
    once: NamedDependency[Once],
) -> Response[Incident | Proposal]:
    """At once, in any state before its end; what was blocked for it alone is released. Some time after its approval
    (an hour, if nothing else is set) others approve it, as the rules for releasing devices say."""
    return await once(lambda conn: doing(conn, Withdraw(incident_id, said.reason)))


@post(
    "/{incident_id:int}/lift",
    operation_id="liftDevices",
    status_code=200,
    summary="Release recovered devices",
    request_max_body_size=body.SCOPE,
    opt=Notes(conflict=_NOT_HELD, needs=Permission.INCIDENTS_LIFT, proposes=True).opt,
)
async def recover(
    incident_id: FromPath[int],
    said: NamedDependency[LiftQuestion],
    doing: NamedDependency[Doing],
    once: NamedDependency[Once],
) -> Response[Lifted | Proposal]:
    """Releases what the scope names and no other incident holds. A device comes with all its identifiers. As many
    others approve it as the rules say."""
    return await once(lambda conn: doing(conn, Lift(incident_id, said.scope)))


@get(
    "/{incident_id:int}/refusals/{partner_id:int}",
    operation_id="listRefusals",
    summary="What a partner refused, in its own words, and what was given up",
)
async def refused(
    incident_id: FromPath[int],
    partner_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    limit: Limit = 1000,
    after: Cursor = 0,
) -> RefusalPage:
    actor.require(Permission.INCIDENTS_READ)
    async with sight.acquire() as conn:
        await incident.find(conn, actor, incident_id)
        await partners.find(conn, partner_id)
        found = await refusals(conn, incident_id, partner_id, after=after, limit=limit)
    return RefusalPage(found, str(found[-1].refusal) if len(found) == limit else None)


@get(
    "/{incident_id:int}/events",
    operation_id="watchIncident",
    summary="Watch an incident (server-sent events)",
    opt=Notes(answer="text/event-stream").opt,
)
async def events(
    request: AnyRequest,
    incident_id: FromPath[int],
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    watchers: NamedDependency[Watchers],
) -> ServerSentEvent:
    """`progress` events with the incident's answer, without its scope and preview, whenever it changes, twice a
    second at most; `settled` once every partner has given its last word, and the stream ends. It ends without
    that when the key is revoked, or the token is over. A comment comes while nothing changes."""
    async with sight.acquire() as conn:
        await incident.find(conn, actor, incident_id)
    return ServerSentEvent(watchers.told(bearer(request), actor, incident_id))


router = Router(
    "/v1/incidents",
    route_handlers=[
        draft,
        search,
        one,
        submit,
        approve,
        break_glass,
        review,
        reject,
        withdraw,
        recover,
        refused,
        events,
    ],
    tags=["Incidents"],
)
