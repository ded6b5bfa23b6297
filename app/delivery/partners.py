"""Partners: the organisations that we tell, as rows. Their settings are checked when they are saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from app.access.roles import Principal
from app.adapters import registry
from app.adapters.contract import Adapter, Kind
from app.audit.record import Entry, record
from app.audit.record import reason as checked_reason
from app.core.db import Connection
from app.core.errors import Conflict, Flaw, Invalid, Missing, told
from app.core.imei import shown
from app.core.sql import queries

_SQL = queries("delivery")
BREAKER_OPENS_AT = 5


class PartnerScope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which identifiers a partner is told of: those of these TACs and GTINs, or, where neither is named, all
    of these kinds. Without kinds: all that its adapter can speak of."""

    kinds: tuple[Kind, ...] = ()
    tacs: tuple[str, ...] = ()
    gtins: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hard a partner may be called: calls in flight, calls a second (None: no limit), burst of calls."""

    max_inflight: int = 8
    rate: float | None = None
    burst: int = 10


class Partner(msgspec.Struct, frozen=True):
    """One partner row. `settings` are as stored: only the adapter may see them, `public` is for showing."""

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
    failures: int
    resting: bool
    last_fault: str

    @property
    def public(self) -> dict[str, Any]:
        """The settings with every secret hidden."""
        return registry.public_settings(self.adapter, self.settings)

    @property
    def health(self) -> str:
        """`paused`, `failing` (its breaker is open: one probe at a time), `resting` (it asked for a pause, or its
        rate is used up) or `working`."""
        if self.paused:
            return "paused"
        if self.failures >= BREAKER_OPENS_AT:
            return "failing"
        return "resting" if self.resting else "working"


async def add(
    conn: Connection,
    *,
    name: str,
    adapter: str,
    settings: Mapping[str, Any],
    scope: PartnerScope,
    limits: Limits,
    now: datetime,
) -> int:
    """A new partner's number. Raises Invalid (settings, scope, limits) or Conflict (the name is taken)."""
    made, tacs, gtins, *_ = _together(
        lambda: _made(adapter, settings),
        lambda: _tacs(scope),
        lambda: _gtins(scope),
        lambda: check_limits(limits),
        lambda: _check_name(name),
    )
    kinds = _kinds(scope, made.kinds)
    _check_scope(scope, kinds)
    try:
        number: int = await conn.fetchval(
            _SQL.add_partner, name, adapter, dict(settings), made.enrols, kinds, tacs, gtins,
            limits.max_inflight, limits.rate, limits.burst, now,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise Conflict(
            f"A partner named '{name}' exists already; choose another name or change that one."
        ) from None
    return number


async def change(
    conn: Connection, partner: Partner, *, settings: Mapping[str, Any], scope: PartnerScope, limits: Limits
) -> None:
    """New settings, scope or limits; what is under way goes by them from its next call on."""
    made, tacs, gtins, _ = _together(
        lambda: _made(partner.adapter, settings),
        lambda: _tacs(scope),
        lambda: _gtins(scope),
        lambda: check_limits(limits),
    )
    if scope.kinds and set(_kinds(scope, made.kinds)) != set(partner.scope.kinds):
        raise Conflict(
            "A partner's kinds of identifier cannot be changed; add another partner for the others."
        )
    _must_not_shrink(partner.scope, scope)
    await conn.execute(
        _SQL.change_partner, partner.id, dict(settings), tacs, gtins,
        limits.max_inflight, limits.rate, limits.burst,
    )  # fmt: skip
    if limits != partner.limits:
        await conn.execute(_SQL.wake_partner, partner.id, BREAKER_OPENS_AT)


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


def _kinds(scope: PartnerScope, known: frozenset[Kind]) -> list[str]:
    beyond = [kind for kind in scope.kinds if kind not in known]
    if beyond:
        raise Invalid(
            f"This adapter cannot speak of {', '.join(beyond)}; it knows {', '.join(sorted(known))}.",
            flaws=(Flaw("not a kind this adapter knows", "/scope/kinds"),),
        )
    return sorted(scope.kinds or known)


def _must_not_shrink(old: PartnerScope, new: PartnerScope) -> None:
    """What a partner was told to block it must be told to release."""
    for field in ("tacs", "gtins"):
        before, after = set(getattr(old, field)), set(getattr(new, field))
        if (after and not before) or before - after:
            raise Conflict(
                f"A partner's {field} can only grow: it would never hear of the release of what it was told to block.",
                "scope-shrinks",
            )


def _check_scope(scope: PartnerScope, kinds: Sequence[str]) -> None:
    """A scope that narrows one kind must say what it wants of the other."""
    named = {Kind.IMEI: scope.tacs, Kind.SERIAL: scope.gtins}
    if any(named.values()) and not all(named[Kind(kind)] for kind in kinds):
        raise Invalid(
            "The scope names TACs or GTINs for one kind of identifier and nothing for another, which would silently"
            " be left out: name both (TACs for IMEIs, GTINs for serials), or say which kinds are meant.",
            "scope-halved",
            (Flaw("name tacs and gtins, or kinds", "/scope"),),
        )


def _tacs(scope: PartnerScope) -> list[int] | None:
    return sorted({int(tac) for tac in _digits(scope.tacs, 8, "tacs")}) or None


def _gtins(scope: PartnerScope) -> list[str] | None:
    return sorted(set(_digits(scope.gtins, 14, "gtins"))) or None


def _digits(values: Sequence[str], count: int, field: str) -> Sequence[str]:
    flaws = [
        Flaw(f"'{shown(value)}' would be {count} digits", f"/scope/{field}/{place}")
        for place, value in enumerate(values)
        if not (len(value) == count and value.isascii() and value.isdigit())
    ]
    if flaws:
        raise Invalid(f"The {field} of the scope are not usable.", flaws=tuple(flaws))
    return values


def _made(kind: str, settings: Mapping[str, Any]) -> Adapter:
    try:
        return registry.make(kind, dict(settings))
    except Invalid as error:
        unknown = (Flaw(error.detail, "/adapter", error.code),) if error.code == "adapter-unknown" else ()
        flaws = (Flaw(flaw.detail, f"/settings{flaw.pointer}", flaw.code) for flaw in error.flaws)
        raise Invalid(error.detail, error.code, (*unknown, *flaws)) from None


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        flaw = Flaw("it would be 1 to 100 printable characters", "/name")
        raise Invalid("The partner's name is not usable.", flaws=(flaw,))


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
    """All partners, by number."""
    return [_partner(row) for row in await conn.fetch(_SQL.partners, None)]


async def hold(conn: Connection, partner_id: int) -> Partner:
    """One partner, locked for a change. Raises Missing."""
    await conn.execute(_SQL.hold_partner, partner_id)
    return await find(conn, partner_id)


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


async def pause(conn: Connection, partner_id: int, reason: str) -> bool:
    """Stops telling this partner; what waits, waits. False where it was paused already. Raises Invalid
    (no reason)."""
    reason = checked_reason(reason)
    return await conn.fetchval(_SQL.set_paused, partner_id, True, reason) is not None


async def resume(conn: Connection, partner_id: int) -> bool:
    """Tells this partner again, at once and with a clean slate. False where it was not paused."""
    await conn.execute(_SQL.hold_lanes, partner_id)
    changed = await conn.fetchval(_SQL.set_paused, partner_id, False, "") is not None
    await conn.execute(_SQL.forgive, partner_id)
    await conn.execute(_SQL.all_due, partner_id)
    return changed


async def remember(conn: Connection, kind: str, partner_id: int, actor: Principal, now: datetime) -> Partner:
    """Records that a partner was added or changed, as it stands now and without its secrets, and gives it."""
    partner = await find(conn, partner_id)
    told = ("name", "adapter", "scope", "limits", "paused", "pause_reason")
    detail = {name: msgspec.to_builtins(getattr(partner, name)) for name in told}
    detail["settings"] = partner.public
    await record(conn, [Entry(kind, f"partner:{partner_id}", actor.label, now, detail)])
    return partner


def _partner(row: asyncpg.Record) -> Partner:
    return Partner(
        id=row["partner_id"],
        name=row["name"],
        adapter=row["adapter"],
        settings=row["settings"],
        enrols=row["enrols"],
        scope=_scope(row),
        limits=Limits(row["max_inflight"], row["rate"], row["burst"]),
        paused=row["paused"],
        pause_reason=row["pause_reason"],
        created_at=row["created_at"],
        failures=row["failures"],
        resting=row["resting"],
        last_fault=row["last_fault"],
    )


def _scope(row: asyncpg.Record) -> PartnerScope:
    kinds: Sequence[str] = row["kinds"]
    tacs: Sequence[int] = row["tacs"] or ()
    return PartnerScope(
        kinds=tuple(Kind(kind) for kind in kinds),
        tacs=tuple(f"{tac:08d}" for tac in tacs),
        gtins=tuple(row["gtins"] or ()),
    )
