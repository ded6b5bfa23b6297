"""What every route is handed: who asks, the database, the time; and the way into a transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from litestar.di import NamedDependency, Provide

from app.access.bearers import Doorman
from app.access.roles import Permission, Principal
from app.api import body, notes
from app.api.allowance import Allowance
from app.api.caller import actor
from app.api.doing import Doing
from app.api.figures import Figures
from app.api.once import Once
from app.api.problems import AnyRequest
from app.api.watchers import Watchers
from app.blocklist.enquiry import Enquiries
from app.blocklist.export import Exports
from app.blocklist.tail import Tail
from app.core.config import Settings
from app.core.db import Pool
from app.core.keyring import Keyring
from app.core.reach import Sight
from app.epcis.carry import Carry
from app.evidence.make import Packs
from app.proposals.deed import Means


async def allowance(request: AnyRequest, actor: NamedDependency[Principal]) -> Allowance:
    """What the asker may still ask for."""
    return Allowance(actor, request.app.state, request.scope)


async def asker(
    request: AnyRequest, actor: NamedDependency[Principal], allowance: NamedDependency[Allowance]
) -> Principal:
    """Somebody who may ask what this route answers, and whose quota allows it: a request counts for one identifier at
    least."""
    actor.require(notes.of(request.route_handler).needs or Permission.STATUS_READ)
    await allowance.spend(1)
    return actor


async def said(
    request: AnyRequest, actor: NamedDependency[Principal], allowance: NamedDependency[Allowance]
) -> Any:
    """The JSON body in the form that the handler asks for; nobody who may not do it makes us read one, nor
    somebody whose quota is used up."""
    if needs := notes.of(request.route_handler).needs:
        actor.require(needs)
    if "asker" in request.route_handler.parsed_fn_signature.parameters:
        allowance.refuse_if_used_up()
    form = request.route_handler.parsed_fn_signature.parameters["said"].annotation
    return await body.read(request, form, bare=notes.of(request.route_handler).bare)


async def doorman(request: AnyRequest) -> Doorman:
    found: Doorman = request.app.state.doorman
    return found


async def pool(request: AnyRequest) -> Pool:
    """For what is nobody's goods; what is, is read by `sight`."""
    found: Pool = request.app.state.pool
    return found


async def sight(pool: NamedDependency[Pool], actor: NamedDependency[Principal]) -> Sight:
    """The database as far as the caller may see it."""
    return Sight(pool, actor.reach)


async def enquiries(request: AnyRequest) -> Enquiries:
    found: Enquiries = request.app.state.enquiries
    return found


async def tail(request: AnyRequest) -> Tail:
    found: Tail = request.app.state.tail
    return found


async def exports(request: AnyRequest) -> Exports:
    found: Exports = request.app.state.exports
    return found


async def packs(request: AnyRequest) -> Packs:
    found: Packs = request.app.state.packs
    return found


async def figures(request: AnyRequest) -> Figures:
    found: Figures = request.app.state.figures
    return found


async def watchers(request: AnyRequest) -> Watchers:
    found: Watchers = request.app.state.watchers
    return found


async def settings(request: AnyRequest) -> Settings:
    found: Settings = request.app.state.settings
    return found


async def carry(request: AnyRequest) -> Carry:
    found: Carry = request.app.state.carry
    return found


async def keyring(request: AnyRequest) -> Keyring:
    found: Keyring = request.app.state.keyring
    return found


async def means(keyring: NamedDependency[Keyring], settings: NamedDependency[Settings]) -> Means:
    return Means(keyring, timedelta(minutes=settings.undo_minutes), secrets.token_bytes)


async def doing(
    actor: NamedDependency[Principal], means: NamedDependency[Means], now: NamedDependency[datetime]
) -> Doing:
    """The way to do what may take several people."""
    return Doing(actor, means, now)


async def now(request: AnyRequest) -> datetime:
    clock: Callable[[], datetime] = request.app.state.now
    return clock()


async def once(
    request: AnyRequest,
    actor: NamedDependency[Principal],
    sight: NamedDependency[Sight],
    settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Once:
    """The way into a transaction, for a key that is known."""
    return Once(request, sight, actor.key_id, now, timedelta(hours=settings.idempotency_hours))


_PROVIDERS: dict[str, Callable[..., Any]] = {
    "actor": actor,
    "allowance": allowance,
    "asker": asker,
    "said": said,
    "doorman": doorman,
    "pool": pool,
    "sight": sight,
    "enquiries": enquiries,
    "tail": tail,
    "exports": exports,
    "packs": packs,
    "figures": figures,
    "watchers": watchers,
    "settings": settings,
    "carry": carry,
    "keyring": keyring,
    "means": means,
    "doing": doing,
    "now": now,
    "once": once,
}
DEPENDENCIES: dict[str, Any] = {name: Provide(provider) for name, provider in _PROVIDERS.items()}
