"""Whether a partner's settings fit its adapter, its address its row, and its TLS settings each other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.adapters import registry
from app.adapters.contract import Adapter
from app.core.errors import Flaw, Invalid, told
from app.delivery import reach, tls

_PRIVATE = (
    "Setting '{}': {} is not a public address; a partner in a private network, or on this machine, would have"
    " allow_private (--allow-private)."
)


def made(kind: str, settings: Mapping[str, Any]) -> Adapter:
    """The adapter that the settings make. Raises Invalid, each flaw where it stands in a partner."""
    try:
        return registry.make(kind, dict(settings))
    except Invalid as error:
        unknown = (Flaw(error.detail, "/adapter", error.code),) if error.code == "adapter-unknown" else ()
        raise Invalid(error.detail, error.code, (*unknown, *_below("/settings", error))) from None


def check_reach(kind: str, settings: Mapping[str, Any], private: bool) -> None:
    """Raises Invalid for addresses that are seen to be private where none is allowed: where a name leads is seen
    only when it is called."""
    hosts = {} if private else registry.hosts(kind, settings)
    flaws = tuple(
        Flaw(_PRIVATE.format(name, host), f"/settings/{name}", "address-private")
        for name, host in hosts.items()
        if reach.is_surely_private(host)
    )
    if flaws:
        raise Invalid(told(flaws, "{} addresses are not public ones."), "address-private", flaws)


def check_tls(given: Mapping[str, Any], now: datetime) -> None:
    """Raises Invalid where TLS could not be spoken so at `now`."""
    try:
        tls.checked(given, now)
    except Invalid as error:
        raise Invalid(error.detail, error.code, tuple(_below("/tls", error))) from None


def _below(place: str, error: Invalid) -> list[Flaw]:
    return [Flaw(flaw.detail, f"{place}{flaw.pointer}", flaw.code) for flaw in error.flaws]
