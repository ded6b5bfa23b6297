"""Partners: the organisations that we tell, as rows. Their settings are checked when they are saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from app.access.roles import Principal
from app.adapters import registry
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Invalid, Missing, told
from app.core.keyring import Keyring
from app.core.sql import queries
from app.delivery import fitting, sealing
from app.delivery import scope as scopes
from app.delivery import tls as tls_settings
from app.delivery.scope import PartnerScope, ScopeChange

_SQL = queries("partners")
_DELIVERY = queries("delivery")
_LANES = queries("lanes")
BREAKER_OPENS_AT = 5


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hard a partner may be called: calls in flight, calls a second (None: no limit), burst of calls."""

    max_inflight: int = 8
    rate: float | None = None
    burst: int = 10


class LimitsChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of the limits; what is left out stays, and null is as if nobody had ever said it: no limit
    of the rate, the usual number of calls."""

    max_inflight: int | UnsetType | None = UNSET
    rate: float | UnsetType | None = UNSET
    burst: int | UnsetType | None = UNSET


class Partner(msgspec.Struct, frozen=True):
    """One partner row. `settings` and `tls` are as stored, their secrets sealed: `opened` is for the worker alone,
    `public` for showing."""

    id: int
    name: str
    adapter: str
    settings: dict[str, Any]
    enrols: bool
    scope: PartnerScope
    limits: Limits
    paused: bool
    pause_reason: str
    created_at: datetime
    removed: bool
    failures: int
    resting: bool
    last_fault: str
    reconciled: dict[str, Any] | None
    allow_private: bool
    tls: dict[str, Any]

    @property
    def public(self) -> dict[str, Any]:
        """The settings with every secret hidden."""
        return registry.public_settings(self.adapter, self.settings)

    def opened(self, keyring: Keyring) -> Partner:
        """The same, its secrets ready to be used. Raises keyring.Locked."""
        settings = sealing.safe(keyring, self.id, self.adapter).opened(self.settings)
        return msgspec.structs.replace(
            self, settings=settings, tls=sealing.tls_safe(keyring, self.id).opened(self.tls)
        )


def health(*, paused: bool, failures: int, resting: bool, parked: int = 0) -> str:
    """`paused`, `failing` (its breaker is open: one probe at a time), `parked` (orders were given up that a person must
    have told again), `resting` (it asked for a pause, or its rate is used up) or `working`."""
    if paused:
        return "paused"
    if failures >= BREAKER_OPENS_AT:
        return "failing"
    if parked:
        return "parked"
    return "resting" if resting else "working"


async def add(
    conn: Connection,
    *,
    keyring: Keyring,
    name: str,
    adapter: str,
    settings: Mapping[str, Any],
    scope: PartnerScope,
    limits: Limits,
    now: datetime,
    allow_private: bool = False,
    tls: Mapping[str, Any] | None = None,
) -> int:
    """A new partner's number. Raises Invalid (settings, scope, limits, TLS), Conflict (the name is taken) or
    keyring.Locked (its secrets cannot be sealed)."""
    tls = tls or {}
    made, tacs, gtins, brands, *_ = _together(
        lambda: fitting.made(adapter, settings),
        lambda: scopes.tacs(scope),
        lambda: scopes.gtins(scope),
        lambda: scopes.brands(scope),
        lambda: scopes.check_incidents(scope),
        lambda: check_limits(limits),
        lambda: _check_name(name),
        lambda: fitting.check_reach(adapter, settings, allow_private),
        lambda: fitting.check_tls(tls, now),
    )
    kinds = scopes.kinds(scope, made.kinds)
    scopes.must_not_halve(scope, kinds)
    try:
        number: int = await conn.fetchval(
            _SQL.add_partner, name, adapter, made.enrols, kinds, tacs, gtins, brands,
            scopes.incidents(scope), scopes.countries(scope), dict(scope.reasons), limits.max_inflight,
            limits.rate, limits.burst, now, allow_private,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise Conflict(
            f"A partner named '{name}' exists already; choose another name or change that one."
        ) from None
    # A secret is sealed for the number of its partner, so that comes first.
    await conn.execute(
        _SQL.keep_settings, number, sealing.safe(keyring, number, adapter).sealed(settings, {}),
        sealing.tls_safe(keyring, number).sealed(tls, {}),
    )  # fmt: skip
    await conn.execute(_LANES.open_pace, number, limits.burst)
    await conn.execute(_LANES.open_lanes, number)
    return number


async def change(
    conn: Connection,
    partner: Partner,
    *,
    keyring: Keyring,
    now: datetime,
    settings: Mapping[str, Any] | None = None,
    tls: Mapping[str, Any] | None = None,
    scope: ScopeChange | None = None,
    limits: LimitsChange | None = None,
    allow_private: bool | None = None,
) -> None:
    """New settings, scope or limits, those of each that are named; what is under way goes by them from its next call
    on. Raises what `add` does."""
    must_be_there(partner)
    settings, tls = settings or {}, tls or {}
    said = scope or ScopeChange()
    wanted = scopes.changed(partner.scope, said)
    bounds = scopes.changed(partner.limits, limits or LimitsChange())
    private = partner.allow_private if allow_private is None else allow_private
    safe, tls_safe = sealing.safe(keyring, partner.id, partner.adapter), sealing.tls_safe(keyring, partner.id)
    tacs, gtins, brands, *_ = _together(
        lambda: scopes.tacs(wanted),
        lambda: scopes.gtins(wanted),
        lambda: scopes.brands(wanted),
        lambda: scopes.check_incidents(scopes.changed(PartnerScope(), said)),
        lambda: check_limits(bounds),
        # What stays is opened only to be judged together with what does not: a lost key bars no other change.
        lambda: settings and fitting.made(partner.adapter, safe.joined(partner.settings, settings)),
        lambda: fitting.check_reach(partner.adapter, {**partner.settings, **settings}, private),
        lambda: fitting.check_tls(tls_safe.joined(partner.tls, tls) if tls else {}, now),
    )
    kinds = registry.adapter(partner.adapter).kinds
    if wanted.kinds and set(scopes.kinds(wanted, kinds)) != set(partner.scope.kinds):
        raise Conflict(
            "A partner's kinds of identifier cannot be changed; add another partner for the others."
        )
    scopes.must_not_shrink(partner.scope, wanted)
    await conn.execute(
        _SQL.change_partner, partner.id, tacs, gtins, brands,
        scopes.incidents(wanted), scopes.countries(wanted), dict(wanted.reasons), bounds.max_inflight,
        bounds.rate, bounds.burst, private,
    )  # fmt: skip
    await conn.execute(
        _SQL.keep_settings, partner.id, {**partner.settings, **safe.sealed(settings, partner.settings)},
        {**partner.tls, **tls_safe.sealed(tls, partner.tls)},
    )  # fmt: skip
    if bounds != partner.limits:
        await conn.execute(_LANES.wake_partner, partner.id, BREAKER_OPENS_AT)


def check_limits(limits: Limits) -> None:
    """Raises Invalid with a flaw for each limit out of its range."""
    flaws = []
    if not 1 <= limits.max_inflight <= 64:
        flaws.append(Flaw("max_inflight would be 1 to 64", "/limits/max_inflight"))
    if limits.rate is not None and not 0.001 <= limits.rate <= 1_000_000:
        flaws.append(Flaw("rate would be 0.001 to 1,000,000 calls a second", "/limits/rate"))
    if not 1 <= limits.burst <= 1_000_000:
        flaws.append(Flaw("burst would be at least 1 call", "/limits/burst"))
    if flaws:
        raise Invalid("The limits are not usable.", flaws=tuple(flaws))


def _check_name(name: str) -> None:
    right = ""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        right = "it would be 1 to 100 printable characters"
    elif name != name.strip():
        right = "it would neither begin nor end with a blank"
    elif name.isdigit():
        right = "it would not be digits alone, which are the number of a partner"
    if right:
        raise Invalid(f"The partner's name is not usable: {right}.", flaws=(Flaw(right, "/name"),))


def _together(*checks: Callable[[], Any]) -> list[Any]:
    """What the checks return. Raises Invalid with the flaws of all that fail."""
    found, failed = [], []
    for check in checks:
        try:
            found.append(check())
        except Invalid as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        flaws = tuple(
            flaw for error in failed for flaw in error.flaws or (Flaw(error.detail, code=error.code),)
        )
        raise Invalid(told(flaws, "{} things about this partner are wrong."), "partner-flaws", flaws)
    return found


async def everyone(conn: Connection) -> list[Partner]:
    """All partners that are told anything, by number."""
    return [_partner(row) for row in await conn.fetch(_SQL.partners, None)]


async def hold(conn: Connection, partner_id: int) -> Partner:
    """One partner, locked for a change. Raises Missing."""
    await conn.execute(_SQL.hold_partner, partner_id)
    return await find(conn, partner_id)


def must_be_there(partner: Partner) -> None:
    """Raises Conflict for a partner that was removed."""
    if partner.removed:
        raise Conflict("This partner was removed; nothing of it can be changed.", "partner-removed")


async def find(conn: Connection, partner_id: int) -> Partner:
    """One partner. Raises Missing."""
    rows = await conn.fetch(_SQL.partners, partner_id)
    if not rows:
        raise Missing(f"There is no partner {partner_id}.")
    return _partner(rows[0])


async def named(conn: Connection, name: str) -> Partner:
    """One partner by its name or number. Raises Missing."""
    number = await conn.fetchval(_SQL.partner_named, name)
    if number is None:
        raise Missing(f"There is no partner '{name}'; the list of partners has their names.")
    return await find(conn, number)


async def removed(conn: Connection, numbers: Sequence[int]) -> list[int]:
    """Those of these partners that were removed."""
    return [row["partner_id"] for row in await conn.fetch(_SQL.removed, numbers)]


async def pause(conn: Connection, partner_id: int, reason: str) -> bool:
    """Stops telling this partner; what waits, waits. False where it was paused already. Raises Invalid
    (no reason)."""
    reason = checked_reason(reason)
    return await conn.fetchval(_SQL.set_paused, partner_id, True, reason) is not None


async def resume(conn: Connection, partner_id: int) -> bool:
    """Tells this partner again, at once and with a clean slate. False where it was not paused."""
    await conn.execute(_LANES.hold_lanes, partner_id)
    changed = await conn.fetchval(_SQL.set_paused, partner_id, False, "") is not None
    await conn.execute(_LANES.forgive, partner_id)
    await conn.execute(_DELIVERY.all_due, partner_id)
    await conn.execute(_LANES.lanes_due, partner_id)
    return changed


async def remove(conn: Connection, partner_id: int, now: datetime) -> None:
    """Ends all that waits for this partner, forgets its settings and frees its name."""
    await conn.execute(_LANES.hold_lanes, partner_id)
    await conn.execute(_DELIVERY.close_open, partner_id)
    await conn.execute(_LANES.close_lanes, partner_id)
    await conn.execute(_SQL.remove_partner, partner_id, now)


async def remember(conn: Connection, kind: str, partner_id: int, actor: Principal, now: datetime) -> Partner:
    """Records that a partner was added or changed, as it stands now and without its secrets, and gives it."""
    partner = await find(conn, partner_id)
    told = ("name", "adapter", "scope", "limits", "paused", "pause_reason", "allow_private")
    detail = {name: msgspec.to_builtins(getattr(partner, name)) for name in told}
    detail["settings"] = partner.public
    detail["tls_sha256"] = tls_settings.prints(partner.tls)
    await record(conn, [Entry(kind, f"partner:{partner_id}", actor.label, now, detail)])
    return partner


def _partner(row: asyncpg.Record) -> Partner:
    return Partner(
        id=row["partner_id"],
        name=row["name"],
        adapter=row["adapter"],
        settings=row["settings"],
        enrols=row["enrols"],
        scope=scopes.from_row(row),
        limits=Limits(row["max_inflight"], row["rate"], row["burst"]),
        paused=row["paused"],
        pause_reason=row["pause_reason"],
        created_at=row["created_at"],
        removed=row["removed_at"] is not None,
        failures=row["failures"],
        resting=row["resting"],
        last_fault=row["last_fault"],
        reconciled=row["reconciled"],
        allow_private=row["allow_private"],
        tls=row["tls"],
    )
