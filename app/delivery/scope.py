"""What a partner is told of: kinds of identifier, TACs, brands, GTINs, of which it can only grow; and incidents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar, get_args

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from app.adapters.contract import Kind
from app.adapters.settings import IncidentKind
from app.core import country
from app.core.brand import folded
from app.core.errors import Conflict, Flaw, Invalid
from app.core.imei import shown

# What narrows a scope, by the kind of identifier that it is about.
_NARROWING = {Kind.IMEI: ("tacs", "brands"), Kind.SERIAL: ("gtins",)}


KINDS = get_args(IncidentKind)
_KIND = msgspec.Meta(description=f"kinds of incident: {', '.join(KINDS)}")
_WORD = msgspec.Meta(description="a kind of incident and the partner's word for it")
_COUNTRY = msgspec.Meta(description="ISO 3166-1 alpha-2, as FR")

Held = TypeVar("Held", bound=msgspec.Struct)


class PartnerScope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which identifiers a partner is told of: IMEIs of these TACs or brands and serials of these GTINs, or, where
    none of them is named, all of these kinds. Without kinds: all that its adapter can speak of. The brand of an
    IMEI is that of its TAC, as it is known when the decision is made; brands are kept in lower case. Of incidents it
    is told of these kinds and countries, where they are named; of those whose country nobody said, too. `reasons` are
    its own words for kinds of incidents."""

    kinds: tuple[Kind, ...] = ()
    tacs: tuple[str, ...] = ()
    gtins: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    incidents: Annotated[tuple[str, ...], _KIND] = ()
    countries: Annotated[tuple[str, ...], _COUNTRY] = ()
    reasons: Annotated[dict[str, str], _WORD] = {}


class ScopeChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of a scope; what is left out stays. What is named takes the place of the whole list, or of
    all words for reasons; null or an empty one takes it away. Of kinds, TACs, brands and GTINs none can be taken
    away."""

    kinds: tuple[Kind, ...] | UnsetType | None = UNSET
    tacs: tuple[str, ...] | UnsetType | None = UNSET
    gtins: tuple[str, ...] | UnsetType | None = UNSET
    brands: tuple[str, ...] | UnsetType | None = UNSET
    incidents: Annotated[tuple[str, ...] | UnsetType | None, _KIND] = UNSET
    countries: Annotated[tuple[str, ...] | UnsetType | None, _COUNTRY] = UNSET
    reasons: Annotated[dict[str, str] | UnsetType | None, _WORD] = UNSET


def changed(old: Held, change: msgspec.Struct) -> Held:
    """What was held, with what a change names in its place; null: as where nobody names it."""
    usual = type(old)()
    named = {name: getattr(change, name) for name in change.__struct_fields__}
    return msgspec.structs.replace(
        old,
        **{
            name: getattr(usual, name) if value is None else value
            for name, value in named.items()
            if value is not UNSET
        },
    )


def from_row(row: asyncpg.Record) -> PartnerScope:
    """The scope in a row of the table partner."""
    kinds: Sequence[str] = row["kinds"]
    tacs: Sequence[int] = row["tacs"] or ()
    return PartnerScope(
        kinds=tuple(Kind(kind) for kind in kinds),
        tacs=tuple(f"{tac:08d}" for tac in tacs),
        gtins=tuple(row["gtins"] or ()),
        brands=tuple(row["brands"] or ()),
        incidents=tuple(row["incidents"] or ()),
        countries=tuple(row["countries"] or ()),
        reasons=row["reasons"],
    )


def kinds(scope: PartnerScope, known: frozenset[Kind]) -> list[str]:
    """The kinds that are meant, of those that the adapter knows. Raises Invalid."""
    beyond = [kind for kind in scope.kinds if kind not in known]
    if beyond:
        raise Invalid(
            f"This adapter cannot speak of {', '.join(beyond)}; it knows {', '.join(sorted(known))}.",
            flaws=(Flaw("not a kind this adapter knows", "/scope/kinds"),),
        )
    return sorted(scope.kinds or known)


def must_not_shrink(old: PartnerScope, new: PartnerScope) -> None:
    """What a partner was told to block it must be told to release. Raises Conflict `scope-shrinks`."""
    new = msgspec.structs.replace(new, brands=tuple(brands(new) or ()))
    for fields in _NARROWING.values():
        before, after = _names(old, fields), _names(new, fields)
        if (after and not before) or before - after:
            raise Conflict(
                f"A partner's {' and '.join(fields)} can only grow: it would never hear of the release of what it was"
                " told to block.",
                "scope-shrinks",
            )


def must_not_halve(scope: PartnerScope, kinds: Sequence[str]) -> None:
    """A scope that narrows one kind must say what it wants of the other. Raises Invalid `scope-halved`."""
    named = {kind: bool(_names(scope, fields)) for kind, fields in _NARROWING.items()}
    if any(named.values()) and not all(named[Kind(kind)] for kind in kinds):
        raise Invalid(
            "The scope names TACs, brands or GTINs for one kind of identifier and nothing for another, which would"
            " silently be left out: name both (TACs or brands for IMEIs, GTINs for serials), or say which kinds are"
            " meant.",
            "scope-halved",
            (Flaw("name tacs or brands, and gtins; or kinds", "/scope"),),
        )


def _names(scope: PartnerScope, fields: Sequence[str]) -> set[tuple[str, str]]:
    return {(field, name) for field in fields for name in getattr(scope, field)}


def tacs(scope: PartnerScope) -> list[int] | None:
    """As they are stored: None where none is named. Raises Invalid."""
    return sorted({int(tac) for tac in _digits(scope.tacs, 8, "tacs")}) or None


def gtins(scope: PartnerScope) -> list[str] | None:
    """As they are stored: None where none is named. Raises Invalid."""
    return sorted(set(_digits(scope.gtins, 14, "gtins"))) or None


def brands(scope: PartnerScope) -> list[str] | None:
    """As they are stored, folded: None where none is named. Raises Invalid."""
    flaws = [
        Flaw("a brand would be 1 to 200 printable characters", f"/scope/brands/{place}")
        for place, name in enumerate(scope.brands)
        if not (name.strip() and len(name) <= 200 and name.isprintable())
    ]
    if flaws:
        raise Invalid("The brands of the scope are not usable.", flaws=tuple(flaws))
    return sorted({folded(name) for name in scope.brands}) or None


def incidents(scope: PartnerScope) -> list[str] | None:
    """As they are stored: None where none is named."""
    return sorted(set(scope.incidents)) or None


def countries(scope: PartnerScope) -> list[str] | None:
    """As they are stored: None where none is named."""
    return sorted(set(scope.countries)) or None


def check_incidents(scope: PartnerScope) -> None:
    """Raises Invalid with each kind, country and reason that is none."""
    right = f"it would be one of {', '.join(KINDS)}"
    named = [(f"incidents/{place}", kind) for place, kind in enumerate(scope.incidents)]
    named += [(f"reasons/{kind}", kind) for kind in scope.reasons]
    flaws = [Flaw(f"'{shown(kind)}': {right}", f"/scope/{at}") for at, kind in named if kind not in KINDS]
    flaws += [
        Flaw(fault, f"/scope/countries/{place}")
        for place, code in enumerate(scope.countries)
        if (fault := country.fault(code))
    ]
    flaws += [
        Flaw("a word would be 1 to 100 printable characters", f"/scope/reasons/{kind}")
        for kind, word in scope.reasons.items()
        if not (word.strip() and len(word) <= 100 and word.isprintable())
    ]
    if flaws:
        wrong = " and ".join(sorted({flaw.pointer.split("/")[2] for flaw in flaws}))
        raise Invalid(f"The {wrong} of the scope are not usable.", flaws=tuple(flaws))


def _digits(values: Sequence[str], count: int, field: str) -> Sequence[str]:
    flaws = [
        Flaw(f"'{shown(value)}' would be {count} digits", f"/scope/{field}/{place}")
        for place, value in enumerate(values)
        if not (len(value) == count and value.isascii() and value.isdigit())
    ]
    if flaws:
        raise Invalid(f"The {field} of the scope are not usable.", flaws=tuple(flaws))
    return values
