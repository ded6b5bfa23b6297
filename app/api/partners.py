"""Partners over HTTP: who they are, what they are told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.access.roles import Permission, Principal
from app.adapters import registry
from app.adapters.contract import Kind
from app.api.confirmations import confirmations
from app.api.doing import Doing
from app.api.notes import Notes
from app.api.once import Once
from app.api.trials import try_out
from app.core.db import Connection, Pool
from app.delivery import again, asking, partners, tls
from app.delivery.again import Again, Replay
from app.delivery.comparing import Reconciled
from app.delivery.partners import Limits, Partner
from app.delivery.progress import Outstanding, outstanding
from app.delivery.scope import PartnerScope
from app.proposals.partners import AddPartner, ChangePartner, NewPartner, PartnerChange, RemovePartner
from app.proposals.proposal import Proposal

# Tens of thousands of TACs.
_MOST_SAID = 2**20
_TAKEN = "A partner of this name exists already."
_FIXED = "What a partner is told of can only grow, or this partner was removed."
_GONE = "This partner was removed."
_HOLDING = "This partner holds blocks that nobody could release any more, or was removed already."
_MUTE = "Partners of this adapter cannot be asked what they hold, or this one was removed."


class TlsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """TLS with one partner, in PEM. `expires_at` is the end of our certificate."""

    ca: str = ""
    certificate: str = ""
    private_key: str = ""
    expires_at: datetime | None = None


class PartnerAnswer(msgspec.Struct, frozen=True):
    """One partner. Secrets among its settings, and its private key, are never shown. Over all incidents, `pending`
    counts the identifiers that it is still to be told, `parked` those that were given up until somebody has them told
    again, `refused` those that it refused, `accepted` those that wait for its word. `health` is `paused`, `failing`,
    `parked`, `resting` or `working`, the first that is true; `note` says why, and what to do."""

    id: int
    name: str
    adapter: str
    settings: dict[str, Any]
    scope: PartnerScope
    limits: Limits
    paused: bool
    pause_reason: str
    health: str
    last_fault: str
    note: str
    pending: int
    parked: int
    refused: int
    accepted: int
    created_at: datetime
    reconciled: Reconciled | None
    """What came of asking it what it holds, when that was done last."""
    allow_private: bool
    tls: TlsAnswer


class PartnerList(msgspec.Struct, frozen=True):
    partners: list[PartnerAnswer]


class AdapterAnswer(msgspec.Struct, frozen=True):
    """One kind of adapter, and the JSON schema of its settings."""

    kind: str
    title: str
    kinds: list[Kind]
    enrols: bool
    settings: dict[str, Any]


class AdapterList(msgspec.Struct, frozen=True):
    adapters: list[AdapterAnswer]


def _answer(partner: Partner, left: Outstanding) -> PartnerAnswer:
    ours = ("settings", "tls", "health", "note", "reconciled", *Outstanding.__struct_fields__)
    fields = {name: getattr(partner, name) for name in PartnerAnswer.__struct_fields__ if name not in ours}
    fields |= {**msgspec.structs.asdict(left), "health": left.health(partner), "note": left.note(partner)}
    reconciled = msgspec.convert(partner.reconciled, Reconciled | None)
    spoken = TlsAnswer(**tls.public(partner.tls))
    return PartnerAnswer(**fields, settings=partner.public, tls=spoken, reconciled=reconciled)


async def _shown(conn: Connection, partner: Partner | Proposal) -> PartnerAnswer | Proposal:
    if isinstance(partner, Proposal):
        return partner
    return _answer(partner, (await outstanding(conn, partner.id))[partner.id])


@get("/", operation_id="listPartners", summary="List partners")
async def everyone(actor: NamedDependency[Principal], pool: NamedDependency[Pool]) -> PartnerList:
    actor.require(Permission.PARTNERS_READ)
    async with pool.acquire(timeout=10) as conn:
        left = await outstanding(conn)
        return PartnerList([_answer(partner, left[partner.id]) for partner in await partners.everyone(conn)])


@get("/{partner_id:int}", operation_id="readPartner", summary="Read a partner")
async def one(
    partner_id: FromPath[int], actor: NamedDependency[Principal], pool: NamedDependency[Pool]
) -> PartnerAnswer:
    actor.require(Permission.PARTNERS_READ)
    async with pool.acquire(timeout=10) as conn:
        found = await partners.find(conn, partner_id)
        return _answer(found, (await outstanding(conn, partner_id))[partner_id])


@post(
    "/",
    operation_id="addPartner",
    summary="Add a partner",
    request_max_body_size=_MOST_SAID,
    opt=Notes(conflict=_TAKEN, needs=Permission.PARTNERS_WRITE, proposes=True).opt,
)
async def add(
    said: NamedDependency[NewPartner], doing: NamedDependency[Doing], once: NamedDependency[Once]
) -> Response[PartnerAnswer | Proposal]:
    """It is told of everything that is decided from then on."""

    async def work(conn: Connection) -> PartnerAnswer | Proposal:
        return await _shown(conn, await doing(conn, AddPartner(said)))

    return await once(work, location=lambda added: f"/v1/partners/{added.id}")


@patch(
    "/{partner_id:int}",
    operation_id="changePartner",
    summary="Change, pause or resume a partner",
    request_max_body_size=_MOST_SAID,
    opt=Notes(conflict=_FIXED, needs=Permission.PARTNERS_WRITE, proposes=True).opt,
)
async def change(
    partner_id: FromPath[int],
    said: NamedDependency[PartnerChange],
    doing: NamedDependency[Doing],
    once: NamedDependency[Once],
) -> Response[PartnerAnswer | Proposal]:
    """To pause or to resume it takes nobody else."""

    async def work(conn: Connection) -> PartnerAnswer | Proposal:
        return await _shown(conn, await doing(conn, ChangePartner(partner_id, said)))

    return await once(work)


@post(
    "/{partner_id:int}/replay",
    operation_id="replayPartner",
    status_code=200,
    summary="Have a partner told again",
    opt=Notes(conflict=_GONE, needs=Permission.PARTNERS_WRITE).opt,
)
async def replay(
    partner_id: FromPath[int],
    said: NamedDependency[Replay],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Again]:
    """Of what it refused, what was given up, or all that it was told: of an incident, or ordered in a span of time.
    Each identifier as it stands now; what the partner is still to be told anyway is not ordered twice."""
    actor.require(Permission.PARTNERS_WRITE)
    return await once(lambda conn: again.replay(conn, actor, partner_id, said, now))


@post(
    "/{partner_id:int}/resync",
    operation_id="resyncPartner",
    status_code=200,
    summary="Bring a partner up to date",
    opt=Notes(conflict=_GONE, needs=Permission.PARTNERS_WRITE).opt,
)
async def resync(
    partner_id: FromPath[int],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[Again]:
    """For one that was added late, or restored from a backup: it is told all that is blocked now, and all that was
    released since it was added."""
    actor.require(Permission.PARTNERS_WRITE)
    return await once(lambda conn: again.resync(conn, actor, partner_id, now))


@post(
    "/{partner_id:int}/reconcile",
    operation_id="reconcilePartner",
    status_code=202,
    summary="Ask a partner what it holds",
    opt=Notes(conflict=_MUTE, needs=Permission.PARTNERS_WRITE).opt,
)
async def reconcile(
    partner_id: FromPath[int],
    actor: NamedDependency[Principal],
    once: NamedDependency[Once],
    now: NamedDependency[datetime],
) -> Response[None]:
    """A worker asks it, and it is told again what it should hold and does not, or holds and should not. What came of
    it stands in `reconciled` of the partner. This happens every day by itself. One that cannot be asked, but takes
    whole lists, is given one, only now, in place of all that its list holds."""
    actor.require(Permission.PARTNERS_WRITE)
    return await once(lambda conn: asking.reconcile(conn, actor, partner_id, now))


@delete(
    "/{partner_id:int}",
    operation_id="removePartner",
    status_code=204,
    summary="Remove a partner",
    opt=Notes(conflict=_HOLDING, needs=Permission.PARTNERS_WRITE, proposes=True).opt,
)
async def remove(
    partner_id: FromPath[int],
    doing: NamedDependency[Doing],
    once: NamedDependency[Once],
    leave_blocks: FromQuery[bool] = False,
) -> Response[None]:
    """It is told nothing any more, and its settings are forgotten; what it was told stays on record. While it holds
    blocks of incidents that are in force it is only removed if they are to be left there (`leave_blocks=true`):
    nobody would tell it of their release."""
    return await once(lambda conn: doing(conn, RemovePartner(partner_id, leave_blocks)))


@get("/v1/adapters", operation_id="listAdapters", summary="List the kinds of adapters", tags=["Partners"])
async def kinds(actor: NamedDependency[Principal]) -> AdapterList:
    """Each with the JSON schema of its settings, as installed here: ours and third parties'."""
    actor.require(Permission.PARTNERS_READ)
    return AdapterList(
        [
            AdapterAnswer(kind, it.title, sorted(it.kinds), it.enrols, msgspec.json.schema(it.settings))
            for kind, it in sorted(registry.adapters().items())
        ]
    )


router = Router(
    "/v1/partners",
    route_handlers=[everyone, one, add, change, remove, try_out, replay, resync, reconcile, confirmations],
    tags=["Partners"],
)
